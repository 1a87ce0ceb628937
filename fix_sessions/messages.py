"""FIX fields as bytes: read from a body, written as decimals, times and identifiers. Exact; no float anywhere.

The readable twin of `decimal.cpp` and of the writers in `reports.cpp`; what is written outside of sessions too is in
`venue/fix_values.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from venue.fix_values import SEQ_BITS as SEQ_BITS
from venue.fix_values import average as average
from venue.fix_values import decimal as decimal
from venue.fix_values import identifier as identifier

SOH = b"\x01"
DECIMAL = re.compile(rb"(-?)([0-9]*)(?:\.([0-9]*))?\Z")
DIGITS = re.compile(rb"[0-9]+\Z")
MOMENT = re.compile(rb"[0-9]{8}-([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?\Z")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY_NS = 86_400 * 10**9
WIDE = 10**38  # as many digits as the native reader takes before it says "overflow"

Field = tuple[int, bytes]


class Malformed(ValueError):
    """No decimal number."""


class Inexact(ValueError):
    """Not a whole number of ticks or lots."""


class Overflow(ValueError):
    """Larger than a record can hold."""


def fields(body: bytes) -> Iterator[Field]:
    """The fields of a body in order."""
    for part in body.split(SOH):
        tag, equal, value = part.partition(b"=")
        if equal and tag.isdigit():
            yield int(tag), value


def first_fields(body: bytes) -> dict[int, bytes]:
    """The first value of every tag."""
    found: dict[int, bytes] = {}
    for tag, value in fields(body):
        found.setdefault(tag, value)
    return found


def is_negative(text: bytes) -> bool:
    """Whether a number, or what looks like one, is below zero."""
    return text.startswith(b"-") and any(digit in text for digit in b"123456789")


def count(text: bytes, scale: int, unit: int, count_max: int) -> int:
    """How many units of `unit` x 10^-scale; a negative number counts as zero, which the core refuses."""
    match = DECIMAL.match(text)
    if match is None or not (match[2] or match[3]):
        raise Malformed(text)
    whole, decimals = match[2] or b"", match[3] or b""
    digits = int(whole + decimals or b"0")
    if match[1] and digits:
        return 0
    if digits and len((whole + decimals[:scale]).lstrip(b"0")) > 38:
        raise Overflow(text)
    spare = decimals[scale:]
    number = int(whole + decimals[:scale].ljust(scale, b"0") or b"0")
    if number > WIDE:
        raise Overflow(text)
    if spare.strip(b"0") or number % unit:
        raise Inexact(text)
    if number // unit > count_max:
        raise Overflow(text)
    return number // unit


def day(text: bytes) -> int | None:
    """YYYYMMDD as days since 1970, of the years 1970 to 2261; None when it is none."""
    if len(text) != 8 or not DIGITS.match(text) or not 1970 <= int(text[:4]) <= 2261:
        return None
    try:
        found = datetime(int(text[:4]), int(text[4:6]), int(text[6:]), tzinfo=UTC)
    except ValueError:
        return None
    return (found - EPOCH).days


def day_end(text: bytes) -> int | None:
    """The end of YYYYMMDD in UTC, in nanoseconds since 1970; None when it is no day."""
    found = day(text)
    return None if found is None else (found + 1) * DAY_NS


def time(text: bytes) -> int | None:
    """YYYYMMDD-HH:MM:SS with at most nine decimals in nanoseconds since 1970; None when it is no time."""
    match, days = MOMENT.match(text), day(text[:8])
    if match is None or days is None:
        return None
    hours, minutes, seconds = int(match[1]), int(match[2]), int(match[3])
    if hours > 23 or minutes > 59 or seconds > 59:
        return None
    part = int((match[4] or b"").ljust(9, b"0"))
    return days * DAY_NS + (hours * 3600 + minutes * 60 + seconds) * 10**9 + part


def timestamp(time_ns: int) -> bytes:
    """UTCTimestamp with nanoseconds."""
    moment = datetime.fromtimestamp(time_ns // 1_000_000_000, UTC)
    return moment.strftime("%Y%m%d-%H:%M:%S").encode() + b".%09d" % (time_ns % 1_000_000_000)
