"""The archive's columns for people: the order record of RTS 24, one row for each order event.

Everything in here is a projection of the records (archive_records.py), their annexes and the static data: prices as
decimals, codes as RTS 24 spells them, party identifiers out of the FIX fields. It is never a second source: `verify`
makes these columns again and refuses a file in which one cell differs. Whole batches at a time, by array operations.

Facts of an order that entered in an earlier batch (its ClOrdID, its limit price) come from `Carried`, the commands of
the open orders that its follower keeps from batch to batch; see open_orders.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cores.records import (
    FLAG_SMP_SHIFT,
    CommandFlag,
    CommandKind,
    EventFlag,
    EventKind,
    Limit,
    OrdType,
    Phase,
    Reason,
    Side,
    Stage,
    Tif,
)
from venue.annexes import Annexes
from venue.archive_records import CANONICAL_FIELDS, SEQ_BITS, TIME_TYPE, Records
from venue.decimals import Units, decimals, packed, signed_decimals
from venue.open_orders import Carried, OrderFacts, order_facts
from venue.static_data import StaticData, instrument_sizes

I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]
Bool = npt.NDArray[np.bool_]

PRICE_SCALE = 13  # {DECIMAL-18/13} of RTS 24
QTY_SCALE = 12  # the largest scale of an asset
CODE = pa.dictionary(pa.int16(), pa.string())
NAME = pa.dictionary(pa.int32(), pa.string())
PRICE = pa.decimal128(38, PRICE_SCALE)
QTY = pa.decimal128(38, QTY_SCALE)

ACCEPTED, REJECTED, FILL, CANCELLED, REPLACED, CANCEL_REJECTED, EXPIRED, DEPOSITED, WITHDRAWN, INSTRUMENT_SET = (
    EventKind(number).value for number in range(1, 11)
)
LIMIT_SET = EventKind.LIMIT_SET.value
TRIGGERED, REFRESHED, RESTATED, PHASE_SET, INDICATIVE = (EventKind(number).value for number in range(16, 21))
MARKED, POSITION, DEFICIT, MARGIN, BUSTED = (EventKind(number).value for number in range(21, 26))
COMMAND_REJECTED = EventKind.COMMAND_REJECTED.value
MARKET, LIMIT, STOP, STOP_LIMIT, MARKET_TO_LIMIT = (kind.value for kind in OrdType)
PHASE_NAMES = tuple(phase.name for phase in Phase)
STAGE_NAMES = tuple(stage.name for stage in Stage)
LIMIT_NAMES = tuple(limit.name for limit in Limit)
SMP_NAMES = ("NONE", "CANCEL_AGGRESSIVE", "CANCEL_PASSIVE", "CANCEL_BOTH", "DECREMENT")
TIFS = (("DAVY", Tif.DAY), ("GTCV", Tif.GTC), ("IOCV", Tif.IOC), ("FOKV", Tif.FOK), ("GTSV", Tif.GTD))
AUCTION_TIFS = (Tif.AT_OPEN, Tif.AT_CLOSE)  # valid for that day's auction
KIND_NAMES = ("UNKNOWN", *(kind.name for kind in EventKind))
REASON_NAMES = {reason.value: reason.name.removeprefix("REJECT_") for reason in Reason if reason}
FLAG_POST_ONLY = CommandFlag.POST_ONLY.value
FLAG_AGGRESSOR = EventFlag.AGGRESSOR.value
FLAG_AUCTION = EventFlag.AUCTION.value
FLAG_PRIORITY_KEPT = EventFlag.PRIORITY_KEPT.value

STRATEGIES = (("VWAP", b"1"), ("TWAP", b"1000"))  # TargetStrategy(847)
EVENT_CODES = ("NEWO", "REMO", "REME", "REMH", "CAME", "CAMO", "EXPI", "PARF", "FILL", "TRIG", "REMA", "CHMO", "BUST")
NEWO, REMO, REME, REMH, CAME, CAMO, EXPI, PARF, FILLED, TRIG, REMA, CHMO, BUST = range(len(EVENT_CODES))


def _field(name: str, kind: pa.DataType, rts24: int | None = None) -> pa.Field:
    return pa.field(name, kind, metadata={"rts24": str(rts24)} if rts24 else None)


PEOPLE_FIELDS = (
    _field("kind", CODE),
    _field("event", CODE, 21),
    _field("reason", CODE),
    _field("member_lei", NAME, 1),
    _field("dea", pa.bool_(), 2),
    _field("client_id", NAME, 3),
    _field("investment_decision", NAME, 4),
    _field("execution_decision", NAME, 5),
    _field("non_executing_broker", NAME, 6),
    _field("capacity", CODE, 7),
    _field("liquidity_provision", pa.bool_(), 8),
    _field("validity", CODE, 10),
    _field("restriction", CODE, 11),
    _field("expiry_time", TIME_TYPE, 12),
    _field("priority_time", TIME_TYPE, 13),
    _field("mic", CODE, 16),
    _field("book", NAME, 17),
    _field("isin", NAME, 18),
    _field("received_date", pa.date32(), 19),
    _field("order_type", CODE, 22),
    _field("order_class", CODE, 23),
    _field("limit_price", PRICE, 24),
    _field("stop_price", PRICE, 26),
    _field("last_price", PRICE, 28),
    _field("currency", NAME, 29),
    _field("price_notation", CODE, 31),
    _field("side", CODE, 32),
    _field("status", CODE, 33),
    _field("qty_notation", CODE, 34),
    _field("order_qty", QTY, 36),
    _field("leaves_qty", QTY, 37),
    _field("display_qty", QTY, 38),
    _field("last_qty", QTY, 39),
    _field("min_qty", QTY, 40),
    _field("all_or_none", pa.bool_()),
    _field("post_only", pa.bool_(), 43),
    _field("liquidity", CODE, 44),
    _field("self_match", CODE),
    _field("linked_order", NAME, 46),
    _field("trade_id", pa.string(), 48),
    _field("exec_ref_id", pa.string()),
    _field("phase", CODE, 49),
    _field("indicative_price", PRICE, 50),
    _field("indicative_qty", QTY, 51),
    _field("limit_kind", CODE),
    _field("clordid", pa.string()),
    _field("request_clordid", pa.string()),
    _field("orig_clordid", pa.string()),
    _field("target_strategy", CODE),
    _field("fee", QTY),
    _field("asset", NAME),
    _field("amount", QTY),
    _field("balance", QTY),
    _field("withdraw_address", pa.binary(20)),
    _field("mark_price", PRICE),
    _field("position_qty", QTY),
    _field("position_cost", QTY),
    _field("collateral", QTY),
    _field("result", QTY),
    _field("equity", QTY),
    _field("margin_needed", QTY),
    _field("margin_stage", CODE),
)
PEOPLE_TYPES = {field.name: field.type for field in PEOPLE_FIELDS}
FUTURE_COLUMNS = (
    *("mark_price", "position_qty", "position_cost", "collateral", "result", "equity", "margin_needed"),
    "margin_stage",
)
# Taken from the commands that entered or last replaced the order, which may lie in an earlier batch.
CARRIED_COLUMNS = (
    *("dea", "client_id", "investment_decision", "execution_decision", "non_executing_broker", "capacity"),
    *("liquidity_provision", "validity", "restriction", "expiry_time", "received_date", "order_type", "order_class"),
    *("limit_price", "stop_price", "order_qty", "display_qty", "min_qty", "all_or_none", "post_only", "self_match"),
    *("status", "clordid", "linked_order"),
)
_RTS24_OF_CANONICAL = {"event_time": 9, "seq": 15, "order_id": 20}
FIELDS = (
    *(
        field.with_metadata({"rts24": str(_RTS24_OF_CANONICAL[field.name])})
        for field in CANONICAL_FIELDS
        if field.name in _RTS24_OF_CANONICAL
    ),
    *PEOPLE_FIELDS,
    *(field for field in CANONICAL_FIELDS if field.name not in _RTS24_OF_CANONICAL),
)


@dataclass
class Projection:
    """The columns for people, and on which rows the CARRIED_COLUMNS were known."""

    columns: dict[str, pa.Array]
    known: Bool


@dataclass
class _Batch:
    """What the column makers share. Row-long arrays unless said otherwise."""

    static: StaticData
    records: Records
    facts: OrderFacts
    annexes: Annexes  # of carried commands and then of the batch's
    rows: I64  # index of the row's command
    kind: I64
    reason: I64
    symbol: I64
    side: I64
    flags: I64
    account: I64
    session: I64
    asset: I64
    order_id: U64
    price: U64
    qty: U64
    leaves: U64
    aux: U64
    is_order: Bool  # rows about one order
    is_trade: Bool  # one side of a trade, made or taken back

    @property
    def count(self) -> int:
        return len(self.rows)


def project(records: Records, static: StaticData, carried: Carried) -> Projection:
    """The columns for people of a batch."""
    batch = _batch(records, static, carried)
    columns = {
        **_event_columns(batch),
        **_party_columns(batch),
        **_order_columns(batch),
        **_instrument_columns(batch),
        **_identity_columns(batch),
        **_money_columns(batch),
        **_market_columns(batch),
        **_future_columns(batch),
    }
    assert set(columns) == {field.name for field in PEOPLE_FIELDS}
    needs_facts = batch.is_order & (batch.kind != CANCEL_REJECTED)
    known = ~needs_facts | ((batch.facts.entry >= 0) & (batch.facts.terms >= 0))
    return Projection({field.name: columns[field.name] for field in PEOPLE_FIELDS}, known)


def _batch(records: Records, static: StaticData, carried: Carried) -> _Batch:
    head, owner = records.events[:, 0], records.events[:, 2]
    kind = (head & np.uint64(0xFF)).astype(np.int64)
    facts = order_facts(records, carried, kind)
    rows = records.row_commands()
    of_one = ~names_two(kind, (records.commands[:, 0] & np.uint64(0xFF)).astype(np.int64)[rows])
    return _Batch(
        static=static,
        records=records,
        facts=facts,
        annexes=Annexes(facts.annex, facts.annex_ends),
        rows=rows,
        kind=kind,
        reason=_bits(head, 8, 8),
        symbol=_bits(head, 48, 16),
        side=_bits(head, 16, 8),
        flags=_bits(head, 24, 24),
        account=_bits(owner, 0, 32) * of_one,
        session=_bits(owner, 32, 16) * of_one,
        asset=_bits(owner, 48, 16),
        order_id=records.events[:, 3],
        price=records.events[:, 4],
        qty=records.events[:, 5],
        leaves=np.where(kind == TRIGGERED, records.events[:, 5], records.events[:, 6]),
        aux=records.events[:, 7],
        is_order=((kind >= ACCEPTED) & (kind <= EXPIRED)) | ((kind >= TRIGGERED) & (kind <= RESTATED)),
        is_trade=(kind == FILL) | (kind == BUSTED),
    )


def names_two(kind: I64, command_kind: I64) -> Bool:
    """Rows of a refused BUST: their owner word is the command's, two accounts and their sessions, and so nobody's."""
    named: Bool = (kind == COMMAND_REJECTED) & (command_kind == CommandKind.BUST.value)
    return named


def _event_columns(batch: _Batch) -> dict[str, pa.Array]:
    reasons = sorted(REASON_NAMES)
    reason_index = np.full(256, -1, np.int64)
    reason_index[reasons] = np.arange(len(reasons))
    kind = np.where(batch.kind < len(KIND_NAMES), batch.kind, 0)
    open_after = (batch.kind == ACCEPTED) | (batch.kind == FILL) | (batch.kind == REPLACED)
    open_after |= (batch.kind >= TRIGGERED) & (batch.kind <= RESTATED)
    ord_type = _bits(_spread(batch.facts.commands[:, 0], batch.facts.entry, np.uint64(0)), 16, 8)
    waiting = ((ord_type == STOP) | (ord_type == STOP_LIMIT)) & (batch.facts.facts[:, 2] == 0)
    status = np.where(open_after & (batch.leaves > 0), np.where(waiting, 1, 0), -1)
    assert tuple(EventKind) == tuple(range(1, len(KIND_NAMES))), "kinds are numbered from 1 without gaps"
    return {
        "kind": _codes(kind, KIND_NAMES),
        "event": _codes(_event_codes(batch), EVENT_CODES),
        "reason": _codes(reason_index[batch.reason], [REASON_NAMES[number] for number in reasons]),
        "status": _codes(status, ["ACTI,FIRM", "INAC,FIRM"]),
    }


def _event_codes(batch: _Batch) -> I64:
    """RTS 24 field 21. Who started a cancel or a change: a member's FIX message, or the venue."""
    by_member = batch.annexes.from_member()[batch.facts.batch_start + batch.rows]
    code = np.full(batch.count, -1, np.int64)
    code[batch.kind == ACCEPTED] = NEWO
    code[batch.kind == REJECTED] = REMO
    code[batch.kind == EXPIRED] = EXPI
    code[batch.kind == TRIGGERED] = TRIG
    code[batch.kind == RESTATED] = REMA
    code[batch.kind == REFRESHED] = CHMO
    code[batch.kind == BUSTED] = BUST
    fill = batch.kind == FILL
    code[fill] = np.where(batch.leaves[fill] == 0, FILLED, PARF)
    replaced = batch.kind == REPLACED
    code[replaced] = np.where(by_member[replaced], REME, REMH)
    cancelled = batch.kind == CANCELLED
    own_wish = by_member & ((batch.reason == 0) | (batch.reason == Reason.CANCEL_MASS.value))
    code[cancelled] = np.where(own_wish[cancelled], CAME, CAMO)
    return code


