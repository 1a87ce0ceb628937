"""Another engine trades here: a QuickFIX/J initiator with the venue's own dictionary; logon, orders, drops."""

from __future__ import annotations

import os
import queue
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fix_sessions.acceptor import dictionary_path
from tests.fix_sessions.rig import PASSWORD, Venue, ask, until

pytestmark = [pytest.mark.interop]
HERE = Path(__file__).parent / "quickfixj"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fix-venue" / "interop"
SECONDS = 60.0
Fields = dict[int, str]


@pytest.fixture(scope="module")
def classpath() -> str:
    """QuickFIX/J and the initiator, built by Maven into the user's cache."""
    if not shutil.which("java") or not shutil.which("mvn"):
        pytest.skip("QuickFIX/J needs java and mvn: install a JDK 17 and Maven")
    folder = CACHE / "quickfixj"
    jar = folder / "quickfixj-initiator-1.jar"
    newest = max(path.stat().st_mtime for path in (HERE / "pom.xml", *HERE.glob("src/*.java")))
    if not jar.exists() or jar.stat().st_mtime < newest:
        command = ["mvn", "-q", "-B", "-f", str(HERE / "pom.xml"), f"-Dbuild.folder={folder}", "clean", "package"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode and "Could not resolve" in done.stdout + done.stderr:
            pytest.skip(f"Maven cannot fetch QuickFIX/J: {(done.stdout + done.stderr).strip()[-300:]}")
        assert done.returncode == 0, done.stdout + done.stderr
    return f"{jar}:{folder / 'lib'}/*"


class Initiator:
    """A QuickFIX/J process and what it said."""

    def __init__(self, classpath: str, port: int, comp_id: str, username: str) -> None:
        words = ["127.0.0.1", str(port), comp_id, "VENUE", username, PASSWORD, str(dictionary_path())]
        command = ["java", "-Xmx256m", "-cp", classpath, "QuickfixJ", *words]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, bufsize=1
        )
        self.said: list[str] = []
        self.lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(line.rstrip("\n"))

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")

    def order(self, clordid: str, side: str = "1", qty: str = "5", price: str = "99.00") -> None:
        self.tell(f"send 35=D|11={clordid}|55=ACME|54={side}|38={qty}|40=2|44={price}|60=20260101-00:00:00|")

    def wait(self, matches: Callable[[str], bool], what: str) -> str:
        """The first line that matches, from here on."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            try:
                line = self.lines.get(timeout=0.5)
            except queue.Empty:
                continue
            self.said.append(line)
            if matches(line):
                return line
        raise AssertionError(f"{what} did not come; last: {self.said[-10:]}")

    def came(self, **wanted: str) -> Fields:
        """The next message in with these values, as t35="8"."""
        values = {int(tag[1:]): value for tag, value in wanted.items()}

        def matches(line: str) -> bool:
            return line.startswith("< ") and values.items() <= fields(line).items()

        return fields(self.wait(matches, f"a message with {values}"))

    def up(self) -> None:
        self.wait(lambda line: line == "up", "the logon")

    def close(self) -> None:
        if self.process.poll() is None:
            self.tell("quit")
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def fields(line: str) -> Fields:
    parts = (part.partition("=") for part in line[2:].split("|"))
    return {int(tag): value for tag, _, value in parts if tag.isdigit()}


@pytest.fixture
def initiator(venue: Venue, classpath: str) -> Iterator[Initiator]:
    found = Initiator(classpath, venue.acceptor.port, "ALPHA2", "alpha2")
    yield found
    found.close()


def test_quickfixj_trades_here(venue: Venue, initiator: Initiator):
    """Logon, entry, replace, fill, cancel, refusals, resend, gap, drop, reset: ROE-2 ROE-11 ROE-12 ROE-13 ROE-31"""
    initiator.up()
    initiator.order("j1", qty="10")
    order = initiator.came(t35="8", t11="j1", t150="0")
    initiator.tell("send 35=G|41=j1|11=j2|55=ACME|54=1|38=12|40=2|44=98.50|60=20260101-00:00:00|")
    assert initiator.came(t35="8", t11="j2", t150="5")[37] == order[37]
    other = venue.logged_on("BRAVO1")
    ask(other, lambda: other.order("ACME", "sell", 4, "98.50"))
    fill = initiator.came(t35="8", t11="j2", t150="F")
    assert (fill[32], fill[151]) == ("4", "8")
    initiator.tell("send 35=F|41=j2|11=j3|55=ACME|54=1|60=20260101-00:00:00|")
    assert initiator.came(t35="8", t11="j3")[150] == "4"
    initiator.order("j4", price="99.005")
    assert initiator.came(t35="8", t11="j4")[150] == "8"

    initiator.tell(f"target {order[34]}")
    initiator.order("j5")
    again = initiator.came(t35="8", t43="Y", t11="j1")
    assert (again[34], again[17]) == (order[34], order[17]), "the very report again, after QuickFIX/J asked for it"
    initiator.came(t35="8", t11="j5", t150="0")

    next_out = int(fields(next(line for line in reversed(initiator.said) if line.startswith("> ")))[34]) + 1
    initiator.tell(f"sender {next_out + 3}")
    initiator.order("j6")
    initiator.came(t35="2")
    initiator.came(t35="8", t11="j6", t150="0")

    initiator.tell("drop")
    initiator.wait(lambda line: line == "down", "the drop")
    ask(other, lambda: other.order("ACME", "sell", 1, "99.00"))
    initiator.up()
    initiator.came(t35="8", t150="F", t32="1")
    initiator.order("j7")
    initiator.came(t35="8", t11="j7", t150="0")

    initiator.tell("logout")
    initiator.wait(lambda line: line == "down", "the logout")
    until(lambda: not next(s for s in venue.acceptor.sessions() if s["comp_id"] == "ALPHA2")["logged_on"])
    assert not [line for line in initiator.said if line.startswith("< ") and "|35=3|" in line], "no Reject at all"
    assert not [line for line in initiator.said if line.startswith("> ") and "|35=3|" in line], (
        "it rejected none of ours"
    )
