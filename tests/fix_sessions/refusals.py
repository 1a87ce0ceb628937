"""Finds the refused message that changed something: the venue's core against one that never saw what was refused.

Two cores read the journal behind the venue. The first is given every command. The second is given, in the place of each
command that was refused, one that does nothing. After every portion all three states must be equal; where they are not,
the portion is gone through command by command, and the message that did it is named. It must never take the venue's
word for what was refused: the events of the first core say it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cores import CommandKind, Core, CoreConfig, EventKind
from venue.follower import Follower, Slice

REFUSALS = (EventKind.REJECTED, EventKind.CANCEL_REJECTED, EventKind.COMMAND_REJECTED)
SALT_BYTES = 16
Array = NDArray[np.void]
Refused = Callable[[Array, NDArray[np.uint64]], NDArray[np.bool_]]


def refused_ones(events: Array, ends: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which commands were refused: their only event says so."""
    starts = np.concatenate([np.zeros(1, ends.dtype), ends[:-1]])
    return np.isin(events["kind"][starts.astype(np.int64)], REFUSALS) & (ends - starts == 1)


def standing(state: bytes) -> bytes:
    """A core's state but for its sequence number and time, which a refused command takes like all others."""
    return state[:64] + bytes(16) + state[80:]


class Twins:
    """The two cores, and how far they have read."""

    def __init__(self, journal: Path, config: CoreConfig, refused: Refused = refused_ones) -> None:
        self.follower = Follower(journal)
        self.whole, self.spared = Core(config), Core(config)
        self._refused = refused
        self.commands = self.refused = 0

    def follow(self, state: bytes, last_seq: int) -> None:
        """Reads up to `last_seq`, which must be durable; `state` is the venue's own there."""
        while self.follower.next_seq <= last_seq:
            portion = self.follower.poll()
            assert len(portion), f"entry {self.follower.next_seq} of the journal is not there"
            self._portion(portion)
        assert self.follower.next_seq == last_seq + 1
        assert self.whole.snapshot() == state, "the venue's state is not what its journal makes"

    def _portion(self, portion: Slice) -> None:
        before = self.spared.snapshot()
        events, ends = self.whole.apply(portion.commands)
        refused = self._refused(events, ends)
        spared = portion.commands.copy()
        for name in ("side", "ord_type", "tif", "flags", "precheck"):
            spared[name][refused] = 0
        spared["kind"][refused] = CommandKind.TIME
        self.spared.apply(spared)
        self.commands += len(portion)
        self.refused += int(refused.sum())
        if standing(self.whole.snapshot()) != standing(self.spared.snapshot()):
            raise AssertionError(named(before, portion, refused))

    def close(self) -> None:
        self.follower.close()


def named(before: bytes, portion: Slice, refused: NDArray[np.bool_]) -> str:
    """The first refused message of a portion that changed the state."""
    core = Core.restore(before)
    ends = portion.annex_ends.tolist()
    for index in range(len(portion)):
        was = standing(core.snapshot())
        core.apply(portion.commands[index : index + 1])
        if refused[index] and standing(core.snapshot()) != was:
            body = portion.annex[(ends[index - 1] if index else 0) + SALT_BYTES : ends[index]]
            return f"refused, and changed the state: {portion.commands[index]} {body!r}"
    return "a portion with refused messages ends otherwise without them, and none of them by itself changed the state"
