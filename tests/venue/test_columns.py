"""The archive's columns: canonical ones exact both ways, those for people equal to a naive reading of the records."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cores import EVENT, EventKind, Reason
from tests.venue.archive_market import Market, config, core_of, joined
from tests.venue.archive_samples import ANNEXES, STATIC, arbitrary_records
from venue import archive_file
from venue.annexes import Annexes, binary_array, blob_of
from venue.archive_records import CANONICAL_FIELDS, ColumnsError, Records, from_columns, to_columns
from venue.batches import BatchRecord
from venue.columns import FIELDS, PEOPLE_FIELDS, project
from venue.decimals import Units, decimals, signed_decimals
from venue.open_orders import Carried, carry
from venue.static_data import StaticData, StaticDataError, instrument_sizes

RECORD = ("commands", "annex", "annex_ends", "events", "event_ends")


def record_of(records: Records) -> BatchRecord:
    zeros = [bytes(32)] * 8
    return BatchRecord(3, records.first_seq, records.last_seq, len(records.commands), len(records.events), *zeros)


def same(one: Records, other: Records) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in RECORD)


@settings(max_examples=80)
@given(arbitrary_records())
def test_any_records_come_back_byte_for_byte(records: Records) -> None:
    table = archive_file.table(records, STATIC, Carried(), record_of(records))
    data = archive_file.encode(table)
    read = archive_file.decode("x", data)
    assert same(read.records(), records)
    assert read.static == STATIC and read.record == record_of(records)
    again = archive_file.encode(archive_file.table(records, STATIC, Carried(), record_of(records)))
    assert again.equals(data), "the same batch gives the same bytes"


@settings(max_examples=50)
@given(arbitrary_records(), arbitrary_records())
def test_anything_carried_is_taken_or_refused(before: Records, records: Records) -> None:
    """Orders carried from any records at all: a projection or a clear refusal, never a crash."""
    try:
        carried = carry(before, Carried())
        carried.check()
        projection = project(records, STATIC, carried)
        carry(records, carried).check()
    except ColumnsError as error:
        assert "order ids" in str(error)
    else:
        assert len(projection.known) == len(records.events)


@settings(max_examples=100)
@given(arbitrary_records(), st.data())
def test_canonical_columns_with_a_changed_cell_are_other_records_or_refused(
    records: Records, data: st.DataObject
) -> None:
    columns = to_columns(records)
    name = data.draw(st.sampled_from([f.name for f in CANONICAL_FIELDS if f.name not in ("annex", "event_time")]))
    row = data.draw(st.integers(0, len(records.events) - 1))
    values = columns[name].to_pylist()
    values[row] = data.draw(st.sampled_from([None, 0, 1, 2**8 - 1]).filter(lambda value: value != values[row]))
    columns[name] = pa.array(values, columns[name].type)
    try:
        found = from_columns(pa.table(columns))
    except ColumnsError:
        return
    assert not same(found, records)


def test_the_schema_says_where_rts_24_is() -> None:
    numbers = {int(field.metadata[b"rts24"]): field.name for field in FIELDS if field.metadata}
    assert (
        numbers[1] == "member_lei"
        and numbers[9] == "event_time"
        and numbers[21] == "event"
        and numbers[48] == "trade_id"
    )
    assert len(numbers) == 41 and len({field.name for field in FIELDS}) == len(FIELDS)


# ---- against a naive reading, order by order ----


def fields_of(annex: bytes) -> list[tuple[str, str]]:
    parts = [part.split(b"=", 1) for part in annex[16:].split(b"\x01")[:-1] if b"=" in part]
    return [(tag.decode("latin-1"), value.decode("latin-1")) for tag, value in parts]


def party(fields: list[tuple[str, str]], role: str) -> str | None:
    for at, (tag, value) in enumerate(fields):
        group = dict(fields[at + 1 : at + 3])
        if tag == "448" and group.get("452") == role:
            return value
    return None


class Naive:
    """One event after the other, with a dictionary of orders: slow, and plainly what spec/archive.md says."""

    def __init__(self) -> None:
        self.entered: dict[int, tuple[Any, list[tuple[str, str]]]] = {}
        self.terms: dict[int, tuple[Any, list[tuple[str, str]]]] = {}

    def row(self, command: Any, annex: bytes, event: Any) -> dict[str, Any]:
        fields = fields_of(annex)
        kind, order_id = EventKind(int(event["kind"])), int(event["order_id"])
        by_member = bool(fields) and fields[0][0] == "35"
        if kind in (EventKind.ACCEPTED, EventKind.REJECTED):
            self.entered[order_id] = self.terms[order_id] = (command, fields)
        if kind == EventKind.REPLACED:
            self.terms[order_id] = (command, fields)
        row: dict[str, Any] = {"kind": kind.name, "event": self._event(kind, event, by_member)}
        reason = Reason(int(event["reason"]))
        row["reason"] = reason.name.removeprefix("REJECT_") if reason else None
        is_order = EventKind.ACCEPTED <= kind <= EventKind.EXPIRED and kind != EventKind.CANCEL_REJECTED
        if is_order:
            row |= self._order(kind, event, *self.entered[order_id], *self.terms[order_id])
        if EventKind.ACCEPTED <= kind <= EventKind.EXPIRED:
            row["side"] = {1: "BUYI", 2: "SELL"}.get(int(event["side"]))
            row["book"] = {0: "ACME", 1: "BOLT"}.get(int(event["symbol"]))
            row["isin"] = {0: "XS0000000009"}.get(int(event["symbol"]))
        if int(event["exec_id"]) & 0xFFFFFF == 0:
            row["request_clordid"], row["orig_clordid"] = dict(fields).get("11"), dict(fields).get("41")
        return row

    @staticmethod
    def _event(kind: EventKind, event: Any, by_member: bool) -> str | None:
        if kind == EventKind.CANCELLED:
            return "CAME" if by_member and event["reason"] in (Reason.NONE, Reason.CANCEL_MASS) else "CAMO"
        return {
            EventKind.ACCEPTED: "NEWO",
            EventKind.REJECTED: "REMO",
            EventKind.FILL: "PARF" if event["leaves_lots"] else "FILL",
            EventKind.REPLACED: "REME" if by_member else "REMH",
            EventKind.EXPIRED: "EXPI",
        }.get(kind)

    @staticmethod
    def _order(kind: EventKind, event: Any, entry: Any, entered: Any, terms: Any, last: Any) -> dict[str, Any]:
        symbol = int(event["symbol"])
        known = symbol < 2
        tick, lot = ((Decimal("0.01"), Decimal(1)), (Decimal("0.005"), Decimal("0.1")))[symbol if known else 0]
        tags = dict(entered)
        limit = int(entry["ord_type"]) == 2
        seconds = int(entry["time_ns"]) // 10**9
        row = {
            "clordid": dict(last).get("11"),
            "client_id": party(entered, "3"),
            "execution_decision": party(entered, "12"),
            "non_executing_broker": party(entered, "26"),
            "investment_decision": party(entered, "122"),
            "capacity": {"P": "DEAL", "R": "MTCH", "A": "AOTC"}.get(tags.get("528", "")),
            "dea": tags.get("1724") == "5",
            "liquidity_provision": "5" in tags.get("529", "").split(" "),
            "validity": {0: "DAVY", 1: "GTCV", 3: "IOCV", 4: "FOKV"}[int(entry["tif"])],
            "order_type": "MARKET" if not limit else "LIMIT_POST_ONLY" if entry["flags"] & 1 else "LIMIT",
            "post_only": bool(entry["flags"] & 1),
            "received_date": datetime.fromtimestamp(seconds, UTC).date(),
            "limit_price": int(terms["price_ticks"]) * tick if limit and known else None,
            "order_qty": int(terms["qty_lots"]) * lot if known else None,
            "min_qty": int(entry["aux"]) * lot if known and entry["aux"] else None,
        }
        if kind == EventKind.FILL:
            aggressor = bool(event["flags"] & 2)
            exec_id = int(event["exec_id"]) - aggressor
            row |= {
                "last_price": int(event["price_ticks"]) * tick,
                "last_qty": int(event["qty_lots"]) * lot,
                "fee": Decimal(int(event["aux"])) / 10**4,
                "liquidity": "AGRE" if aggressor else "PASV",
                "trade_id": f"{exec_id >> 24}-{exec_id & 0xFFFFFF}",
            }
        return row


CHECKED = (
    *("kind", "event", "reason", "clordid", "client_id", "execution_decision", "non_executing_broker", "capacity"),
    *("investment_decision", "dea", "liquidity_provision", "validity", "order_type", "post_only", "received_date"),
    *("side", "book", "isin", "limit_price", "order_qty", "min_qty", "last_price", "last_qty", "fee", "liquidity"),
    *("trade_id", "request_clordid", "orig_clordid"),
)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("batch_commands", [1, 17, 400])
def test_columns_for_people_are_what_a_naive_reader_finds(tmp_path: Path, seed: int, batch_commands: int) -> None:
    venue = config(tmp_path)
    market = Market(venue, seed)
    made = market.opening() + market.flow(60 if batch_commands == 1 else 700)
    core, carried, naive = core_of(venue), Carried(), Naive()
    kinds: set[int] = set()
    for start in range(0, len(made), batch_commands):
        part = made[start : start + batch_commands]
        piece = joined(part)
        static = StaticData.of(venue, [core.walk_symbol(n)[:2] for n in range(core.symbol_count)])
        events, ends = core.apply(piece.commands)
        records = Records.of(piece.commands, piece.annex, piece.annex_ends, events, ends)
        projection = project(records, static, carried)
        assert projection.known.all()
        expected = [
            naive.row(piece.commands[command], part[command][1], event)
            for event, command in zip(events, records.row_commands(), strict=True)
        ]
        for name in CHECKED:
            assert projection.columns[name].to_pylist() == [row.get(name) for row in expected], (seed, name)
        carried = carry(records, carried)
        kinds |= set(events["kind"].tolist())
    if batch_commands != 1:
        assert {EventKind.FILL, EventKind.REPLACED, EventKind.CANCELLED, EventKind.REJECTED} <= kinds


def test_an_instrument_set_within_a_batch_changes_prices_from_there_on() -> None:
    """Sizes come from the file's static data, and from each INSTRUMENT_SET on from that event."""
    events = np.zeros(4, EVENT)
    events["kind"] = [EventKind.FILL, EventKind.INSTRUMENT_SET, EventKind.FILL, EventKind.FILL]
    events["symbol"] = [0, 0, 0, 1]
    events["exec_id"] = [seq << 24 for seq in (1, 2, 3, 4)]
    events["price_ticks"], events["qty_lots"], events["order_id"] = 100, 3, 1 << 24
    events["account"][1], events["session"][1] = 1, 0  # base ACME, quote USD
    events["order_id"][1], events["aux"][1] = 1, 10_000  # one share, one dollar a tick
    commands = np.zeros((4, 8), np.uint64)
    commands[:, 1] = np.arange(1, 5)
    ends = np.arange(1, 5)
    records = Records(commands, np.zeros(0, np.uint8), np.zeros(4, np.int64), events.view("<u8").reshape(-1, 8), ends)
    columns = project(records, STATIC, Carried()).columns
    ethusd = Decimal(1) * Decimal(1) / 10**4 / (Decimal(10**8) / 10**12)
    assert columns["last_price"].to_pylist() == [Decimal("0.025"), None, Decimal(100), ethusd * 100]
    assert columns["last_qty"].to_pylist() == [30, None, 3, Decimal("0.0003")]


