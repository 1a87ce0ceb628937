"""The matching core: one pure function, apply(state, command) -> events, in C with a Python reference beside it.

Why: the same C sources run in the venue, in every replay and inside the zkVM, so what is proved is what traded.
`VENUE_CORE=reference` in the environment selects the readable Python implementation; both give the same bytes.
It must never know FIX, Arrow, a chain, a clock or a float.
"""

from __future__ import annotations

from cores._switch import IMPLEMENTATION, Core
from cores.records import (
    COMMAND,
    EVENT,
    SLOT,
    CommandFlag,
    CommandKind,
    CoreConfig,
    CoreError,
    CoreStatus,
    EventFlag,
    EventKind,
    Fact,
    Invariant,
    Limit,
    MissingError,
    OrderView,
    OrdType,
    Phase,
    Reason,
    SequenceError,
    Side,
    Smp,
    StateError,
    Tif,
)

__all__ = [
    "COMMAND",
    "EVENT",
    "IMPLEMENTATION",
    "SLOT",
    "CommandFlag",
    "CommandKind",
    "Core",
    "CoreConfig",
    "CoreError",
    "CoreStatus",
    "EventFlag",
    "EventKind",
    "Fact",
    "Invariant",
    "Limit",
    "MissingError",
    "OrdType",
    "OrderView",
    "Phase",
    "Reason",
    "SequenceError",
    "Side",
    "Smp",
    "StateError",
    "Tif",
]