def _party_columns(batch: _Batch) -> dict[str, pa.Array]:
    """Fields 1 to 8: who, for whom, in what capacity. From the message that entered the order."""
    annexes, entry = batch.annexes, batch.facts.entry
    capacity = np.full(256, -1, np.int64)
    capacity[[ord("P"), ord("R"), ord("A")]] = 0, 1, 2
    first = annexes.first_bytes(annexes.values(b"528"))
    is_fix = annexes.from_member()
    known = (entry >= 0) & is_fix[entry] if len(is_fix) else np.zeros(batch.count, np.bool_)
    dea = annexes.equals(annexes.values(b"1724"), b"5")
    provision = annexes.contains_word(annexes.values(b"529"), b"5") | annexes.attribute(b"2")
    client = annexes.strings(annexes.party(3))
    for attribute, code in ((b"0", "AGGR"), (b"1", "PNAL")):  # many clients, or not yet known which
        client = pc.if_else(pa.array(annexes.attribute(attribute)), pa.scalar(code), client)
    return {
        "member_lei": _member_codes(batch),
        "dea": _bools(_spread(dea, entry, False), known),
        "client_id": _names(client, entry),
        "investment_decision": _names(annexes.strings(annexes.party(122)), entry),
        "execution_decision": _names(annexes.strings(annexes.party(12)), entry),
        "non_executing_broker": _names(annexes.strings(annexes.party(26)), entry),
        "capacity": _codes(_spread(capacity[first], entry, -1), ["DEAL", "MTCH", "AOTC"]),
        "liquidity_provision": _bools(_spread(provision, entry, False), known),
    }


