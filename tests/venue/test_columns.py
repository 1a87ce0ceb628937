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

from cores import EVENT, CommandKind, EventKind, Reason
from cores.records import Limit, Phase
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
    assert len(numbers) == 42 and len({field.name for field in FIELDS}) == len(FIELDS)


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


SIZES_OF = ((Decimal("0.01"), Decimal(1)), (Decimal("0.005"), Decimal("0.1")))


class Naive:
    """One event after the other, with a dictionary of orders: slow, and plainly what spec/archive.md says."""

    def __init__(self) -> None:
        self.entered: dict[int, tuple[Any, list[tuple[str, str]]]] = {}
        self.terms: dict[int, tuple[Any, list[tuple[str, str]]]] = {}
        self.prices: dict[int, int] = {}
        self.stops: dict[int, int] = {}
        self.triggered: set[int] = set()
        self.phases: dict[int, str] = {}

    def row(self, command: Any, annex: bytes, event: Any) -> dict[str, Any]:
        fields = fields_of(annex)
        kind, order_id = EventKind(int(event["kind"])), int(event["order_id"])
        by_member = bool(fields) and fields[0][0] == "35"
        if kind in (EventKind.ACCEPTED, EventKind.REJECTED):
            self.entered[order_id] = self.terms[order_id] = (command, fields)
        if kind == EventKind.REPLACED:
            self.terms[order_id] = (command, fields)
        self._follow(kind, order_id, command, event)
        row: dict[str, Any] = {"kind": kind.name, "event": self._event(kind, event, by_member)}
        reason = Reason(int(event["reason"]))
        row["reason"] = reason.name.removeprefix("REJECT_") if reason else None
        about_order = kind <= EventKind.EXPIRED or EventKind.TRIGGERED <= kind <= EventKind.RESTATED
        if about_order and kind != EventKind.CANCEL_REJECTED:
            row |= self._order(kind, event, *self.entered[order_id], *self.terms[order_id])
            row |= self._in_force(kind, event, order_id)
        if about_order or kind in (EventKind.PHASE, EventKind.INDICATIVE):
            row["phase"] = self.phases.get(int(event["symbol"]))
            row["book"] = {0: "ACME", 1: "BOLT"}.get(int(event["symbol"]))
            row["isin"] = {0: "XS0000000009"}.get(int(event["symbol"]))
        if about_order:
            row["side"] = {1: "BUYI", 2: "SELL"}.get(int(event["side"]))
        if kind in (EventKind.PHASE, EventKind.INDICATIVE):
            tick, lot = SIZES_OF[int(event["symbol"])]
            price, lots = int(event["price_ticks"]) * tick, int(event["qty_lots"]) * lot
            names = ("last_price", "last_qty") if kind == EventKind.PHASE else ("indicative_price", "indicative_qty")
            row |= dict(zip(names, (price or None, lots), strict=True)) if lots or kind == EventKind.INDICATIVE else {}
        if kind == EventKind.BUSTED:
            row |= self._busted(event, dict(fields))
        if kind == EventKind.LIMIT_SET:
            row["limit_kind"] = Limit(int(event["flags"])).name
        if int(event["exec_id"]) & 0xFFFFFF == 0:
            row["request_clordid"], row["orig_clordid"] = dict(fields).get("11"), dict(fields).get("41")
        return row

    def _busted(self, event: Any, said: dict[str, str]) -> dict[str, Any]:
        symbol, trade = int(event["symbol"]), int(event["order_id"])
        tick, lot = SIZES_OF[symbol]
        side = "buy" if event["side"] == 1 else "sell"
        return {
            "event": "BUST",
            "book": ("ACME", "BOLT")[symbol],
            "isin": ("XS0000000009", None)[symbol],
            "phase": self.phases.get(symbol),
            "side": {"buy": "BUYI", "sell": "SELL"}[side],
            "last_price": int(event["price_ticks"]) * tick,
            "last_qty": int(event["qty_lots"]) * lot,
            "fee": Decimal(int(event["aux"].astype(np.int64))) / 10**4,
            "trade_id": f"{trade >> 24}-{trade & 0xFFFFFF}",
            "exec_ref_id": said[f"{side}.19"],
            "clordid": said[f"{side}.11"],
        }

    def _follow(self, kind: EventKind, order_id: int, command: Any, event: Any) -> None:
        """Prices, stop prices and phases as the events say them."""
        price, ord_type = int(event["price_ticks"]), int(command["ord_type"])
        if kind in (EventKind.ACCEPTED, EventKind.REJECTED):
            asked = int(command["price_ticks"]) if ord_type in (2, 4) else 0
            self.prices[order_id] = price if kind == EventKind.ACCEPTED else asked
            self.stops[order_id] = int(command["order_id"]) if ord_type in (3, 4) else 0
        elif kind in (EventKind.REPLACED, EventKind.TRIGGERED, EventKind.RESTATED):
            self.prices[order_id] = price
            self.triggered |= {order_id} if kind == EventKind.TRIGGERED else set()
        if kind == EventKind.REPLACED and command["aux"]:
            self.stops[order_id] = int(command["aux"])
        if kind == EventKind.PHASE:
            self.phases[int(event["symbol"])] = Phase(int(event["leaves_lots"])).name
        elif kind == EventKind.INSTRUMENT_SET:
            self.phases.setdefault(int(event["symbol"]), "CLOSED" if command["flags"] & 1 else "CONTINUOUS")

    def _in_force(self, kind: EventKind, event: Any, order_id: int) -> dict[str, Any]:
        entry, _ = self.entered[order_id]
        ord_type, known = int(entry["ord_type"]), int(event["symbol"]) < 2
        tick, lot = SIZES_OF[int(event["symbol"]) if known else 0]
        stop, waiting = ord_type in (3, 4), ord_type in (3, 4) and order_id not in self.triggered
        price, leaves = self.prices[order_id], int(event["qty_lots" if kind == EventKind.TRIGGERED else "leaves_lots"])
        open_after = leaves > 0 and kind not in (EventKind.REJECTED, EventKind.CANCELLED, EventKind.EXPIRED)
        found: dict[str, Any] = {
            "limit_price": price * tick if known and price and ord_type not in (1, 3) else None,
            "stop_price": self.stops[order_id] * tick if known and stop and self.stops[order_id] else None,
            "status": ("INAC,FIRM" if waiting else "ACTI,FIRM") if open_after else None,
        }
        if kind not in (EventKind.REJECTED, EventKind.CANCELLED, EventKind.EXPIRED) and known:
            display = 0 if stop else int(entry["order_id"])
            if waiting:
                found["display_qty"] = Decimal(0)
            elif not display:
                found["display_qty"] = leaves * lot
            elif kind == EventKind.REFRESHED:
                found["display_qty"] = int(event["qty_lots"]) * lot
            elif kind in (EventKind.ACCEPTED, EventKind.REPLACED):
                found["display_qty"] = min(display, leaves) * lot
        return found

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
            EventKind.TRIGGERED: "TRIG",
            EventKind.REFRESHED: "CHMO",
            EventKind.RESTATED: "REMA",
        }.get(kind)

    @staticmethod
    def _order(kind: EventKind, event: Any, entry: Any, entered: Any, terms: Any, last: Any) -> dict[str, Any]:
        symbol = int(event["symbol"])
        known = symbol < 2
        tick, lot = SIZES_OF[symbol if known else 0]
        tags = dict(entered)
        ord_type, tif, aux = int(entry["ord_type"]), int(entry["tif"]), int(entry["aux"])
        post_only, mode = ord_type == 2 and entry["flags"] & 1, int(entry["flags"]) >> 4
        types = {1: "MARKET", 2: "LIMIT", 3: "STOP", 4: "STOP_LIMIT", 5: "MARKET_TO_LIMIT"}
        seconds = int(entry["time_ns"]) // 10**9
        row = {
            "clordid": dict(last).get("11"),
            "client_id": party(entered, "3"),
            "execution_decision": party(entered, "12"),
            "non_executing_broker": party(entered, "26"),
            "investment_decision": party(entered, "122"),
            "linked_order": tags.get("583"),
            "capacity": {"P": "DEAL", "R": "MTCH", "A": "AOTC"}.get(tags.get("528", "")),
            "dea": tags.get("1724") == "5",
            "liquidity_provision": "5" in tags.get("529", "").split(" "),
            "validity": {0: "DAVY", 1: "GTCV", 2: "DAVY", 3: "IOCV", 4: "FOKV", 6: "GTSV", 7: "DAVY"}[tif],
            "restriction": "VFAR" if tif in (2, 7) else None,
            "order_type": "LIMIT_POST_ONLY" if post_only else types[ord_type],
            "order_class": "STOP" if ord_type in (3, 4) else "LMTO",
            "all_or_none": bool(entry["flags"] & 4),
            "self_match": [None, "CANCEL_AGGRESSIVE", "CANCEL_PASSIVE", "CANCEL_BOTH", "DECREMENT"][mode],
            "post_only": bool(entry["flags"] & 1),
            "received_date": datetime.fromtimestamp(seconds, UTC).date(),
            "order_qty": int(terms["qty_lots"]) * lot if known else None,
            "min_qty": aux * lot if known and aux and tif != 6 else None,
        }
        if kind == EventKind.FILL:
            aggressor, auction = bool(event["flags"] & 2), bool(event["flags"] & 8)
            exec_id = int(event["exec_id"]) - (aggressor or (auction and event["side"] == 2))
            row |= {
                "last_price": int(event["price_ticks"]) * tick,
                "last_qty": int(event["qty_lots"]) * lot,
                "fee": Decimal(int(event["aux"].astype(np.int64))) / 10**4,
                "liquidity": None if auction else "AGRE" if aggressor else "PASV",
                "trade_id": f"{exec_id >> 24}-{exec_id & 0xFFFFFF}",
            }
        return row