# ---- decimals ----

SIZES = st.fractions(min_value=0, max_value=10**6, max_denominator=10**13) | st.sampled_from(
    [Fraction(1, 100), Fraction(1, 3), Fraction(0), Fraction(10**20), Fraction(1, 10**13), Fraction(5, 10**14)]
)


@given(
    st.lists(st.integers(0, 2**64 - 1), max_size=20),
    st.lists(SIZES | st.none(), max_size=4),
    st.integers(0, 18),
    st.data(),
)
def test_decimals_are_exact_or_null(
    counts: list[int], sizes: list[Fraction | None], scale: int, data: st.DataObject
) -> None:
    kinds = data.draw(st.lists(st.integers(-1, len(sizes) - 1), min_size=len(counts), max_size=len(counts)))
    valid = data.draw(st.lists(st.booleans(), min_size=len(counts), max_size=len(counts)))
    signed = data.draw(st.booleans())
    make = signed_decimals if signed else decimals
    array = make(
        *(np.array(counts, np.uint64), np.array(kinds, np.int64), np.array(valid, np.bool_)),
        *(Units.of(sizes, scale), scale),
    )
    array.validate(full=True)
    for count, kind, is_valid, found in zip(counts, kinds, valid, array.to_pylist(), strict=True):
        size = sizes[kind] if kind >= 0 else None
        if signed and count >= 2**63:
            count -= 2**64
        fits = size and (size * 10**scale).denominator == 1 and abs(count * size * 10**scale) < 10**38
        if not is_valid or not fits or size * 10**scale >= 10**38:
            assert found is None
        else:
            assert found is not None and Fraction(found) == count * size