def _member_codes(batch: _Batch) -> pa.Array:
    members = batch.static.members
    return _static_names(member_numbers(batch.static, batch.session, batch.account), [m.lei for m in members])


def member_numbers(static: StaticData, sessions: I64, accounts: I64) -> I64:
    """Who submitted, as a position in the static data: the session's member, or the account's where no session did."""
    by_session, by_account = np.full(65536, -1, np.int64), np.full(65537, -1, np.int64)
    for number, member in enumerate(static.members):
        by_session[[session for session in member.sessions if session]] = number
        by_account[[account for account in member.accounts if 0 < account < 65536]] = number
    of_session = by_session[sessions]
    return np.where(of_session >= 0, of_session, by_account[np.minimum(accounts, 65536)])


def _order_columns(batch: _Batch) -> dict[str, pa.Array]:
    """What the order is, from the command that entered it; its terms in force, from the last that changed them."""
    facts, is_order = batch.facts, batch.is_order
    entry_head = _spread(facts.commands[:, 0], facts.entry, np.uint64(0))
    entered = facts.entry >= 0
    ord_type, tif = _bits(entry_head, 16, 8), _bits(entry_head, 24, 8)
    post_only = (_bits(entry_head, 32, 8) & FLAG_POST_ONLY) != 0
    validity = np.full(256, -1, np.int64)
    validity[[code.value for _, code in TIFS]] = np.arange(len(TIFS))
    validity[[code.value for code in AUCTION_TIFS]] = 0
    for_auction = (tif == Tif.AT_OPEN.value) | (tif == Tif.AT_CLOSE.value)
    flags = _bits(entry_head, 32, 8)
    mode = flags >> FLAG_SMP_SHIFT
    day = _spread(facts.commands[:, 2], facts.entry, np.uint64(0)) // np.uint64(86_400_000_000_000)
    is_stop = (ord_type == STOP) | (ord_type == STOP_LIMIT)
    type_code = np.where((ord_type == LIMIT) & post_only, 2, _TYPE_CODES[ord_type])
    lost_priority = (batch.kind == ACCEPTED) | ((batch.kind == REPLACED) & ((batch.flags & FLAG_PRIORITY_KEPT) == 0))
    lost_priority |= (batch.kind == TRIGGERED) | (batch.kind == REFRESHED)
    lost_priority |= (batch.kind == RESTATED) & (batch.reason == Reason.CANCEL_AUCTION.value)
    aggressive = (batch.flags & FLAG_AGGRESSOR) != 0
    has_side = (is_order | batch.is_trade) & ((batch.side == 1) | (batch.side == 2))
    fill = batch.kind == FILL
    return {
        "validity": _codes(np.where(entered, validity[tif], -1), [code for code, _ in TIFS]),
        "restriction": _codes(np.where(entered & for_auction, 0, -1), ["VFAR"]),
        "expiry_time": _times(_spread(facts.commands[:, 7], facts.entry, np.uint64(0)), _dated(facts, entered, tif)),
        "priority_time": _times(batch.records.commands[:, 2][batch.rows], lost_priority),
        "received_date": _dates(day, entered),
        "order_type": _codes(np.where(entered, np.where(_liquidates(entry_head), 0, type_code), -1), ORDER_TYPES),
        "order_class": _codes(np.where(entered, is_stop, -1), ["LMTO", "STOP"]),
        "side": _codes(np.where(has_side, batch.side - 1, -1), ["BUYI", "SELL"]),
        "post_only": _bools(post_only, entered),
        "all_or_none": _bools((flags & CommandFlag.ALL_OR_NONE.value) != 0, entered),
        "self_match": _codes(np.where(entered & (mode > 0) & (mode < len(SMP_NAMES)), mode, -1), SMP_NAMES),
        "liquidity": _codes(np.where(fill & ~_auction(batch), aggressive, -1), ["PASV", "AGRE"]),
        "trade_id": _trade_ids(batch),
    }


