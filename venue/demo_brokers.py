"""The demo's three brokers: real FIX sessions, each in a thread, with a ledger of what they were told.

Each broker plays its seeded flow with a bounded number of unanswered requests. When the venue is gone it logs on again
with the sequence numbers it has, and FIX's own resending makes good what was on the wire. In the end every request has
an answer and every execution in the journal is in exactly one ledger; what does not fit is a problem.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from fix_sessions.client import Broker, SessionLost
from venue.config import Config
from venue.order_flow import OrderFlow, Resting, Step

WINDOW = 32
RECONNECT_SECONDS_MAX = 60.0
ANSWER_SECONDS_MAX = 60.0
QUIET_SECONDS = 0.5
ENDED = frozenset((b"2", b"4", b"8", b"C"))


class DemoBroker:
    """One session and its flow. `trade` runs in a thread of its own until `closing` is set."""

    def __init__(self, broker: Broker, flow: OrderFlow, orders: int) -> None:
        self.broker, self.flow, self.orders = broker, flow, orders
        self.sent = 0
        self.unanswered: dict[str, Step] = {}
        self.reconnects = 0
        self.failure = ""
        self.idle = threading.Event()
        self._read = 0

    def trade(self, closing: threading.Event) -> None:
        """Plays all orders, then keeps reading until `closing`. A failure is kept for the report."""
        try:
            while not closing.is_set():
                try:
                    self._turn()
                except (SessionLost, OSError):
                    self.reconnects += 1
                    self.log_on()
        except Exception as error:  # a thread must not die unseen: it becomes a problem of the demo
            self.failure = f"{type(error).__name__}: {error}"
            self.idle.set()

    def check(self) -> None:
        """Asserts that nothing is counted twice."""
        assert self.sent <= self.orders
        assert len(self.unanswered) <= WINDOW

    def _turn(self) -> None:
        if self.sent < self.orders and len(self.unanswered) < WINDOW:
            self._send(self.flow.next())
            self.broker.poll(0.0)
        else:
            handled = self.broker.poll(0.05)
            if self.sent >= self.orders and not self.unanswered and not handled:
                self.idle.set()
        self._take_in()

    def log_on(self) -> None:
        """Logs on, again and again while the venue is not there."""
        deadline = time.monotonic() + RECONNECT_SECONDS_MAX
        while True:
            try:
                self.broker.log_on()
                return
            except (OSError, TimeoutError):
                self.broker.close()
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def _send(self, step: Step) -> None:
        side = "buy" if step.side == "1" else "sell"
        symbol = step.instrument.symbol
        fields = {"t59": step.tif, **({"t18": "6"} if step.post_only else {})}
        begin = self.broker.next_out
        try:
            if step.kind == "D":
                self.broker.order(symbol, side, step.qty, step.price, **fields)
            elif step.kind == "F":
                self.broker.cancel(step.orig, symbol, side, t38=step.qty)
            else:
                self.broker.replace(step.orig, symbol, side, step.qty, step.price)
        finally:
            # What has a sequence number counts as sent, even when the connection broke: FIX will repeat it.
            if self.broker.next_out > begin and begin in self.broker.sent:
                clordid = next(str(value) for tag, value in self.broker.sent[begin][1] if tag == 11)
                self.unanswered[clordid] = step
                self.sent += step.kind == "D"

    def _take_in(self) -> None:
        for message in self.broker.inbox[self._read :]:
            self._on_report(message)
        self._read = len(self.broker.inbox)

    def _on_report(self, message: object) -> None:
        get = message.get  # type: ignore[attr-defined]
        clordid = get(11).decode() if get(11) else ""
        step = self.unanswered.pop(clordid, None)
        if get(35) != b"8":
            return
        if get(39) in ENDED:
            self.flow.closed(clordid)
        elif step is not None and step.kind in "DG" and step.price is not None:
            self.flow.opened(clordid, Resting(step.instrument, step.side, step.qty, step.price))


class Brokers:
    """All sessions of the configuration, playing `orders` orders between them."""

    def __init__(self, config: Config, passwords: dict[str, str], orders: int, seed: int) -> None:
        sessions = config.sessions()
        share = [orders // len(sessions) + (i < orders % len(sessions)) for i in range(len(sessions))]
        self.brokers: dict[int, DemoBroker] = {}
        for number, (member, session) in enumerate(sessions):
            broker = Broker(
                config.fix.host,
                config.fix.port,
                session.comp_id,
                session.username,
                passwords[member.id],
                venue=config.venue.name,
            )
            self.brokers[session.id] = DemoBroker(broker, OrderFlow(seed, number, config.instruments), share[number])
        self.orders = orders
        self._state, self._since = (-1, -1), 0.0

    @property
    def sent(self) -> int:
        return sum(broker.sent for broker in self.brokers.values())

    def log_on(self) -> list[Broker]:
        """Logs everybody on; returns the brokers, in the order of the configuration."""
        for broker in self.brokers.values():
            broker.log_on()
        return [broker.broker for broker in self.brokers.values()]

    def log_out(self, settle: Callable[[], int]) -> int:
        """Reads what is still on its way, logs everybody out. `settle` gives the last sequence number before that.

        Returns that number: up to it every execution must have reached its broker.
        """
        last_seq = settle()
        for broker in self.brokers.values():
            deadline = time.monotonic() + QUIET_SECONDS
            while time.monotonic() < deadline:
                broker.broker.poll(QUIET_SECONDS / 10)
        for broker in self.brokers.values():
            broker.broker.log_out()
        return last_seq

    def play(self, half_way: Callable[[], None], progress: Callable[[int], None]) -> None:
        """Plays the flow on sessions that are logged on, and leaves them so; calls `half_way` once."""
        closing = threading.Event()
        threads = [threading.Thread(target=b.trade, args=(closing,), daemon=True) for b in self.brokers.values()]
        for thread in threads:
            thread.start()
        killed = False
        while not all(broker.idle.is_set() for broker in self.brokers.values()):
            progress(self.sent)
            if not killed and self.sent >= self.orders // 2:
                killed = True
                half_way()
            if self._stuck():
                break
            time.sleep(0.01)
        progress(self.sent)
        closing.set()
        for thread in threads:
            thread.join(ANSWER_SECONDS_MAX)

    def problems(self) -> list[str]:
        """Requests without an answer, executions told twice, sessions that failed."""
        found = []
        for broker in self.brokers.values():
            name = broker.broker.comp_id
            if broker.failure:
                found.append(f"{name}: {broker.failure}")
            if broker.unanswered:
                found.append(f"{name}: no answer to {len(broker.unanswered)} requests, first {min(broker.unanswered)}")
            if broker.broker.duplicates:
                found.append(f"{name}: {broker.broker.duplicates} executions came twice")
        return found

    def reconcile(self, config: Config, last_seq: int) -> list[str]:
        """Compares every ledger with the journal up to `last_seq`: nothing missing, nothing invented."""
        told = executions(config, last_seq)
        found = []
        for session, broker in self.brokers.items():
            wanted = told.get(session, set())
            have = {e.decode() for e in broker.broker.executions if int(e.split(b"-")[0]) <= last_seq}
            for what, ids in (("never reached", wanted - have), ("are only with", have - wanted)):
                if ids:
                    found.append(f"{len(ids)} executions {what} {broker.broker.comp_id}, first {min(ids)}")
        return found

    def _stuck(self) -> bool:
        """No answer to anybody for too long."""
        now = time.monotonic()
        state = (self.sent, sum(len(b.broker.inbox) for b in self.brokers.values()))
        if state != self._state:
            self._state, self._since = state, now
        return now - self._since > ANSWER_SECONDS_MAX


@dataclass
class DayCounts:
    """What a journal's events say of the day."""

    auction_fills: int = 0
    stops_triggered: int = 0
    refreshes: int = 0
    volatility_calls: int = 0
    halts: int = 0


