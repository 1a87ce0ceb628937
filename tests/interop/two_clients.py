"""`venue sandbox` with two QuickFIX/J clients of two members: they trade, meet its scenarios, and reconcile at the end.

    python -m tests.interop.two_clients         # or: make interop

As a broker's developers would do it: the sandbox is a process of its own, and all that is known of it is what it
prints. At the end each client's executions must be those of the journal, each once, with its quantity and price.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from fix_sessions.sandbox_scenarios import CUT_LOTS, SCENARIOS
from tests.fix_sessions.rig import tags
from tests.interop.initiator import QuickfixjBroker, Unavailable, classpath
from venue.config import Config, load

MEMBERS = ("ALPHA1", "BRAVO1")
SECONDS = 60.0
STOP_SECONDS_MAX = 90.0
TEST, PRICE = "TEST", "100.00"
Execution = tuple[str, str, Decimal, Decimal]
"""ExecType(150), Symbol(55), LastQty(32), LastPx(31); the two are 0 where nothing was filled."""


@dataclass(frozen=True)
class Welcome:
    """What the sandbox says when it runs."""

    host: str
    port: int
    venue: str
    sessions: dict[str, tuple[str, str]]
    living: list[str]

    @classmethod
    def read(cls, text: str) -> Welcome:
        at = re.search(r"FIX 4\.4 at (\S+):(\d+), TargetCompID (\S+);", text)
        living = re.search(r"background flow trade (.+) \(seed", text)
        assert at and living, f"no welcome in {text!r}"
        rows = re.findall(r"^  (\S+) +username (\S+) +password (\S+)$", text, re.MULTILINE)
        sessions = {comp_id: (username, password) for comp_id, username, password in rows}
        return cls(at[1], int(at[2]), at[3], sessions, living[1].split(", "))


@contextmanager
def sandbox(folder: Path) -> Iterator[Welcome]:
    """A running sandbox, which must end well."""
    command = [sys.executable, "-m", "venue", "sandbox", "--port", "0", "--seed", "7", "--keep", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stderr is not None
    late = threading.Timer(STOP_SECONDS_MAX, process.kill)
    late.start()
    said = ""
    try:
        for line in process.stdout:
            said += line
            if "Ctrl-C" in line:
                break
        late.cancel()
        assert "Ctrl-C" in said, f"the sandbox did not start: {said}{process.stderr.read()}"
        yield Welcome.read(said)
    finally:
        late.cancel()
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=STOP_SECONDS_MAX)
    assert process.returncode == 0, f"the sandbox ended with code {process.returncode}: {errors}"


class Client:
    """One member's QuickFIX/J, which logs on again by itself."""

    def __init__(self, welcome: Welcome, comp_id: str, say: Callable[[str], None]) -> None:
        username, password = welcome.sessions[comp_id]
        self.name, self.say = comp_id, say
        self.broker = QuickfixjBroker(welcome.host, welcome.port, comp_id, username, password, venue=welcome.venue)
        self.broker.settings["ReconnectInterval"] = "1"

    def reports(self, clordid: str) -> list[dict[int, str]]:
        """Of the order with this name, also after its cancel, without repetitions."""
        found = {
            m[17]: m for m in map(tags, self.broker.inbox) if m.get(35) == "8" and clordid in (m.get(11), m.get(41))
        }
        return list(found.values())

    def wait(self, clordid: str, **wanted: str) -> dict[int, str]:
        """The first report with these values, as t150="F"."""
        values = {int(name[1:]): value for name, value in wanted.items()}

        def there() -> list[dict[int, str]]:
            return [report for report in self.reports(clordid) if values.items() <= report.items()]

        self.broker.wait_for(lambda: bool(there()), SECONDS)
        return there()[0]

    def enter(self, side: str, lots: int, symbol: str = TEST, price: str | None = PRICE, **fields: str) -> str:
        return self.broker.order(symbol, side, lots, price, **fields)

    def cancel(self, clordid: str, side: str = "buy") -> None:
        self.broker.cancel(clordid, TEST, side)
        self.wait(clordid, t150="4", t39="4")

    def executions(self) -> dict[str, Execution]:
        """All that QuickFIX/J gave to its application, by ExecID(17)."""
        found = map(tags, self.broker.executions.values())
        return {m[17]: (m[150], m.get(55, ""), Decimal(m.get(32, 0)), Decimal(m.get(31, 0))) for m in found}