def _liquidates(entry_head: U64) -> Bool:
    """A liquidation trades as a market order that no NEW has entered: its MARGIN command has."""
    found: Bool = (entry_head & np.uint64(0xFF)) == np.uint64(CommandKind.MARGIN.value)
    return found


ORDER_TYPES = ("MARKET", "LIMIT", "LIMIT_POST_ONLY", "STOP", "STOP_LIMIT", "MARKET_TO_LIMIT")
_TYPE_CODES = np.full(256, -1, np.int64)
_TYPE_CODES[[MARKET, LIMIT, STOP, STOP_LIMIT, MARKET_TO_LIMIT]] = 0, 1, 3, 4, 5


def _dated(facts: OrderFacts, entered: Bool, tif: I64) -> Bool:
    """GTD orders whose expiry a timestamp can hold; what was refused may carry anything."""
    expiry = _spread(facts.commands[:, 7], facts.entry, np.uint64(0))
    dated: Bool = entered & (tif == Tif.GTD.value) & (expiry > 0) & (expiry < np.uint64(1 << 63))
    return dated


def _auction(batch: _Batch) -> Bool:
    found: Bool = (batch.flags & FLAG_AUCTION) != 0
    return found


def _market_columns(batch: _Batch) -> dict[str, pa.Array]:
    """The phase that each row of an instrument was made in, and which limit was set."""
    named = np.where(batch.kind == LIMIT_SET, batch.flags & 0xFF, -1)
    return {
        "phase": _codes(_phases(batch), PHASE_NAMES),
        "limit_kind": _codes(np.where(named < len(LIMIT_NAMES), named, -1), LIMIT_NAMES),
    }


