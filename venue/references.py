"""What names a movement of money: a reference is good for one deposit, and for one withdrawal.

Why: an answer can be lost after the command was journaled. Whoever asks again with the same reference must not move
the money twice, also when the venue was started anew in between. What was used stands in the annexes of the journal;
those of earlier starts are read when the first one asks, by a core of their own, since a command that was refused has
not used its reference. Orders never come by here. It must never answer before it knows the whole journal.

Memory is bounded by the number of deposits and withdrawals that have a reference.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cores import CommandKind, Core, CoreConfig, EventKind
from venue.follower import Follower, JournalDamaged, Slice
from venue.records import SALT_BYTES, SubmitStatus

KINDS = {CommandKind.DEPOSIT: "deposit", CommandKind.WITHDRAW: "withdrawal"}
DONE = {CommandKind.DEPOSIT: EventKind.DEPOSITED, CommandKind.WITHDRAW: EventKind.WITHDRAWN}
TERMS = ("account", "asset", "qty_lots", "order_id", "price_ticks", "aux")  # a withdrawal's address is the last three
SLICE_COMMANDS = 65_536
READ_SECONDS_MAX = 10.0
POLL_SECONDS = 0.005
SEQ_BITS = 24

Answer = tuple[int, int, NDArray[np.void]]


class MovingEngine(Protocol):
    """What is needed of the engine."""

    @property
    def data_dir(self) -> Path: ...
    @property
    def config(self) -> CoreConfig: ...
    @property
    def last_seq(self) -> int: ...


@dataclass(frozen=True)
class Used:
    """Nothing was done: the reference had its use in command `seq`. The text says what that means for who asks."""

    seq: int
    text: str


@dataclass(frozen=True)
class NotYet:
    """Nothing was done: whether the reference was used is not known."""

    text: str


class References:
    """The references of one engine's journal. Any thread may ask; one after the other is dealt with."""

    def __init__(self, engine: MovingEngine) -> None:
        """Before anybody else moves money: what comes from here on comes by `once`."""
        self._engine = engine
        self._lock = threading.Lock()
        self._used: dict[tuple[int, bytes], int] = {}
        self._until_seq = engine.last_seq
        self._begin()

    def check(self) -> None:
        """Asserts that every use is of a command that there is."""
        with self._lock:
            assert all(0 < seq <= self._engine.last_seq for seq in self._used.values())
            assert self._read_seq <= self._until_seq

    def once(self, command: np.void, annex: bytes, call: Callable[[], Answer]) -> Answer | Used | NotYet:
        """Calls `call`, which submits the command, unless its reference was used before. None needs no leave."""
        ref = reference_of(annex) if command["kind"] in KINDS else b""
        if not ref:
            return call()
        with self._lock:
            try:
                known = self._read()
            except (JournalDamaged, OSError) as error:
                self._begin()
                return NotYet(f"nothing was done: which references were used cannot be read: {error}")
            if not known:
                return NotYet(
                    f"nothing was done: the journal is read up to command {self._read_seq} of {self._until_seq} by now,"
                    " to see whether the reference was used: ask again, it goes on from there"
                )
            kind = int(command["kind"])
            seq = self._used.get((kind, ref))
            if seq is not None:
                return Used(seq, self._words(command, ref, seq))
            status, seq, events = call()
            if status == SubmitStatus.OK and int(events["kind"][-1]) == DONE[CommandKind(kind)]:
                self._used[kind, ref] = seq
            return status, seq, events

    def _begin(self) -> None:
        """Knows nothing of earlier starts."""
        self._core: Core | None = None
        self._read_seq = 0

    def _read(self) -> bool:
        """Whether all that was journaled before this start is known; reads on for as long as who asks can wait."""
        if self._read_seq == self._until_seq:
            return True
        end = time.monotonic() + READ_SECONDS_MAX
        self._core = self._core or Core(self._engine.config)
        with Follower(self._engine.data_dir / "journal", self._read_seq + 1) as follower:
            while self._read_seq < self._until_seq and time.monotonic() < end:
                piece = follower.poll(min(SLICE_COMMANDS, self._until_seq - self._read_seq))
                if not len(piece):
                    time.sleep(POLL_SECONDS)
                    continue
                self._take(self._core, piece)
                self._read_seq = follower.next_seq - 1
        if self._read_seq < self._until_seq:
            return False
        self._core = None
        return True

    def _take(self, core: Core, piece: Slice) -> None:
        events, _ = core.apply(piece.commands)
        done = events["exec_id"][np.isin(events["kind"], list(DONE.values()))] >> SEQ_BITS
        for index in (done - piece.commands["seq"][0]).tolist():
            start = int(piece.annex_ends[index - 1]) if index else 0
            ref = reference_of(piece.annex[start + SALT_BYTES : int(piece.annex_ends[index])])
            if ref:
                command = piece.commands[index]
                self._used.setdefault((int(command["kind"]), ref), int(command["seq"]))

    def _words(self, command: np.void, ref: bytes, seq: int) -> str:
        with Follower(self._engine.data_dir / "journal", seq) as follower:
            first = follower.poll(1).commands[0]
        name, what = ref.decode("utf-8", "replace"), KINDS[CommandKind(int(command["kind"]))]
        if all(first[term] == command[term] for term in TERMS):
            return (
                f"this {what} was made already, by command {seq}, with the reference {name!r}: nothing was done now."
                f" A further {what} needs a reference of its own"
            )
        return (
            f"the reference {name!r} was used by another {what}, command {seq} (account {first['account']}, other"
            " terms than these): nothing was done now. Give this one a reference of its own"
        )


def reference_of(body: bytes) -> bytes:
    """The reference in an operator's annex; empty when there is none."""
    return next((part[4:] for part in body.split(b"\x01") if part.startswith(b"ref=")), b"")
