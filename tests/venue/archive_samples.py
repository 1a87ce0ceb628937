"""Batches of records for the archive's tests: any bits the records can hold, and plausible trading."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from venue.archive_records import Records
from venue.static_data import AssetData, InstrumentData, MemberData, StaticData

STATIC = StaticData(
    venue="VENUE",
    mic="XDEM",
    assets=(AssetData(0, "USD", 4), AssetData(1, "ACME", 0), AssetData(2, "ETH", 12)),
    instruments=(
        InstrumentData(0, "ACME", "XS0000000009", "USD", 1, 0, 10, 25),
        InstrumentData(1, "ETHUSD", "", "USD", 2, 0, 10**8, 1),
        InstrumentData(2, "LATER", "", "USD"),
    ),
    members=(
        MemberData("ALPHA", "5299000ALPHA00000A01", (1, 2), (1,)),
        MemberData("BRAVO", "5299000BRAVO00000B02", (3,), (2, 3)),
        MemberData("NOLEI", "", (4,), (4,)),
    ),
)

EXTREMES = st.sampled_from([0, 1, 2, 255, 2**31, 2**32 - 1, 2**40 - 1, 2**62 - 1, 2**63, 2**64 - 1])
U64 = EXTREMES | st.integers(0, 2**64 - 1)
BODIES = st.sampled_from(
    [
        b"",
        b"35=D\x0111=A1\x0155=ACME\x01528=P\x01529=5 1\x011724=5\x01",
        b"35=D\x0111=\xff\x01448=CLIENT\x01447=D\x01452=3\x012376=24\x01448=ALGO7\x01452=12\x01",
        b"35=D\x0111=~A7-0\x01583=A1\x0155=ACME\x01parent=7\x01",
        b"verb=parent\x01actor=x\x01ref=A1\x0135=D\x0111=A1\x01847=1000\x01",
        b"35=G\x0111=A2\x0141=A1\x01",
        b"35=F\x0111=A3\x0141=A2",
        b"verb=deposit\x01actor=ops\x01ref=x\x01",
        b"verb=bust\x01actor=ops\x01buy.11=A1\x01buy.19=7-1\x01sell.11=\xff\x01sell.19=7-2\x01",
        b"\x01\x01=\x01==\x01",
    ]
)
ANNEXES = st.just(b"") | st.builds(bytes.__add__, st.binary(min_size=16, max_size=16), BODIES) | st.binary(max_size=40)


@st.composite
def arbitrary_records(draw: st.DrawFn) -> Records:
    """Records with any bits at all, within what ties commands and events together."""
    count = draw(st.integers(1, 12))
    first_seq = draw(st.sampled_from([1, 2, 1000, 2**40 - 13]))
    counts = draw(st.lists(st.integers(1, 4), min_size=count, max_size=count))
    total = sum(counts)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    commands = rng.integers(0, 2**64, (count, 8), dtype=np.uint64)
    events = rng.integers(0, 2**64, (total, 8), dtype=np.uint64)
    for records in (commands, events):
        for word in range(8):
            chosen = draw(U64)
            records[draw(st.integers(0, len(records) - 1)), word] = chosen
    kinds = np.array(draw(st.lists(st.integers(0, 26), min_size=total, max_size=total)), np.uint64)
    symbols = np.array(draw(st.lists(st.sampled_from([0, 1, 2, 3, 65535]), min_size=total, max_size=total)), np.uint64)
    events[:, 0] = (events[:, 0] & np.uint64(0x0000FFFFFFFFFF00)) | kinds | symbols << np.uint64(48)
    rows = np.repeat(np.arange(count), counts)
    index = np.concatenate([np.arange(n) for n in counts])
    near = draw(st.booleans())
    if near:  # order ids that point into the batch
        events[:, 3] = (np.uint64(first_seq) + rng.integers(0, count, total, dtype=np.uint64)) << np.uint64(24)
    commands[:, 1] = np.arange(first_seq, first_seq + count, dtype=np.uint64)
    commands[:, 2] = np.sort(rng.integers(0, 2**63, count, dtype=np.uint64))
    events[:, 1] = commands[rows, 1] << np.uint64(24) | index.astype(np.uint64)
    annexes = draw(st.lists(ANNEXES, min_size=count, max_size=count))
    blob = np.frombuffer(b"".join(annexes), np.uint8)
    ends = np.cumsum([len(annex) for annex in annexes])
    return Records(commands, blob, ends.astype(np.int64), events, np.cumsum(counts).astype(np.int64))
