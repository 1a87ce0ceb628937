"""A real QuickFIX/J session in the place of the sample broker: the certification cases do not see the difference.

The initiator (`quickfixj/src/QuickfixJ.java`) runs in a JVM of its own and is driven by lines. QuickFIX/J itself logs
on, numbers, stores, asks for what is missing, repeats what is asked for, answers test requests and checks every message
against the venue's dictionary; `inbox` and `admin` have what it gave to its application, in its order, and `record`
what was on the wire. It is built by Maven into the user's cache, under a key of its sources.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import queue
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any

import simplefix

from fix_sessions.acceptor import dictionary_path
from fix_sessions.certification import Party, Recorder, Stage, readable
from fix_sessions.client import Pair, SessionLost

SOURCES = Path(__file__).parent / "quickfixj"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fix-venue" / "interop"
JAVA = ("java", "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")
START_SECONDS_MAX = 60.0
ANSWER_SECONDS_MAX = 30.0
UNREACHABLE = re.compile(r"could not (be resolved|resolve|transfer)|Cannot access", re.IGNORECASE)
"""What Maven says when it finds no repository."""
SOH = "\x01"


class Unavailable(Exception):
    """QuickFIX/J cannot be had on this machine; the text says what to install."""


def classpath() -> str:
    """QuickFIX/J and the initiator, built unless these very sources were built before. Raises Unavailable."""
    if not shutil.which("java") or not shutil.which("mvn"):
        raise Unavailable("QuickFIX/J needs java and mvn: install a JDK 17 and Maven")
    files = [SOURCES / "pom.xml", *sorted(SOURCES.glob("src/*.java"))]
    key = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]
    folder = CACHE / f"quickfixj-{key}"
    if not folder.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        _build(folder)
    return f"{folder / 'quickfixj-initiator-1.jar'}:{folder / 'lib'}/*"


def _build(folder: Path) -> None:
    """Into a folder beside, then renamed: a build that was broken off is never taken for one."""
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="building-") as temporary:
        target = Path(temporary) / "target"
        command = ["mvn", "-q", "-B", "-f", str(SOURCES / "pom.xml"), f"-Dbuild.folder={target}", "package"]
        done = subprocess.run(command, capture_output=True, text=True)
        said = (done.stdout + done.stderr).strip()
        if done.returncode and UNREACHABLE.search(said):
            raise Unavailable(f"Maven cannot fetch QuickFIX/J: {said[-300:]}")
        if done.returncode:
            raise RuntimeError(f"the initiator does not build:\n{said}")
        if not folder.exists():
            target.rename(folder)


class Kept(MutableMapping[int, Any]):
    """What QuickFIX/J has in its store, as far as a case puts something there: a message that was lost on the way."""

    def __init__(self, broker: QuickfixjBroker) -> None:
        self.broker = broker

    def __setitem__(self, number: int, message: tuple[str, list[Pair], str]) -> None:
        self.broker.keep(number, message[0], message[1])

    def clear(self) -> None:
        """QuickFIX/J empties its store itself, when the numbers are reset."""

    def __getitem__(self, number: int) -> Any:
        raise KeyError(number)

    def __delitem__(self, number: int) -> None:
        raise KeyError(number)

    def __iter__(self) -> Iterator[int]:
        return iter(())

    def __len__(self) -> int:
        return 0


class QuickfixjBroker(Recorder):
    """One session; `settings` are QuickFIX/J's own, for every logon, as ReconnectInterval="1"."""

    process: subprocess.Popen[str] | None = None
    known_out: int | None = None
    """The next number out, as long as nothing was said since that may have changed it."""

    def __post_init__(self) -> None:
        self.lines: queue.Queue[str] = queue.Queue()
        self.settings: dict[str, str] = {}
        self.events: list[str] = []
        self.answer: list[str] | None = None
        self.ended = self.silent = False
        self.ups = 0
        super().__post_init__()
        self.sent = Kept(self)  # type: ignore[assignment]

    # ---- the process ----

    def tell(self, line: str) -> None:
        """One line to the initiator."""
        if self.process is None:
            self._start()
        self.known_out = None
        assert self.process is not None and self.process.stdin is not None
        try:
            self.process.stdin.write(line + "\n")
        except OSError as error:
            raise AssertionError(f"the initiator ended with code {self.process.poll()}; {self.events[-5:]}") from error

    def program(self) -> list[str]:
        """What starts the initiator, before its arguments. Raises Unavailable."""
        return [*JAVA, "-cp", classpath(), "QuickfixJ"]

    def _start(self) -> None:
        words = [self.host, str(self.port), self.comp_id, self.venue, self.username, self.password]
        self.process = subprocess.Popen(
            [*self.program(), *words, str(dictionary_path())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            bufsize=1,
            encoding="latin-1",
        )
        threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True).start()

    def _read(self, output: Any) -> None:
        for line in output:
            self.lines.put(line.rstrip("\n"))

    def end(self) -> None:
        """Ends the process, and the connection with it when there is one. Idempotent."""
        if self.process is None:
            return
        if self.process.poll() is None and self.process.stdin is not None:
            self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def kill(self) -> None:
        """The process is gone at once, with all that it had not written into files."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def ask(self, line: str) -> list[str]:
        """Tells and waits for the answer; what comes before it is taken in."""
        self.answer = None
        self.tell(line)
        end = time.monotonic() + ANSWER_SECONDS_MAX
        while self.answer is None:
            assert time.monotonic() < end, f"{line.split(' ')[0]} was not answered; {self.events[-5:]}"
            self._take_lines(0.2)
        return self.answer

    # ---- the session, as Broker has it ----

    @property
    def next_out(self) -> int:  # type: ignore[override]
        if not self.process:
            return 1
        if self.known_out is None or not self.lines.empty():
            self.known_out = int(self.ask("numbers")[0])
        return self.known_out

    @next_out.setter
    def next_out(self, number: int) -> None:
        if self.process:
            self.tell(f"sender {number}")
            self.known_out = number

    @property
    def next_in(self) -> int:  # type: ignore[override]
        return int(self.ask("numbers")[1]) if self.process else 1

    @next_in.setter
    def next_in(self, number: int) -> None:
        if self.process:
            self.tell(f"target {number}")

    @property
    def mute(self) -> bool:  # type: ignore[override]
        return self.silent

    @mute.setter
    def mute(self, on: bool) -> None:
        self.silent = on
        if on:
            self.tell("mute")

    @property
    def connects_again(self) -> bool:
        """Whether QuickFIX/J logs on by itself after a loss."""
        return "ReconnectInterval" in self.settings

    def log_on(self, *, reset: bool = False, seconds: float = 10.0, extra: Any = ()) -> None:
        """A new initiator over the same store; with `reset` it is QuickFIX/J's ResetOnLogon."""
        settings = {"HeartBtInt": str(max(self.heartbeat_seconds, 1)), **self.settings}
        settings |= {"ResetOnLogon": "Y"} if reset else {}
        fields = [(tag, str(value)) for tag, value in extra]
        fields += [(108, "0")] if self.heartbeat_seconds == 0 else []
        words = [f"{name}={value}" for name, value in (*settings.items(), *fields)]
        self.ask("close")
        self.logged_on, self.ended, self.logout_text, self.ups = False, False, "", 0
        self.silent = False
        self.tell(f"logon {SOH.join(words)}")
        self.socket = self.process  # type: ignore[assignment]
        self.wait_for(lambda: self.logged_on, max(seconds, START_SECONDS_MAX))

    def log_out(self, seconds: float = 10.0) -> None:
        self.tell("logout")
        with contextlib.suppress(SessionLost, TimeoutError):
            self.wait_for(lambda: not self.logged_on, seconds)
        self.close()

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.ask("close")
        self.socket = None

    def send(
        self, msg_type: str, body: list[Pair], number: int | None = None, orig_time: str | None = None
    ) -> str | bytes:
        """Through the session. With `number` it is a repetition: put into the store, so that the next message lets the
        venue ask for it and QuickFIX/J repeats it with PossDupFlag(43)."""
        assert self.socket is not None, "log on first"
        if number is None:
            self.tell(f"send {text(msg_type, body)}")
        else:
            self.keep(number, msg_type, body)
        return next((value for tag, value in body if tag == 11), "")

    def keep(self, number: int, msg_type: str, body: list[Pair]) -> None:
        """Into QuickFIX/J's store, as if sent and lost."""
        self.tell(f"store {number} {text(msg_type, body)}")

    def transmit(self, data: bytes) -> None:
        """Bytes onto QuickFIX/J's connection, past the session."""
        self.tell(f"raw {data.decode('latin-1')}")

    def wait_for(self, done: Callable[[], bool], seconds: float = 10.0) -> None:
        try:
            super().wait_for(done, seconds)
        except TimeoutError as late:
            lines = "\n".join([*self.record[-12:], *self.events[-8:]])
            raise TimeoutError(f"{late}; before that:\n{lines}") from None

    def poll(self, seconds: float = 0.0) -> int:
        count = self._take_lines(seconds)
        if self.ended:
            raise SessionLost(self.logout_text or "the venue closed the connection")
        return count

    # ---- what the initiator says ----

    def _take_lines(self, seconds: float) -> int:
        """Waits at most so long for the first line; returns how many messages were taken in."""
        before = len(self.inbox) + len(self.admin)
        try:
            self._take_line(self.lines.get(timeout=seconds) if seconds > 0 else self.lines.get_nowait())
            while not self.ended:
                self._take_line(self.lines.get_nowait())
        except queue.Empty:
            assert self.process is None or self.process.poll() is None, f"the initiator ended; {self.events[-5:]}"
        return len(self.inbox) + len(self.admin) - before

    def _take_line(self, line: str) -> None:
        kind, _, rest = line.partition(" ")
        if kind in ("<", ">"):
            self.known_out = None
            self.record.append(f"{kind} {readable(rest.encode('latin-1'))}")
        elif kind in ("application", "session"):
            self._take_message(rest, self.inbox if kind == "application" else self.admin)
        elif kind == "up":
            self.logged_on, self.ended = True, False
            self.ups += 1
        elif kind == "down":
            self.logged_on = False
            self.ended = not self.connects_again
        elif kind == "refused" and not self.connects_again:
            raise ConnectionRefusedError(rest)
        elif kind == "=":
            self.answer = rest.split(" ")
        else:
            self.events.append(line)

    def _take_message(self, raw: str, box: list[simplefix.FixMessage]) -> None:
        parser = simplefix.FixParser()
        parser.append_buffer(raw.encode("latin-1"))
        message = parser.get_message()
        assert message is not None, raw
        box.append(message)
        if message.get(35) == b"5":
            self.logout_text = (message.get(58) or b"").decode()
        exec_id = message.get(17)
        if message.get(35) == b"8" and exec_id not in (None, b"0"):
            self.duplicates += exec_id in self.executions
            self.executions[exec_id] = message


def text(msg_type: str, body: list[Pair]) -> str:
    """The fields as the initiator reads them."""
    words = ((tag, value.decode("latin-1") if isinstance(value, bytes) else value) for tag, value in body)
    return "".join(f"{tag}={value}{SOH}" for tag, value in ((35, msg_type), *words))


class QuickfixjStage(Stage):
    """The certification's stage, on which every session is QuickFIX/J's."""

    player: type[QuickfixjBroker] = QuickfixjBroker

    def client(self, party: Party, address: tuple[str, int] | None = None, **settings: Any) -> QuickfixjBroker:
        words = {"username": party.username, "password": party.password, "venue": self.venue}
        broker = self.player(*(address or self.address), **{**words, "comp_id": party.comp_id, **settings})
        self.all.append(broker)
        return broker

    @property
    def all(self) -> list[QuickfixjBroker]:
        """Every session ever begun."""
        return self.__dict__.setdefault("_all", [])

    def end(self) -> None:
        for broker in self.all:
            broker.end()
