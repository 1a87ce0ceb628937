"""The market data gateway: a process that follows the journal with its own core and serves its own FIX port.

It starts from its own checkpoint, or else from the journal's first entry, comes up to what is durable, and only then
lets clients in. Where the writer left a state root and this core stood there, the two are compared: a difference means
that two runs of one pure function disagree, so nothing is published any more and the process ends with an alarm. It
writes nothing that trading reads, and can be killed at any instant.
"""

from __future__ import annotations

import hashlib
import json
import logging
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path

from cores import Core, CoreConfig, StateError
from cores.roots import snapshot_root, state_root
from fix_sessions.listener import Listener
from fix_sessions.market_desk import SERVED, Desk
from fix_sessions.market_feed import Feed
from venue.config import Config
from venue.follower import Follower, JournalDamaged
from venue.log import event

log = logging.getLogger("market_data")

EXIT_FAILED = 1
EXIT_DIVERGED = 5
IDLE_SECONDS = 0.002
LIVE_COMMANDS = 4_096
CATCH_UP_COMMANDS = 65_536
CHECKPOINT_COMMANDS = 1_000_000
ROOTS_SECONDS = 1.0
_MAGIC = b"FVMARKT1"
_HEAD = struct.Struct("<8sQQQ")  # magic, sequence number, bytes of the state, bytes of the days


class Diverged(Exception):
    """This core's state is not the writer's."""


class MarketData:
    """The gateway. `open`, then `turn` again and again, then `close`; one thread."""

    def __init__(self, config: Config, clock: Callable[[], float] = time.monotonic) -> None:
        self.config = config
        self.folder = config.data_dir / "market_data"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.feed = restored(config, self.folder / "feed.state")
        self.desk = Desk(config, self.feed, clock)
        self.follower = Follower(config.journal_dir, self.feed.last_seq + 1)
        self.roots = WriterRoots(config.data_dir / "snapshot", config.journal.snapshot_commands, clock)
        section = config.market_data
        self.listener = Listener(config, "market_data", section.host, section.port, self.folder, self.desk, SERVED)
        self.desk.sender = self.listener
        self.lag_seconds = 0.0
        self._kept_seq = self.feed.last_seq

    def open(self) -> None:
        """Comes up to what is durable, then lets clients in."""
        while self._apply(CATCH_UP_COMMANDS):
            pass
        self.listener.start()
        event(log, "market data served", seq=self.feed.last_seq, host=self.listener.host, port=self.listener.port)

    def turn(self) -> bool:
        """Applies what is new, answers, publishes; whether anything was done. Raises Diverged and JournalDamaged."""
        applied = self._apply(LIVE_COMMANDS)
        answered = self.desk.serve()
        self.desk.publish()
        if self.feed.last_seq - self._kept_seq >= CHECKPOINT_COMMANDS:
            self.keep()
        return bool(applied or answered)

    def pause(self) -> None:
        """Waits for a request or a moment."""
        self.desk.wake.wait(IDLE_SECONDS)

    def keep(self) -> None:
        """Remembers the state, so that the next start is short."""
        keep(self.folder / "feed.state", self.feed)
        self._kept_seq = self.feed.last_seq

    def close(self, reason: str = "the venue is closing") -> None:
        """Logs everybody out and lets go of everything."""
        self.listener.stop(reason)
        self.follower.close()

    def _apply(self, limit: int) -> int:
        commands = self.follower.poll(limit).commands
        count = len(commands)
        while len(commands):
            part = self.roots.part(int(commands["seq"][0]), len(commands))
            self.desk.applied(*self.feed.apply(commands[:part]))
            self.roots.passed(self.feed.core)
            commands = commands[part:]
        if count:
            self.lag_seconds = max(0.0, (time.time_ns() - self.feed.last_time_ns) / 1e9)
        self.roots.compare(self.feed.core)
        return count