CHECKED = (
    *("kind", "event", "reason", "clordid", "client_id", "execution_decision", "non_executing_broker", "capacity"),
    *("investment_decision", "dea", "liquidity_provision", "validity", "order_type", "post_only", "received_date"),
    *("side", "book", "isin", "limit_price", "order_qty", "min_qty", "last_price", "last_qty", "fee", "liquidity"),
    *(
        "trade_id",
        "exec_ref_id",
        "request_clordid",
        "orig_clordid",
        "stop_price",
        "status",
        "display_qty",
        "restriction",
        "order_class",
    ),
    *("all_or_none", "self_match", "phase", "indicative_price", "indicative_qty", "limit_kind"),
    *("linked_order", "target_strategy"),
)


@pytest.mark.parametrize("seed", [2, 4, 7])
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
        assert {EventKind.TRIGGERED, EventKind.REFRESHED, EventKind.PHASE, EventKind.EXPIRED} <= kinds
        assert EventKind.BUSTED in kinds


def test_the_columns_of_a_future_show_its_position_and_the_ladder(tmp_path: Path) -> None:
    venue = config(tmp_path)
    market = Market(venue)
    made = market.opening() + market.scenes()
    core, piece = core_of(venue), joined(made)
    static = StaticData.of(venue, [])
    events, ends = core.apply(piece.commands)
    records = Records.of(piece.commands, piece.annex, piece.annex_ends, events, ends)
    columns = project(records, static, Carried()).columns
    names = [field.name for field in PEOPLE_FIELDS if not field.name.endswith("_time")]
    table = pa.table({"account": events["account"].tolist()} | {name: columns[name] for name in names})
    kinds = ("MARKED", "POSITION", "DEFICIT", "MARGIN", "BUSTED")
    rows = [row for row in table.to_pylist() if row["kind"] in kinds and row["book"] != "BOLT"]
    price, mark, lots, unit = Decimal(100), Decimal(98), 500, Decimal("0.0001")
    cost, margin, loss = price * 10 * lots, price * 10 * lots / 100, (price - mark) * 10 * lots
    needed, have = mark * 10 * lots / 200, 52_000_000 * unit
    wanted = [
        ("POSITION", 2, {"position_qty": -lots, "position_cost": -cost, "collateral": margin, "result": 0}),
        ("POSITION", 3, {"position_qty": lots, "position_cost": cost, "collateral": margin, "result": 0}),
        ("MARKED", 0, {"mark_price": mark, "book": "ACMEZ6", "currency": "USD"}),
        ("MARGIN", 3, {"margin_stage": "CALLED", "equity": have - loss, "margin_needed": needed, "mark_price": mark}),
        ("MARGIN", 3, {"margin_stage": "LIQUIDATED", "equity": have - loss}),
        ("MARGIN", 3, {"margin_stage": "TAKEN_OVER", "equity": have - loss}),
        ("POSITION", 3, {"position_qty": 0, "position_cost": 0, "collateral": 0, "result": -loss}),
        ("DEFICIT", 3, {"asset": "USD", "amount": loss - have}),
        ("POSITION", 0, {"position_qty": lots, "position_cost": mark * 10 * lots, "collateral": 0}),
        ("POSITION", 1, {"position_qty": -3}),
        ("POSITION", 2, {"position_qty": 3 - lots, "result": 30}),
        ("BUSTED", 2, {"side": "BUYI", "event": "BUST", "last_price": Decimal(99), "last_qty": 3, "book": "ACMEZ6"}),
        ("POSITION", 2, {"position_qty": -lots, "position_cost": 30 - cost, "result": 0}),
        ("BUSTED", 1, {"side": "SELL", "fee": 0, "exec_ref_id": "32-1", "trade_id": "32-1"}),
        ("POSITION", 1, {"position_qty": 0, "collateral": 0, "result": 0}),
    ]
    assert [(row["kind"], row["account"]) for row in rows] == [(kind, account) for kind, account, _ in wanted]
    for row, (_, _, facts) in zip(rows, wanted, strict=True):
        assert {name: row[name] for name in facts} == facts


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