# ---- the story ----


def in_the_living_market(client: Client, symbols: list[str]) -> None:
    """Takes from the market maker and the background flow in every instrument that lives."""
    for symbol in symbols:
        order = client.enter("buy", 10, symbol, None, t59="3")
        fill = client.wait(order, t150="F")
        client.say(f"{client.name} bought {fill[32]} {symbol} at {fill[31]} from the market")


def with_each_other(one: Client, other: Client) -> None:
    """An order rests, the other's takes it; both sides are told of the one trade."""
    offer = one.enter("sell", 7)
    one.wait(offer, t150="0")
    bid = other.enter("buy", 7)
    sold, bought = one.wait(offer, t150="F"), other.wait(bid, t150="F")
    for side, liquidity in ((sold, "1"), (bought, "2")):
        found = (side[39], side[32], Decimal(side[31]), side[851])
        assert found == ("2", "7", Decimal(PRICE), liquidity), side
    assert command(sold) == command(bought), "one command, one trade"
    one.say(f"{one.name} sold 7 {TEST} at {sold[31]} to {other.name}: ExecIDs {sold[17]} and {bought[17]}")


def fills(client: Client, clordid: str) -> list[str]:
    return [report[32] for report in client.reports(clordid) if report[150] == "F"]


def scenarios(one: Client, other: Client) -> None:
    """Each scenario by its quantity; the slow one goes by while the other client is served."""
    order = one.enter("buy", 101)
    one.wait(order, t39="2")
    assert fills(one, order) == ["101"]
    parts = one.enter("buy", 102)
    one.wait(parts, t39="0")
    slow = other.enter("buy", 104)  # behind it in the book, so that the counterparty does not meet it first
    one.wait(parts, t39="2")
    assert fills(one, parts) == ["34", "34", "34"]
    other.wait(slow, t39="0")
    other.cancel(slow)
    half = one.enter("buy", 103)
    assert one.wait(half, t150="F")[151] == "52"
    one.cancel(half)
    halts(one, other)
    calls(one, other)
    unasked = one.enter("buy", 108)
    assert 41 not in one.wait(unasked, t39="4"), "nobody has asked for this cancel"
    one.say(f"{one.name}, {other.name}: the scenarios {', '.join(map(str, sorted(set(SCENARIOS) - {CUT_LOTS})))}")


def halts(one: Client, other: Client) -> None:
    """While the instrument is halted nobody enters an order; then everybody does again."""
    order = one.enter("buy", 106)
    one.wait(order, t39="0")
    for refused in (True, False):
        while _refused(other, probe := other.enter("buy", 3, price="90.00")) != refused:
            if not refused:
                time.sleep(0.2)
                continue
            other.cancel(probe)
    other.cancel(probe)
    one.cancel(order)


def _refused(client: Client, clordid: str) -> bool:
    client.broker.wait_for(lambda: bool(client.reports(clordid)), SECONDS)
    return client.reports(clordid)[0][39] == "8"


def calls(one: Client, other: Client) -> None:
    """In the volatility call what crosses waits; the auction that ends it trades."""
    order = one.enter("buy", 107)
    one.wait(order, t39="0")
    for _ in range(50):
        crossing = other.enter("sell", 1)
        taken, filled = other.wait(crossing, t150="0"), other.wait(crossing, t150="F")
        if command(taken) != command(filled):
            break
        time.sleep(0.1)
    else:
        raise AssertionError("every crossing order was filled at once: no call came")
    one.cancel(order)


def command(report: dict[int, str]) -> str:
    """The number of the command that did it, which an ExecID(17) begins with."""
    return report[17].partition("-")[0]