def _phases(batch: _Batch) -> I64:
    """As the batch began, then as its PHASE events say; a PHASE event itself is made in the new phase."""
    instruments = batch.static.instruments
    about_symbol = _about_symbol(batch)
    number = np.where(about_symbol & (batch.symbol < len(instruments)), batch.symbol, -1)
    known = [i.phase if i.lot_size and i.phase < len(PHASE_NAMES) else -1 for i in instruments]
    start = np.array([*known, -1], np.int64)
    phases = np.where(number >= 0, start[number], -1)
    existing = {i.number for i in instruments if i.lot_size}
    for row in np.flatnonzero((batch.kind == PHASE_SET) | (batch.kind == INSTRUMENT_SET)):
        symbol, later = int(batch.symbol[row]), slice(row, None)
        phase = int(batch.leaves[row])
        if batch.kind[row] == INSTRUMENT_SET:
            if symbol in existing:  # redefined, it keeps its phase
                continue
            closed = int(batch.records.commands[batch.rows[row], 0]) >> 32 & CommandFlag.INSTRUMENT_CLOSED
            phase = Phase.CLOSED if closed else Phase.CONTINUOUS
            existing.add(symbol)
        if phase < len(PHASE_NAMES):
            phases[later][about_symbol[later] & (batch.symbol[later] == symbol)] = phase
    return phases


def _about_symbol(batch: _Batch) -> Bool:
    """Rows that say something of an instrument in its ticks, lots or quote units."""
    kind = batch.kind
    about: Bool = batch.is_order | (kind == PHASE_SET) | ((kind >= INDICATIVE) & (kind <= BUSTED) & (kind != DEFICIT))
    return about


def _trade_ids(batch: _Batch) -> pa.Array:
    """`seq-index` of the trade's first event: the resting order's, in an auction the buy's; then comes the other's."""
    fill, trade = batch.kind == FILL, batch.is_trade
    second = fill & (((batch.flags & FLAG_AGGRESSOR) != 0) | (_auction(batch) & (batch.side == 2)))
    exec_id = np.where(fill, batch.records.events[:, 1] - second.astype(np.uint64), batch.order_id)
    texts = exec_id_texts(exec_id[trade])
    return texts.take(pa.array(np.cumsum(trade) - 1, mask=~trade))


