"""Parents as they are read and journaled: whatever a D says, it is a refusal with words or a schedule that holds."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from fix_sessions import child_names, messages
from fix_sessions.codec import Terms
from fix_sessions.parent_drafts import Draft
from fix_sessions.parent_orders import PARENT, Child, Entry, Parent, entry_body
from tests.fix_sessions.rig import make_config

NOW_NS = 1_800_000_000 * 10**9
GOOD = {
    11: b"P1",
    55: b"ACME",
    54: b"1",
    38: b"40",
    40: b"2",
    44: b"101",
    60: b"20270115-08:00:00",
    126: messages.timestamp(NOW_NS + 100 * 10**9),
    847: b"1000",
}
PRINTABLE = st.characters(codec="ascii", categories=("L", "N", "P", "S", "Zs"))
TEXT = st.text(PRINTABLE, min_size=1, max_size=12).map(str.encode)
NUMBERS = st.one_of(st.integers(-5, 10**7), st.floats(0, 2, allow_subnormal=False)).map(lambda n: str(n).encode())
TIMES = st.integers(NOW_NS - 10**11, NOW_NS + 10**14).map(messages.timestamp)
VALUES = {
    38: NUMBERS,
    40: st.sampled_from([b"1", b"2", b"3", b"P", b"K"]),
    44: NUMBERS,
    54: st.sampled_from([b"1", b"2", b"5"]),
    55: st.sampled_from([b"ACME", b"BOLT", b"NONE"]),
    59: st.sampled_from([b"0", b"1", b"3", b"6"]),
    126: TIMES,
    168: TIMES,
    847: st.sampled_from([b"1", b"2", b"1000"]),
    848: st.integers(0, 1000).map(lambda n: b"SliceSeconds=%d" % n),
    849: NUMBERS,
    99: NUMBERS,
    583: TEXT,
}
orders = st.dictionaries(st.sampled_from(sorted(VALUES)), st.none(), max_size=6).flatmap(
    lambda chosen: st.fixed_dictionaries({tag: VALUES[tag] | TEXT for tag in chosen})
)


@cache
def terms() -> Terms:
    return Terms(make_config(Path("/nowhere")))


def nobody(session: int, clordid: bytes) -> None:
    return None


def body_of(values: dict[int, bytes]) -> bytes:
    return b"35=D\x01" + b"".join(b"%d=%s\x01" % pair for pair in values.items())


def draft_of(values: dict[int, bytes]) -> Draft:
    return Draft(make_config(Path("/nowhere")), terms(), 1, body_of(values), NOW_NS, nobody)


def entry_of(draft: Draft) -> Entry:
    body = entry_body(PARENT, b"ALPHA1", b"P1", draft.words, draft.body)
    entry = Entry.of(77, 1, draft.request.account, draft.symbol, body)
    assert entry is not None
    return entry


@given(orders)
def test_any_order_is_refused_with_words_or_read_again_as_it_was(change: dict[int, bytes]):
    draft = draft_of({**GOOD, **change})
    if draft.refusal is not None:
        assert draft.refusal.text and draft.refusal.code in {*terms().order_codes, 0, 11, 99}
        return
    entry = entry_of(draft)
    parent, again = (Parent.of(entry, terms()) for _ in range(2))
    assert (parent.schedule, parent.rate_bp) == (again.schedule, again.rate_bp)
    assert entry.message == draft.body and entry.values == draft.values
    assert parent.schedule.start_ns >= NOW_NS and 0 < parent.rate_bp <= 10_000
    assert parent.schedule.end_ns - NOW_NS <= 43_200 * 10**9
    assert parent.qty_lots == draft.request.qty_lots > 0
    parent.check()


@given(st.integers(1, 1000), st.integers(1, 40_000), st.integers(-(10**8), 10**8))
def test_slices_come_nearest_to_what_was_asked_for(seconds: int, lasting: int, late_ns: int):
    end = messages.timestamp(NOW_NS + lasting * 10**9 + late_ns)
    draft = draft_of({**GOOD, 126: end, 848: b"SliceSeconds=%d" % seconds})
    assert draft.refusal is None
    slices = draft.words["slices"]
    assert isinstance(slices, int)
    asked, whole = seconds * 10**9, lasting * 10**9 + late_ns
    assert slices == 1 or abs(whole - slices * asked) * 2 <= asked
    if lasting % seconds == 0:
        assert slices == lasting // seconds, "a tenth of a second on the way changes nothing"


@given(orders, st.integers(1, 40), st.integers(0, 39), st.integers(0, 10**9))
def test_a_child_is_the_members_order_but_for_what_makes_it_one(
    change: dict[int, bytes], lots: int, n: int, value: int
):
    draft = draft_of({**GOOD, **change})
    if draft.refusal is not None:
        return
    parent = Parent.of(entry_of(draft), terms())
    parent.cum_lots, parent.value = n, value
    name = child_names.compose(parent.seq, n)
    words, body = parent.child(name, lots)
    found = messages.first_fields(body)
    assert (found[11], found[583], found[59]) == (name, b"P1", b"3")
    assert not {126, 168, 847, 848, 849} & set(found)
    assert all(found[tag] == draft.values[tag] for tag in (40, 54, 55, 60))
    assert words[6] == lots and words[3] & 0xFFFFFFFF == draft.request.account and words[3] >> 32 == 1
    assert words[5] == (draft.request.price_ticks if draft.values[40] == b"2" else 0)
    assert Child.of(5, body) == Child(5, parent.seq, n, n, value, parent.seq, 0)


@given(st.integers(1, 2**40), st.integers(0, 10**9 - 1))
def test_names_of_children_are_taken_apart_and_held_by_a_record(seq: int, number: int):
    name = child_names.compose(seq, number)
    assert child_names.parse(name) == (seq, number) and len(name) < 40


def test_what_is_no_childs_name():
    for name in (b"", b"~A", b"~A1", b"~A1-", b"~Ax-1", b"~Bq~e", b"A1-1", b"~A1-1x", b"~A1-1-1"):
        assert child_names.parse(name) is None, name


def test_what_is_no_entry():
    for body in (b"", b"verb=time\x01actor=clock\x01", b"35=D\x0111=x\x01", b"verb=parent_x\x01"):
        assert Entry.of(1, 1, 1, 0, body) is None, body
