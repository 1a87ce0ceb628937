"""The engine's report as numpy sees it: one event with everything an ExecutionReport or OrderCancelReject needs.

Why: `engine.h` is the contract; this is its other spelling, kept equal by a test that asks the compiler. It must never
define what the header does not have.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag

import numpy as np

from cores.records import EVENT

CLORDID_BYTES = 40
ANNEX_BYTES_MAX = 4096
SALT_BYTES = 16

REPORT = np.dtype(
    [
        ("event", EVENT),
        ("time_ns", "<u8"),
        ("origin", "<u8"),
        ("order_qty_lots", "<u8"),
        ("order_price_ticks", "<u8"),
        ("cum_lots", "<u8"),
        ("value", "<u8"),
        ("order_detail", "<u8"),
        ("order_aux", "<u8"),
        ("session", "<u2"),
        ("symbol", "<u2"),
        ("side", "u1"),
        ("ord_type", "u1"),
        ("tif", "u1"),
        ("order_flags", "u1"),
        ("command_kind", "u1"),
        ("command_session_differs", "u1"),
        ("status", "S1"),
        ("peg", "u1"),
        ("account", "<u4"),
        ("clordid", f"S{CLORDID_BYTES}"),
        ("orig_clordid", f"S{CLORDID_BYTES}"),
    ]
)


class SubmitStatus(IntEnum):
    OK = 0
    KNOWN = 1
    STOPPED = 2
    INVALID = 3


class SubmitFlag(IntFlag):
    POSS_DUP = 1
    COMMIT_FOLLOWS = 2
    IF_PEGGED = 4