def exec_id_texts(exec_ids: U64) -> pa.Array:
    """ExecID(17) as it is printed: `seq-index`."""
    seqs = pa.array(exec_ids >> np.uint64(SEQ_BITS)).cast(pa.string())
    indices = pa.array(exec_ids & np.uint64((1 << SEQ_BITS) - 1)).cast(pa.string())
    return pc.binary_join_element_wise(seqs, indices, "-")


def _instrument_columns(batch: _Batch) -> dict[str, pa.Array]:
    """Fields 16 to 18, prices, quantities and fees, by the instrument as it was set at that row."""
    facts, is_order, trade = batch.facts, batch.is_order, batch.is_trade
    instruments = batch.static.instruments
    sizes, version = _instrument_versions(batch)
    price_units = Units.of([tick for tick, _, _ in sizes], PRICE_SCALE)
    qty_units = Units.of([lot for _, lot, _ in sizes], QTY_SCALE)
    fee_units = Units.of([unit for _, _, unit in sizes], QTY_SCALE)
    about_symbol = _about_symbol(batch)
    number = np.where(about_symbol & (batch.symbol < len(instruments)), batch.symbol, -1)
    terms_known, entered = facts.terms >= 0, facts.entry >= 0
    order_lots = _spread(facts.commands[:, 6], facts.terms, np.uint64(0))
    entry_head = _spread(facts.commands[:, 0], facts.entry, np.uint64(0))
    ord_type, tif = _bits(entry_head, 16, 8), _bits(entry_head, 24, 8)
    is_stop = (ord_type == STOP) | (ord_type == STOP_LIMIT)
    is_gtd = tif == Tif.GTD.value
    min_lots = np.where(is_gtd, np.uint64(0), _spread(facts.commands[:, 7], facts.entry, np.uint64(0)))
    detail = np.where(is_stop, np.uint64(0), _spread(facts.commands[:, 4], facts.entry, np.uint64(0)))
    limit_ticks, stop_ticks = facts.facts[:, 0], facts.facts[:, 1]
    has_price = (ord_type != MARKET) & (ord_type != STOP) & (limit_ticks > 0)
    shown, shown_known = _displayed(batch, detail, ord_type)
    indicative = batch.kind == INDICATIVE
    constant = np.where(is_order | trade, 0, -1)
    leaves_meant = is_order & (batch.kind != REJECTED) & (batch.kind != CANCEL_REJECTED)
    uncrossed = (batch.kind == PHASE_SET) & (batch.qty > 0)

    def price(counts: U64, valid: Bool) -> pa.Array:
        return decimals(counts, version, valid, price_units, PRICE_SCALE)

    def qty(counts: U64, valid: Bool) -> pa.Array:
        return decimals(counts, version, valid, qty_units, QTY_SCALE)

    return {
        "mic": _codes(constant, [batch.static.mic]),
        "book": _static_names(number, [i.symbol for i in instruments]),
        "isin": _static_names(number, [i.isin for i in instruments]),
        "currency": _static_names(number, [i.currency for i in instruments]),
        "price_notation": _codes(constant, ["MONE"]),
        "qty_notation": _codes(constant, ["UNIT"]),
        "limit_price": price(limit_ticks, is_order & terms_known & entered & has_price),
        "stop_price": price(stop_ticks, is_order & entered & is_stop & (stop_ticks > 0)),
        "last_price": price(batch.price, trade | uncrossed),
        "indicative_price": price(batch.price, indicative & (batch.qty > 0)),
        "indicative_qty": qty(batch.qty, indicative),
        "display_qty": qty(shown, shown_known),
        "order_qty": qty(order_lots, is_order & terms_known & ~_liquidates(entry_head)),
        "leaves_qty": qty(batch.leaves, leaves_meant),
        "last_qty": qty(batch.qty, trade | uncrossed),
        "min_qty": qty(min_lots, is_order & entered & (min_lots > 0)),
        "fee": signed_decimals(batch.aux, version, trade, fee_units, QTY_SCALE),
    }


def _displayed(batch: _Batch, detail: U64, ord_type: I64) -> tuple[U64, Bool]:
    """What the order shows after the event: all its leaves, of an iceberg what its entry, replace or refresh shows. Not
    known on an iceberg's other rows; a waiting stop and a rejected order show nothing."""
    entered = batch.facts.entry >= 0
    enters = (batch.kind == ACCEPTED) | (batch.kind == REPLACED)
    waiting = ((ord_type == STOP) | (ord_type == STOP_LIMIT)) & (batch.facts.facts[:, 2] == 0)
    lives = enters | (batch.kind == FILL) | ((batch.kind >= TRIGGERED) & (batch.kind <= RESTATED))
    iceberg = detail > 0
    shown = np.where(iceberg & (batch.kind == REFRESHED), batch.qty, np.minimum(detail, batch.leaves))
    shown = np.where(waiting, np.uint64(0), np.where(iceberg, shown, batch.leaves))
    known = lives & entered & (~iceberg | enters | (batch.kind == REFRESHED))
    return shown, known


