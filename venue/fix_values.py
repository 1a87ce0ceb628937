"""Numbers as FIX writes them: decimals with the instrument's scale, averages, ExecIDs. Exact; no float anywhere."""

from __future__ import annotations

SEQ_BITS = 24


def decimal(value: int, scale: int) -> bytes:
    """value x 10^-scale with exactly `scale` decimals."""
    digits = b"%0*d" % (scale + 1, value)
    return digits if scale == 0 else digits[:-scale] + b"." + digits[-scale:]


def average(value: int, quantity: int, unit: int, scale: int) -> bytes:
    """value / quantity in units of `unit` x 10^-scale: four more decimals, rounded half up, no needless zeros."""
    if quantity == 0:
        return b"0"
    text = decimal((value * unit * 10_000 + quantity // 2) // quantity, scale + 4)
    kept = len(text.rstrip(b"0"))
    return text[: max(kept, len(text) - 4)].removesuffix(b".")


def identifier(exec_id: int) -> bytes:
    """ExecID(17): `seq-index`."""
    return b"%d-%d" % (exec_id >> SEQ_BITS, exec_id & ((1 << SEQ_BITS) - 1))


def exec_id_of(text: bytes) -> int | None:
    """An ExecID(17) as a number; None when it is none."""
    seq, dash, index = text.partition(b"-")
    if not (dash and seq.isdigit() and index.isdigit() and len(seq) <= 13 and len(index) <= 8):
        return None
    number = int(seq) << SEQ_BITS | int(index)
    return number if int(index) < 1 << SEQ_BITS and number < 1 << 64 else None