class WriterRoots:
    """The state roots that the writer leaves beside its snapshots, compared where this core stood or will stand.

    The next snapshot is expected so many commands after the last; this core's state is kept there until the writer's
    root is there to be compared.
    """

    def __init__(self, folder: Path, interval: int, clock: Callable[[], float]) -> None:
        self.folder = folder
        self.interval = interval
        self.clock = clock
        self.compared = 0
        self._next_look = 0.0
        self._seen: set[int] = set()
        self._expected = 0
        self._kept: dict[int, bytes] = {}

    def part(self, first_seq: int, count: int) -> int:
        """How many of the next commands to apply before the state is wanted."""
        left = self._expected - first_seq + 1
        return left if 0 < left < count else count

    def passed(self, core: Core) -> None:
        """Keeps the state when the writer is expected to have kept it."""
        if core.last_seq == self._expected:
            self._kept = {self._expected: core.snapshot()}

    def compare(self, core: Core) -> None:
        """Compares what can be compared. Raises Diverged."""
        now = self.clock()
        if now < self._next_look:
            return
        self._next_look = now + ROOTS_SECONDS
        found = {int(path.stem): path for path in self.folder.glob("*.root") if path.stem.isdecimal()}
        for seq in sorted(found.keys() - self._seen):
            mine = self._mine(seq, core)
            if mine is not None:
                theirs = found[seq].read_bytes()
                if mine != theirs:
                    raise Diverged(
                        f"after sequence number {seq} the writer's state root is {theirs.hex() or 'missing'}, this "
                        f"core's is {mine.hex()}: keep both folders as they are and find out which computed wrongly"
                    )
                self.compared += 1
                event(log, "state root compared", seq=seq)
            if mine is not None or seq < core.last_seq:
                self._seen.add(seq)
            self._expected = max(self._expected, seq + self.interval)

    def _mine(self, seq: int, core: Core) -> bytes | None:
        if seq in self._kept:
            return snapshot_root(self._kept.pop(seq))
        return state_root(core) if seq == core.last_seq else None


def keep(path: Path, feed: Feed) -> None:
    """Writes the feed's state beside its place, then puts it there."""
    state, days = feed.core.snapshot(), json.dumps(feed.days()).encode()
    body = _HEAD.pack(_MAGIC, feed.last_seq, len(state), len(days)) + state + days
    part = path.with_suffix(".part")
    part.write_bytes(body + hashlib.sha256(body).digest())
    part.replace(path)


def restored(config: Config, path: Path) -> Feed:
    """A feed from what `keep` wrote; a new one, for the journal's first entry, when that is not there or not sound."""
    limits = config.limits
    sizes = CoreConfig(limits.symbols, limits.accounts, limits.assets, limits.orders, limits.levels)
    try:
        data = path.read_bytes()
        body, digest = data[:-32], data[-32:]
        magic, seq, state_bytes, days_bytes = _HEAD.unpack_from(body)
        split = _HEAD.size + state_bytes
        if magic != _MAGIC or hashlib.sha256(body).digest() != digest or len(body) != split + days_bytes:
            raise ValueError("damaged")
        core = Core.restore(body[_HEAD.size : split])
        if core.last_seq != seq or core.config != sizes:
            raise ValueError("of another venue")
        feed = Feed(config, core)
        feed.restore_days(json.loads(body[split:]))
        return feed
    except FileNotFoundError:
        pass
    except (OSError, ValueError, StateError, struct.error, KeyError, TypeError) as error:
        event(log, "checkpoint passed over", logging.WARNING, path=str(path), reason=str(error))
    return Feed(config, Core(sizes))


def run(config: Config, stop: threading.Event, on_start: Callable[[MarketData], None] | None = None) -> int:
    """Serves until `stop`. Returns the process's exit code."""
    try:
        gateway = MarketData(config)
    except OSError as error:
        event(log, "market data cannot start", logging.CRITICAL, alarm="market_data", reason=str(error))
        return EXIT_FAILED
    reason, code = "the venue is closing", 0
    try:
        gateway.open()
        if on_start:
            on_start(gateway)
        while not stop.is_set():
            if not gateway.turn():
                gateway.pause()
        gateway.keep()
    except Diverged as error:
        event(log, "state root differs", logging.CRITICAL, alarm="divergence", reason=str(error))
        reason, code = "market data has stopped: its state is in doubt", EXIT_DIVERGED
    except JournalDamaged as error:
        event(log, "journal damaged", logging.CRITICAL, alarm="journal", reason=str(error))
        reason, code = "market data has stopped: the journal cannot be read", EXIT_FAILED
    except (OSError, RuntimeError) as error:
        event(log, "market data stopped", logging.CRITICAL, alarm="market_data", reason=str(error))
        reason, code = "market data has stopped", EXIT_FAILED
    finally:
        gateway.close(reason)
    return code
