"""Batches for the guest's tests: one that walks through every rule of the core, and random ones."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
from cores._core import Core

from cores.batch import Sealed, seal
from tests.cores.fix_cores import SMALL, Play, generate, setup_fields
from tests.proving.fix_story import MARKET, story_of_every_rule

NO_DEPOSITS = bytes(32)


def annexes_of(count: int, seed: int = 0) -> np.ndarray[Any, Any]:
    annexes = [hashlib.sha256(struct.pack("<2Q", seed, i)).digest() for i in range(count)]
    return np.frombuffer(b"".join(annexes), "<u8").reshape(count, 4).astype(np.uint64)


def sealed_story() -> Sealed:
    records = story_of_every_rule()
    return seal(Core(MARKET), records, annexes_of(len(records)), NO_DEPOSITS)


@dataclass(frozen=True)
class Example(Sealed):
    """A sealed batch with what it was made from."""

    commands: np.ndarray[Any, Any]
    snapshot_before: bytes

    @property
    def prev_deposit_acc(self) -> bytes:
        return self.public_values[168:200]


def sealed_at_random(seed: int, count: int = 50) -> Example:
    """A batch of `count` random commands, many of them wrong, after a set-up that is no part of it."""
    play, scout = Play(), Core(SMALL)
    setup = np.concatenate([play.record(fields) for fields in setup_fields()])
    play.see(scout.apply(setup)[0])
    snapshot, rng, records = scout.snapshot(), Random(seed), []
    for _ in range(count):
        records.append(play.record(generate(rng.randrange(2**40))))
        play.see(scout.apply(records[-1])[0])
    commands = np.concatenate(records)
    acc = hashlib.sha256(b"%d" % seed).digest()
    sealed = seal(Core.restore(snapshot), commands, annexes_of(count, seed), acc)
    return Example(**vars(sealed), commands=commands, snapshot_before=snapshot)
