"""Seals a batch: applies its commands to a core and makes every root, leaf and the prover's input on the way.

Why: the archive, the proofs and the verifier must mean the same batch; this is the one place that makes one. Layouts
are those of spec/statements.md (public values) and proving/guest/guest.h (guest input). It must never leave out of
the input what the commands looked at, and never change the core but by applying the commands.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from cores._roots import deposits, withdrawals
from cores.roots import StateTree, WalkedCore, Words, command_leaves, event_leaves, tree_root

PUBLIC_VALUES_FORMAT = 1
PUBLIC_VALUES_SIZE = 264
INPUT_FORMAT = 1
INPUT_HEADER = struct.Struct("<8Q32s")

Records = npt.NDArray[Any]


class SealedCore(WalkedCore, Protocol):
    """What sealing needs of a core; both implementations have it."""

    @property
    def last_seq(self) -> int: ...
    def apply(self, commands: Records) -> tuple[Records, Words]: ...


@dataclass(frozen=True)
class Sealed:
    """One batch: what is public, what happened, what the prover needs."""

    public_values: bytes
    events: Records
    event_ends: Words
    guest_input: bytes
    command_leaves: Words
    event_leaves: Words

    @property
    def first_seq(self) -> int:
        return int.from_bytes(self.public_values[8:16], "big")

    @property
    def last_seq(self) -> int:
        return int.from_bytes(self.public_values[16:24], "big")

    @property
    def prev_state_root(self) -> bytes:
        return self.public_values[40:72]

    @property
    def state_root(self) -> bytes:
        return self.public_values[72:104]

    @property
    def command_root(self) -> bytes:
        return self.public_values[104:136]

    @property
    def event_root(self) -> bytes:
        return self.public_values[136:168]

    @property
    def deposit_acc(self) -> bytes:
        return self.public_values[200:232]

    @property
    def withdrawal_root(self) -> bytes:
        return self.public_values[232:264]


def seal(core: SealedCore, commands: Records, annex_digests: Words, deposit_acc: bytes) -> Sealed:
    """Applies `commands` (at least one) to `core`, which stands right before them, and seals them as one batch.

    `annex_digests`: one row of four words a command. `deposit_acc`: the 32 bytes after the batch before (zeros at
    the very first). The first call for a core walks its whole state; later ones only what the commands touch.
    Raises SequenceError when the commands do not continue the core's sequence; the core then keeps those before.
    """
    if len(commands) == 0:
        raise ValueError("batch: it has no commands")
    if annex_digests.shape != (len(commands), 4):
        raise ValueError(f"batch: {len(commands)} commands but annex digests of shape {annex_digests.shape}")
    if len(deposit_acc) != 32:
        raise ValueError(f"batch: the deposit accumulator has {len(deposit_acc)} bytes, not 32")
    tree = StateTree.of(core)
    tree.refresh()
    first_seq = core.last_seq + 1
    prev_state_root = tree.root()
    events, event_ends = core.apply(commands)
    witness = _witness(tree, core, commands, annex_digests, deposit_acc)
    tree.refresh()
    leaves = command_leaves(commands, annex_digests)
    leaves_of_events = event_leaves(events, event_ends, annex_digests)
    public_values = (
        struct.pack(">5Q", PUBLIC_VALUES_FORMAT, first_seq, core.last_seq, len(commands), len(events))
        + prev_state_root
        + tree.root()
        + tree_root(leaves)
        + tree_root(leaves_of_events)
        + deposit_acc
        + deposits(deposit_acc, events)
        + withdrawals(events)
    )
    return Sealed(public_values, events, event_ends, witness, leaves, leaves_of_events)


def _witness(tree: StateTree, core: SealedCore, commands: Records, annex_digests: Words, deposit_acc: bytes) -> bytes:
    """The guest's input: `tree` still holds the state before the commands, `core` what they looked at."""
    touched_symbols, touched_accounts = core.dirty_symbols(), core.dirty_accounts()
    symbols = touched_symbols[touched_symbols < tree.symbols.count]
    accounts = touched_accounts[touched_accounts < tree.accounts.count]
    symbol_blocks, account_blocks = tree.symbols.cover(symbols), tree.accounts.cover(accounts)
    header = INPUT_HEADER.pack(
        INPUT_FORMAT,
        len(commands),
        len(symbols),
        len(accounts),
        len(symbols) + core.symbol_count - tree.symbols.count,
        len(accounts) + core.account_count - tree.accounts.count,
        len(symbol_blocks),
        len(account_blocks),
        deposit_acc,
    )
    tables = [tree.config_slots]
    tables += [tree.symbol_slots[number] for number in symbols.tolist()]
    tables += [tree.account_slots[number] for number in accounts.tolist()]
    parts = [symbols, accounts, symbol_blocks, account_blocks, commands, annex_digests, np.concatenate(tables)]
    return header + b"".join(np.ascontiguousarray(part).tobytes() for part in parts)
