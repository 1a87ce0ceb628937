"""Exact numbers and times, against Python's own fractions."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fix_sessions import messages
from fix_sessions.messages import Inexact, Malformed, Overflow

SCALES = st.integers(0, 8)
UNITS = st.integers(1, 10**6)


@given(st.integers(0, 2**40), UNITS, SCALES, st.integers(0, 3))
def test_count_reads_what_decimal_writes(number: int, unit: int, scale: int, zeros: int):
    text = messages.decimal(number * unit, scale) + (b"0" * zeros if scale else b"")
    assert messages.count(text, scale, unit, 2**40) == number


@given(st.decimals(0, 10**9, allow_nan=False, places=6), UNITS, SCALES)
def test_count_is_exact_or_refused(value: Decimal, unit: int, scale: int):
    units = Fraction(value) * 10**scale / unit
    text = f"{value:f}".encode()
    if units.denominator == 1 and units <= 2**40:
        assert messages.count(text, scale, unit, 2**40) == units
    else:
        with pytest.raises((Inexact, Overflow)):
            messages.count(text, scale, unit, 2**40)


@pytest.mark.parametrize(
    "text", [b"", b".", b"-", b"-.", b"1e3", b"+1", b" 1", b"1 ", b"0x1", b"1.2.3", b"nan", "١".encode()]
)
def test_what_is_no_decimal(text: bytes):
    with pytest.raises(Malformed):
        messages.count(text, 2, 1, 2**40)


@pytest.mark.parametrize(
    ("text", "value"), [(b"-1", 0), (b"-0", 0), (b"-0.00", 0), (b"5.", 500), (b".5", 50), (b"007", 700)]
)
def test_odd_but_valid(text: bytes, value: int):
    assert messages.count(text, 2, 1, 2**40) == value


@given(st.binary(max_size=20))
def test_any_bytes(text: bytes):
    with contextlib.suppress(Malformed, Inexact, Overflow):
        assert 0 <= messages.count(text, 3, 7, 1000) <= 1000


@given(st.integers(0, 2**62), st.integers(1, 2**40), UNITS, SCALES)
def test_average_is_rounded_half_up(value: int, quantity: int, unit: int, scale: int):
    exact = Fraction(value * unit, quantity) * 10_000
    rounded = (exact.numerator * 2 + exact.denominator) // (2 * exact.denominator)
    text = messages.average(value, quantity, unit, scale)
    assert Fraction(text.decode()) == Fraction(rounded, 10 ** (scale + 4))
    decimals = text.partition(b".")[2]
    assert scale <= len(decimals) <= scale + 4


@given(st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1)), st.integers(0, 999))
def test_timestamp(moment: datetime, nanoseconds: int):
    microseconds = (moment.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    text = messages.timestamp(microseconds * 1000 + nanoseconds)
    assert text == (moment.strftime("%Y%m%d-%H:%M:%S.%f") + f"{nanoseconds:03d}").encode()


def test_fields():
    body = b"35=D\x0111=a=b\x01bad\x0155=X\x0155=Y\x01"
    assert list(messages.fields(body)) == [(35, b"D"), (11, b"a=b"), (55, b"X"), (55, b"Y")]
    assert messages.first_fields(body)[55] == b"X"


def test_identifier():
    assert messages.identifier(7 << 24 | 3) == b"7-3"


@given(st.integers(0, 9_214_646_400 * 10**9 - 1))
def test_times_come_back(time_ns: int):
    text = messages.timestamp(time_ns)
    assert messages.time(text) == time_ns
    assert messages.time(text[:17]) == time_ns // 10**9 * 10**9
    assert messages.day_end(text[:8]) == (time_ns // messages.DAY_NS + 1) * messages.DAY_NS


@pytest.mark.parametrize(
    "text",
    [
        *(b"", b"20260230-00:00:00", b"20260101-24:00:00", b"20260101-00:60:00", b"20260101-00:00:60"),
        *(b"20260101 00:00:00", b"20260101-00:00:00.", b"20260101-00:00:00.1234567890", b"19691231-23:59:59"),
        *(b"22620101-00:00:00", b"2026010"),
    ],
)
def test_what_is_no_time(text: bytes):
    assert messages.time(text) is None
    assert messages.day_end(text) is None


@given(st.decimals(allow_nan=False, allow_infinity=False, places=3))
def test_below_zero(number: Decimal):
    assert messages.is_negative(f"{number:f}".encode()) == (number < 0)