def disconnected(client: Client) -> None:
    """The line is cut before the acknowledgement: QuickFIX/J logs on again and asks for what it missed."""
    before, seen = client.broker.ups, len(client.broker.record)
    order = client.enter("buy", CUT_LOTS)
    client.broker.wait_for(lambda: client.broker.ups > before, SECONDS)
    client.wait(order, t39="0")
    client.wait(order, t39="4")
    lines = client.broker.record[seen:]
    assert any(line.startswith("> ") and "|35=2|" in line for line in lines), "it asked for what it had missed"
    assert any(f"|11={order}|" in line and "|43=Y|" in line for line in lines if line.startswith("< ")), "and got it"
    client.say(f"{client.name} was cut, logged on again, and was told of {order} by a resend")


def leave(client: Client) -> None:
    """A Logout, answered with one."""
    client.broker.log_out()
    answers = [line for line in client.broker.record[-10:] if line.startswith("< ") and "|35=5|" in line]
    assert answers and "|58=" not in answers[-1], client.broker.record[-10:]
    rejects = [line for line in client.broker.record if "|35=3|" in line]
    assert rejects == [], "neither side has rejected a message of the other's"
    client.say(f"{client.name} logged out")


# ---- the journal ----


def of_the_journal(config: Config) -> dict[str, dict[str, Execution]]:
    """Each session's executions by ExecID(17), by replaying the journal through the core."""
    from cores import Core, EventKind
    from venue.follower import Follower
    from venue.processes import core_config

    kinds = {EventKind.ACCEPTED: "0", EventKind.REJECTED: "8", EventKind.FILL: "F", EventKind.CANCELLED: "4"}
    names = {session.id: session.comp_id for _, session in config.sessions()}
    found: dict[str, dict[str, Execution]] = {comp_id: {} for comp_id in names.values()}
    core = Core(core_config(config))
    with Follower(config.journal_dir) as follower:
        while len(piece := follower.poll(4_096)):
            events, _ = core.apply(piece.commands)
            for event in events:
                if event["session"] and event["kind"] in kinds:
                    seq, index = divmod(int(event["exec_id"]), 1 << 24)
                    instrument = next(i for i in config.instruments if i.id == event["symbol"])
                    filled = event["kind"] == EventKind.FILL
                    qty = int(event["qty_lots"]) * instrument.lot if filled else Decimal(0)
                    price = int(event["price_ticks"]) * instrument.tick if filled else Decimal(0)
                    own = (kinds[event["kind"]], instrument.symbol, qty, price)
                    found[names[int(event["session"])]][f"{seq}-{index}"] = own
    return found


def reconcile(client: Client, journal: dict[str, Execution]) -> int:
    """Asserts that what the client was told is what the journal says; returns how many executions."""
    told = client.executions()
    missing, invented = journal.keys() - told.keys(), told.keys() - journal.keys()
    assert not missing and not invented, f"{client.name}: not told {sorted(missing)}, not in the journal {invented}"
    wrong = {name: (told[name], journal[name]) for name in journal if told[name] != journal[name]}
    assert wrong == {}, f"{client.name}: told otherwise than the journal says: {wrong}"
    traded = sum((qty for kind, _, qty, _ in journal.values() if kind == "F"), Decimal(0))
    client.say(f"{client.name}: {len(told)} executions, {traded} traded, all as the venue's journal has them")
    return len(told)


def play(folder: Path, say: Callable[[str], None]) -> dict[str, int]:
    """The whole story; the number of executions by client."""
    clients: list[Client] = []
    try:
        with sandbox(folder) as welcome:
            clients = [Client(welcome, comp_id, say) for comp_id in MEMBERS]
            one, other = clients
            for client in clients:
                client.broker.log_on()
                say(f"{client.name} logged on at {welcome.host}:{welcome.port}")
                in_the_living_market(client, welcome.living)
            with_each_other(one, other)
            with_each_other(other, one)
            scenarios(one, other)
            disconnected(one)
            with_each_other(one, other)
            for client in clients:
                leave(client)
        journal = of_the_journal(load(folder / "venue.toml"))
        return {client.name: reconcile(client, journal[client.name]) for client in clients}
    finally:
        for client in clients:
            client.broker.end()


def main() -> int:
    """Plays it before a person's eyes."""
    try:
        classpath()
    except Unavailable as reason:
        print(f"interop: {reason}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="fix-venue-interop-") as folder:
        play(Path(folder) / "sandbox", lambda text: print(text, flush=True))
    return 0


if __name__ == "__main__":
    sys.exit(main())