def test_parents_and_their_children_are_linked() -> None:
    """A parent is a TIME command of a session, a child names it, also in a later batch than the parent's."""
    market = Market(config(Path("/nowhere")))
    parent = b"verb=parent\x01ref=T1\x01start_ns=1\x0135=D\x0111=T1\x0155=S0\x01847=1000\x01848=SliceSeconds=5\x01"
    vwap = parent.replace(b"847=1000", b"847=1").replace(b"11=T1", b"11=T2")
    made = [
        *market.opening(),
        market._command(CommandKind.TIME, parent, session=1, account=1),
        market._command(CommandKind.TIME, vwap, session=1, account=1),
        market._command(
            CommandKind.NEW,
            b"35=D\x0111=~A1-0\x01583=T1\x01",
            session=1,
            account=1,
            side=1,
            ord_type=2,
            price_ticks=10_000,
            qty_lots=1,
        ),
    ]
    core, piece = core_of(config(Path("/nowhere"))), joined(made)
    static = StaticData.of(config(Path("/nowhere")), [])
    events, ends = core.apply(piece.commands)
    records = Records.of(piece.commands, piece.annex, piece.annex_ends, events, ends)
    columns = project(records, static, Carried()).columns
    names = ("kind", "request_clordid", "target_strategy", "clordid", "linked_order", "member_lei")
    rows = pa.table({name: columns[name] for name in names}).to_pylist()[-3:]
    assert [tuple(row[name] for name in names[:-1]) for row in rows] == [
        ("CLOCK", "T1", "TWAP", None, None),
        ("CLOCK", "T2", "VWAP", None, None),
        (rows[2]["kind"], "~A1-0", None, "~A1-0", "T1"),
    ]
    assert all(row["member_lei"] for row in rows)
