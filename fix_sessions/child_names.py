"""What the orders of an execution algorithm are called: `~A`, the number of the parent's journal entry, `-`, a count.

Why a name: a child is an ordinary order of the member's session in core, journal and archive; that it is a child, and
whose, is known from its ClOrdID(11) alone, after any restart. No member can give this name to an order of its own, for
a ClOrdID(11) that begins with `~` is refused (quote_names.py), and no quote has it: a quote's name goes on with B or S.
"""

from __future__ import annotations

import re

from fix_sessions.quote_names import MARK

CHILD_MARK = MARK + b"A"
NAME = re.compile(CHILD_MARK + rb"([0-9]{1,13})-([0-9]{1,9})\Z")


def compose(parent_seq: int, number: int) -> bytes:
    """The ClOrdID(11) of a parent's child; children are counted from 0."""
    return b"%s%d-%d" % (CHILD_MARK, parent_seq, number)


def parse(clordid: bytes) -> tuple[int, int] | None:
    """(number of the parent's entry, count); None when it is no child's."""
    if not clordid.startswith(CHILD_MARK):
        return None
    match = NAME.match(clordid)
    return (int(match[1]), int(match[2])) if match else None