def _instrument_versions(batch: _Batch) -> tuple[list[tuple[Fraction | None, Fraction | None, Fraction | None]], I64]:
    """Sizes of every instrument as of the batch's start and as set within it; which of them holds at each row."""
    static = batch.static
    sizes = [instrument_sizes(static, i.base, i.quote, i.lot_size, i.tick_value, i.number) for i in static.instruments]
    known = len(sizes)
    priced = _about_symbol(batch)
    version = np.where(priced & (batch.symbol < known), batch.symbol, -1)
    for row in np.flatnonzero(batch.kind == INSTRUMENT_SET):
        owner = int(batch.records.events[row, 2])
        lot_size, tick_value = int(batch.order_id[row]), int(batch.aux[row])
        terms = owner & 0xFFFFFFFF, owner >> 32, lot_size, tick_value, int(batch.symbol[row])
        sizes.append(instrument_sizes(static, *terms))
        later = priced[row:] & (batch.symbol[row:] == batch.symbol[row])
        version[row:][later] = len(sizes) - 1
    return sizes, version


def _identity_columns(batch: _Batch) -> dict[str, pa.Array]:
    """ClOrdIDs: the order's in force, and, on a request's first row, what the member sent; whose child an order is; of
    a busted trade what its BUST says."""
    annexes, facts = batch.annexes, batch.facts
    strategy, said = np.full(annexes.count, -1, np.int64), annexes.values(b"847")
    for number, (_, value) in enumerate(STRATEGIES):
        strategy[annexes.equals(said, value)] = number
    clordids = annexes.strings(annexes.values(b"11"))
    names = _take(clordids, facts.terms)
    busted = batch.kind == BUSTED
    references = pa.nulls(batch.count, pa.string())
    if np.any(busted):
        names = pc.if_else(pa.array(busted), _of_side(batch, b"11"), names)
        references = _of_side(batch, b"19")
    origs = annexes.strings(annexes.values(b"41"))
    first = np.zeros(batch.count, np.bool_)
    first[batch.records.first_rows()] = True
    request = np.where(first, facts.batch_start + batch.rows, -1)
    return {
        "clordid": names,
        "exec_ref_id": references,
        "request_clordid": _take(clordids, request),
        "orig_clordid": _take(origs, request),
        "linked_order": _names(annexes.strings(annexes.values(b"583")), facts.entry),
        "target_strategy": _codes(_spread(strategy, request, -1), [name for name, _ in STRATEGIES]),
    }


def _of_side(batch: _Batch, tag: bytes) -> pa.Array:
    """What the annex of a BUST says of the row's side: the fields `buy.<tag>` and `sell.<tag>`."""
    busted, annexes = batch.kind == BUSTED, batch.annexes
    index = batch.facts.batch_start + batch.rows
    found = pa.nulls(batch.count, pa.string())
    for side, name in ((Side.BUY, b"buy."), (Side.SELL, b"sell.")):
        own = busted & (batch.side == side.value)
        said = _take(annexes.strings(annexes.values(name + tag)), np.where(own, index, -1))
        found = pc.if_else(pa.array(own), said, found)
    return found


def _money_columns(batch: _Batch) -> dict[str, pa.Array]:
    """Deposits, withdrawals, credit lines, and what the venue paid for a position's loss."""
    assets = batch.static.assets
    moved = (batch.kind == DEPOSITED) | (batch.kind == WITHDRAWN)
    limits = (batch.kind == LIMIT_SET) & ((batch.flags & 0xFF) <= Limit.GROSS.value)
    money = moved | limits | (batch.kind == DEFICIT)
    number = np.where(money & (batch.asset < len(assets)), batch.asset, -1)
    units = Units.of([Fraction(1, 10**asset.scale) for asset in assets], QTY_SCALE)
    withdrawn = batch.kind == WITHDRAWN
    address = np.zeros((batch.count, 20), np.uint8)
    address[withdrawn] = batch.records.events[withdrawn][:, [3, 4, 7]].copy().view(np.uint8)[:, :20]
    addresses = pa.Array.from_buffers(pa.binary(20), batch.count, [packed(withdrawn), pa.py_buffer(address)])
    return {
        "asset": _static_names(number, [asset.code for asset in assets]),
        "amount": decimals(batch.qty, number, money, units, QTY_SCALE),
        "balance": signed_decimals(batch.leaves, number, moved, units, QTY_SCALE),
        "withdraw_address": addresses,
    }