# ---- annexes ----


@given(st.lists(ANNEXES, max_size=8), st.sampled_from([b"35", b"11", b"41", b"528", b"1724", b"529"]))
def test_fields_are_those_a_split_finds(annexes: list[bytes], tag: bytes) -> None:
    blob, ends = np.frombuffer(b"".join(annexes), np.uint8), np.cumsum([len(a) for a in annexes], dtype=np.int64)
    found = Annexes(blob, ends)
    found.check()
    values = found.strings(found.values(tag)).to_pylist()
    for annex, value in zip(annexes, values, strict=True):
        text = next((v for t, v in fields_of(annex) if t.encode() == tag), None)
        printable = text is not None and text != "" and all(" " <= c <= "~" for c in text)
        assert value == (text if printable else None)
    for role in (3, 12, 26, 122):
        assert found.strings(found.party(role)).to_pylist() == [party(fields_of(annex), str(role)) for annex in annexes]


@given(st.lists(st.binary(max_size=30), max_size=10))
def test_binary_arrays_come_back(values: list[bytes]) -> None:
    blob, ends = b"".join(values), np.cumsum([len(v) for v in values], dtype=np.int64)
    array = binary_array(np.frombuffer(blob, np.uint8), ends)
    assert array.to_pylist() == values
    for cut in range(len(values) + 1):
        found, found_ends = blob_of(array.slice(cut))
        assert found.tobytes() == b"".join(values[cut:]) and len(found_ends) == len(values) - cut


# ---- static data ----


def test_static_data_comes_back() -> None:
    assert StaticData.from_json(STATIC.to_json()) == STATIC
    assert instrument_sizes(STATIC, 1, 0, 10, 25) == (Fraction(25, 100_000), 10, Fraction(1, 10_000))
    assert instrument_sizes(STATIC, 9, 0, 10, 25) == (None, None, None)


@pytest.mark.parametrize(
    "text", ["", "null", "{}", '{"venue": 1}', STATIC.to_json().replace('"scale":4', '"scale":-1')]
)
def test_broken_static_data_is_refused(text: str) -> None:
    with pytest.raises(StaticDataError):
        StaticData.from_json(text)


def test_people_columns_are_fields() -> None:
    assert {field.name for field in PEOPLE_FIELDS} < {field.name for field in FIELDS}
