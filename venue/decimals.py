"""Exact decimals for people: counts of ticks, lots and units as Arrow decimal128, by array operations.

A decimal128 is a 128-bit integer and a scale. A price is `ticks x tick`, so its integer is `ticks x unit` with
`unit = tick x 10^scale`: one multiplication of a 64-bit by a 128-bit integer for each row, done here in halves. No
float, no rounding: a value that does not fit its column is null, and the count itself stands beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pyarrow as pa

U64 = npt.NDArray[np.uint64]
Bool = npt.NDArray[np.bool_]

PRECISION = 38
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_DECIMAL_MAX = 10**PRECISION - 1


@dataclass(frozen=True)
class Units:
    """Multipliers by number: `unit[i]` as two words, and the largest count that still fits (0 words: no unit)."""

    low: U64
    high: U64
    count_max: U64

    @classmethod
    def of(cls, sizes: list[Fraction | None], scale: int) -> Units:
        """Multipliers for steps of these sizes at `scale`; a size that is finer than the scale has none."""
        scaled = [None if size is None else size * 10**scale for size in sizes]
        units = [int(unit) if unit is not None and unit.denominator == 1 else 0 for unit in scaled]
        units = [unit if 0 < unit <= _DECIMAL_MAX else 0 for unit in units]
        return cls(
            np.array([unit & (2**64 - 1) for unit in units], np.uint64),
            np.array([unit >> 64 for unit in units], np.uint64),
            np.array([min(_DECIMAL_MAX // unit, 2**64 - 1) if unit else 0 for unit in units], np.uint64),
        )


def decimals(counts: U64, kinds: npt.NDArray[np.int64], valid: Bool, units: Units, scale: int) -> pa.Array:
    """`counts[i] x unit[kinds[i]]` as decimal128; null where not `valid`, without a unit (kind < 0) or too large."""
    kinds_safe = np.where(kinds >= 0, kinds, 0)
    if len(units.low) == 0:
        valid = np.zeros(len(counts), np.bool_)
        low = high = np.zeros(len(counts), np.uint64)
    else:
        low, high, limit = units.low[kinds_safe], units.high[kinds_safe], units.count_max[kinds_safe]
        valid = valid & (kinds >= 0) & (limit > 0) & (counts <= limit)
    counts = np.where(valid, counts, np.uint64(0))
    return _array(*_multiply(counts, low, high), valid, scale)


def signed_decimals(counts: U64, kinds: npt.NDArray[np.int64], valid: Bool, units: Units, scale: int) -> pa.Array:
    """As `decimals`, the counts being two's complement."""
    negative = counts.astype(np.int64) < 0 if len(counts) else np.zeros(0, np.bool_)
    magnitude = np.where(negative, ~counts + np.uint64(1), counts)
    positive = decimals(magnitude, kinds, valid, units, scale)
    words = np.frombuffer(positive.buffers()[1], np.uint64).reshape(-1, 2).copy() if len(counts) else None
    if words is None or not negative.any():
        return positive
    low, high = words[negative, 0], words[negative, 1]
    words[negative, 0] = ~low + np.uint64(1)
    words[negative, 1] = ~high + (low == 0).astype(np.uint64)
    return pa.Array.from_buffers(positive.type, len(counts), [positive.buffers()[0], pa.py_buffer(words)])


def packed(valid: Bool) -> pa.Buffer | None:
    """Arrow's validity bitmap; None when all are valid."""
    return None if valid.all() else pa.py_buffer(np.packbits(valid, bitorder="little"))


def _multiply(counts: U64, low: U64, high: U64) -> tuple[U64, U64]:
    """Low and high word of counts x (high, low), which the caller knows to fit 128 bits."""
    if len(counts) and not high.any() and int(counts.max()) * int(low.max()) < 2**64:  # nearly always
        return counts * low, np.zeros(len(counts), np.uint64)
    count_low, count_high = counts & _LOW, counts >> _HALF
    low_low, low_high = low & _LOW, low >> _HALF
    first = count_low * low_low
    middle = count_high * low_low + (first >> _HALF)
    other = count_low * low_high + (middle & _LOW)
    result_high = count_high * low_high + (middle >> _HALF) + (other >> _HALF) + counts * high
    return (other << _HALF) | (first & _LOW), result_high


def _array(low: U64, high: U64, valid: Bool, scale: int) -> pa.Array:
    words = np.empty((len(low), 2), np.uint64)
    words[:, 0], words[:, 1] = low, high
    return pa.Array.from_buffers(pa.decimal128(PRECISION, scale), len(low), [packed(valid), pa.py_buffer(words)])