def day_counts(config: Config) -> DayCounts:
    """Counts over the whole journal, replayed."""
    from cores import Core, EventFlag, EventKind
    from cores.records import Phase
    from venue.follower import Follower
    from venue.processes import core_config

    counts, core = DayCounts(), Core(core_config(config))
    with Follower(config.journal_dir) as follower:
        while len(piece := follower.poll(4_096)):
            events, _ = core.apply(piece.commands)
            kinds, phases = events["kind"], events["leaves_lots"]
            in_auction = (events["flags"] & EventFlag.AUCTION) != 0
            counts.auction_fills += int(((kinds == EventKind.FILL) & in_auction).sum()) // 2
            counts.stops_triggered += int((kinds == EventKind.TRIGGERED).sum())
            counts.refreshes += int((kinds == EventKind.REFRESHED).sum())
            counts.volatility_calls += int(((kinds == EventKind.PHASE) & (phases == Phase.VOLATILITY)).sum())
            counts.halts += int(((kinds == EventKind.PHASE) & (phases == Phase.HALT)).sum())
    return counts


def executions(config: Config, last_seq: int) -> dict[int, set[str]]:
    """ExecID(17) by session number of every execution that a session must be told, by replaying the journal."""
    from cores import Core, EventKind
    from venue.follower import Follower
    from venue.processes import core_config

    kinds = [EventKind.ACCEPTED, EventKind.REJECTED, EventKind.FILL, EventKind.CANCELLED]
    kinds += [EventKind.REPLACED, EventKind.EXPIRED, EventKind.TRIGGERED, EventKind.REFRESHED, EventKind.RESTATED]
    kinds.append(EventKind.BUSTED)
    found: dict[int, set[str]] = {}
    core = Core(core_config(config))
    with Follower(config.journal_dir) as follower:
        while core.last_seq < last_seq and len(piece := follower.poll(min(4_096, last_seq - core.last_seq))):
            events, _ = core.apply(piece.commands)
            for event in events:
                if event["session"] and event["kind"] in kinds:
                    seq, index = divmod(int(event["exec_id"]), 1 << 24)
                    found.setdefault(int(event["session"]), set()).add(f"{seq}-{index}")
    return found