def _future_columns(batch: _Batch) -> dict[str, pa.Array]:
    """Marks, positions after each trade, and the steps of the margin ladder (matching rules F7 to F11)."""
    if not np.any(batch.kind >= MARKED):  # most batches: nothing of a future in them
        return {name: pa.nulls(batch.count, PEOPLE_TYPES[name]) for name in FUTURE_COLUMNS}
    sizes, version = _instrument_versions(batch)
    price_units = Units.of([tick for tick, _, _ in sizes], PRICE_SCALE)
    qty_units = Units.of([lot for _, lot, _ in sizes], QTY_SCALE)
    money_units = Units.of([unit for _, _, unit in sizes], QTY_SCALE)
    position, margin = batch.kind == POSITION, batch.kind == MARGIN
    lots = np.where(batch.side == Side.SELL.value, -batch.qty, batch.qty)
    stage = np.minimum(batch.leaves, len(STAGE_NAMES)).astype(np.int64)

    def money(amounts: U64, valid: Bool) -> pa.Array:
        return signed_decimals(amounts, version, valid, money_units, QTY_SCALE)

    return {
        "mark_price": decimals(batch.price, version, (batch.kind == MARKED) | margin, price_units, PRICE_SCALE),
        "position_qty": signed_decimals(lots, version, position, qty_units, QTY_SCALE),
        "position_cost": money(batch.order_id, position),
        "collateral": money(batch.leaves, position),
        "result": money(batch.aux, position),
        "equity": money(batch.qty, margin),
        "margin_needed": money(batch.aux, margin),
        "margin_stage": _codes(np.where(margin & (stage < len(STAGE_NAMES)), stage, -1), STAGE_NAMES),
    }


def _bits(values: U64, shift: int, bits: int) -> I64:
    return ((values >> np.uint64(shift)) & np.uint64((1 << bits) - 1)).astype(np.int64)


def _spread(values: npt.NDArray[Any], index: I64, missing: Any) -> npt.NDArray[Any]:
    """`values[index]`, and `missing` where the index is negative."""
    if len(values) == 0:
        return np.full(len(index), missing, values.dtype)
    spread: npt.NDArray[Any] = np.where(index >= 0, values[index], missing).astype(values.dtype)
    return spread


def _codes(index: npt.NDArray[Any], names: list[str] | tuple[str, ...]) -> pa.Array:
    """A code column of a fixed list; null where the index is negative."""
    return _dictionary(index, pa.array(list(names), pa.string()), CODE)


def _static_names(index: I64, names: list[str]) -> pa.Array:
    """A name column over the static data's list; null also where the name is empty."""
    named = np.array([bool(name) for name in names] + [False])
    return _dictionary(np.where(named[index], index, -1), pa.array(names, pa.string()), NAME)


def _names(values: pa.Array, index: I64) -> pa.Array:
    """Free names from annexes, each distinct one once, spread over the rows."""
    encoded = values.dictionary_encode()
    codes = encoded.indices.fill_null(-1).to_numpy()
    return _dictionary(_spread(codes, index, -1), encoded.dictionary, NAME)


def _dictionary(index: npt.NDArray[Any], names: pa.Array, kind: pa.DictionaryType) -> pa.Array:
    valid = index >= 0
    narrow = np.where(valid, index, 0).astype(kind.index_type.to_pandas_dtype())
    indices = pa.Array.from_buffers(kind.index_type, len(index), [packed(valid), pa.py_buffer(narrow)])
    return pa.DictionaryArray.from_arrays(indices, names)


def _take(values: pa.Array, index: I64) -> pa.Array:
    if len(values) == 0:
        return pa.nulls(len(index), pa.string())
    return values.take(pa.array(np.maximum(index, 0), mask=index < 0))


def _bools(values: npt.NDArray[Any], valid: Bool) -> pa.Array:
    bits = np.packbits(values & valid, bitorder="little")
    return pa.Array.from_buffers(pa.bool_(), len(valid), [packed(valid), pa.py_buffer(bits)])


def _times(time_ns: U64, valid: Bool) -> pa.Array:
    values = np.where(valid, time_ns, np.uint64(0)).astype(np.int64)
    return pa.Array.from_buffers(TIME_TYPE, len(values), [packed(valid), pa.py_buffer(values)])


def _dates(days: U64, valid: Bool) -> pa.Array:
    values = np.where(valid, days, np.uint64(0)).astype(np.int32)
    return pa.Array.from_buffers(pa.date32(), len(values), [packed(valid), pa.py_buffer(values)])
