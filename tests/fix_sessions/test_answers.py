"""What an answer says of a request that the venue does not take, or of a cancel nobody asked for: each field of it is
the request's or the order's own, and its words name what was wrong, where, and how to mend it."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from fix_sessions.acceptor import dictionary_path
from fix_sessions.engagement import Dictionary
from tests.fix_sessions.rig import Venue, ask, bust, last, rejected, settle, tags, until

NOW = "20260101-00:00:00"
DICTIONARY = Dictionary(dictionary_path())
NAMES = itertools.count(1)
LISTED = [
    (row.tag, row.name, DICTIONARY.values(row.name))
    for row in DICTIONARY.tables["D"][1]
    if row.depth == 0 and DICTIONARY.values(row.name)
]


def name() -> str:
    return f"answer-{next(NAMES)}"


def leg(clordid: str, number: int, side: str, price: str, qty: str = "3") -> list[tuple[int, str]]:
    head = [(11, clordid), (67, str(number)), (55, "ACME"), (54, side), (60, NOW)]
    return [*head, (38, qty), (40, "2"), (44, price)]


def enter_list(broker: Any, list_id: str, *legs: list[tuple[int, str]], contingency: str = "1") -> None:
    count = str(len(legs))
    head = [(66, list_id), (394, "3"), (1385, contingency), (68, count), (73, count)]
    broker.send("E", [*head, *(pair for each in legs for pair in each)])
    settle(broker)
    broker.wait_for(lambda: any(m.get(35) == b"N" for m in broker.inbox))


# ---- a price that no one would keep ----


@pytest.mark.parametrize("fields", [{"t40": "1"}, {"t40": "K"}, {"t40": "3", "t99": "105"}])
def test_a_type_without_a_price_takes_none(shared_venue: Venue, fields: dict[str, str]):
    """ROE-30 A limit on a market order would be kept by nobody: it is refused, and 0 is none."""
    alpha = shared_venue.fresh("ALPHA1")
    for price in ("90", "0.01", "-90"):
        answer = ask(alpha, lambda price=price: alpha.order("ACME", "buy", 5, price, **fields))  # type: ignore[misc]
        assert (answer[150], answer[103]) == ("8", "11") and "Price(44) goes with" in answer[58]
    for price in ("0", "0.00"):
        order = alpha.order("ACME", "buy", 5, price, **fields)
        settle(alpha)
        first = next(found for found in map(tags, alpha.inbox) if found.get(11) == order)
        assert first[150] == "0" and 44 not in first


# ---- whose field is at fault ----


@pytest.mark.parametrize(("tag", "value"), [(54, "3"), (54, "5"), (40, "9"), (40, "D")])
def test_a_side_or_type_that_is_not_taken_is_named(shared_venue: Venue, tag: int, value: str):
    alpha = shared_venue.fresh("ALPHA1")
    body = {11: name(), 55: "ACME", 54: "1", 38: "5", 40: "2", 44: "90", tag: value}
    answer = ask(alpha, lambda: alpha.request("D", list(body.items())))
    assert (answer[150], answer[103]) == ("8", "11")
    assert answer[58].startswith({54: "Side(54) must be", 40: "OrdType(40) must be"}[tag])


@pytest.mark.parametrize(("tag", "field", "known"), LISTED, ids=[field for _, field, _ in LISTED])
def test_a_reject_lists_what_a_field_takes(shared_venue: Venue, tag: int, field: str, known: dict[str, str]):
    """ROE-24 All that the dictionary lists, and nothing else."""
    alpha = shared_venue.fresh("ALPHA1")
    wrong = "199" if DICTIONARY.fields[field].get("type") == "INT" else "?"
    assert wrong not in known
    body = {11: name(), 55: "ACME", 54: "1", 38: "5", 40: "2", 44: "90", tag: wrong}
    answer = rejected(alpha, lambda: alpha.request("D", list(body.items())))
    assert (answer[371], answer[373]) == (str(tag), "5")
    assert set(answer[58].partition(" is not taken: one of ")[2].split()) == set(known), answer[58]


@pytest.mark.parametrize("clordid", ["x" * 40, "~mine"])
def test_a_name_that_is_not_taken(shared_venue: Venue, clordid: str):
    """ROE-28"""
    alpha = shared_venue.fresh("ALPHA1")
    answer = rejected(alpha, lambda: alpha.order("ACME", "buy", 5, "90", t11=clordid))
    assert "at most 39 characters and does not begin with ~" in answer[58]


@pytest.mark.parametrize(("tag", "value", "text"), [(38, "1e3", "no exponent"), (126, "soon", "YYYYMMDD-HH:MM:SS")])
def test_a_reject_says_how_a_field_is_written(shared_venue: Venue, tag: int, value: str, text: str):
    """ROE-24"""
    alpha = shared_venue.fresh("ALPHA1")
    answer = rejected(alpha, lambda: alpha.order("ACME", "buy", 5, "90", **{f"t{tag}": value}))
    assert (answer[371], answer[373]) == (str(tag), "6") and text in answer[58]


# ---- accounts ----


def test_another_account_is_not_put_in_the_place_of_the_one_that_was_sent(venue: Venue):
    """ROE-29"""
    alpha = venue.logged_on("ALPHA1")
    answer = ask(alpha, lambda: alpha.order("ACME", "buy", 5, "90", t1="2"))
    assert (answer[150], answer[103]) == ("8", "15") and 1 not in answer
    order = alpha.order("ACME", "buy", 5, "90")
    answer = ask(alpha, lambda: alpha.cancel(order, "ACME", "buy", t1="2"))
    assert (answer[35], answer[102], answer[39]) == ("9", "99", "0") and 1 not in answer


def test_a_cancel_of_an_open_order_under_another_account_does_not_come_too_late(venue: Venue):
    """ROE-31 ROE-33"""
    alpha = venue.logged_on("ALPHA1")
    order = alpha.order("ACME", "buy", 5, "90", t1="1")
    for send in (
        lambda: alpha.cancel(order, "ACME", "buy", t1="3"),
        lambda: alpha.replace(order, "ACME", "buy", 6, "90", t1="3"),
    ):
        answer = ask(alpha, send)
        assert (answer[35], answer[102], answer[39]) == ("9", "99", "0") and "Account(1) is not that" in answer[58]
    assert ask(alpha, lambda: alpha.cancel(order, "ACME", "buy", t1="1"))[150] == "4"


# ---- what nobody asked for ----


def test_the_venues_own_cancels_have_words_and_a_members_has_none(venue: Venue):
    """ROE-20 ROE-43"""
    alpha = venue.logged_on("ALPHA1")
    asked = ask(alpha, lambda: alpha.cancel(alpha.order("ACME", "buy", 1, "90"), "ACME", "buy"))
    assert asked[150] == "4" and 58 not in asked
    enter_list(alpha, "pair", leg("one", 1, "2", "100"), leg("other", 2, "1", "98"))
    bravo = venue.logged_on("BRAVO1")
    bravo.order("ACME", "buy", 1, "100", t59="3")
    settle(bravo)
    settle(alpha)
    other = [found for found in map(tags, alpha.inbox) if found.get(11) == "other" and found.get(150) == "4"]
    assert len(other) == 1 and "its list" in other[0][58] and 41 not in other[0]
    left = alpha.order("ACME", "buy", 1, "91")
    settle(alpha)
    alpha.close()
    until(lambda: venue.engine.open_orders(0) == 0)
    alpha.log_on()
    alpha.wait_for(lambda: any(m.get(11) == left.encode() and m.get(150) == b"4" for m in alpha.inbox))
    gone = next(found for found in map(tags, alpha.inbox) if found.get(11) == left and found[150] == "4")
    assert "disconnect" in gone[58] and 41 not in gone


# ---- requests about many ----


@pytest.mark.parametrize("side", ["3", "5"])
def test_a_mass_cancel_or_status_of_no_side_is_refused(venue: Venue, side: str):
    """ROE-35 ROE-46 Nothing was meant by it, so nothing is done, and nobody is told that all is cancelled."""
    alpha = venue.logged_on("ALPHA1")
    alpha.order("ACME", "buy", 5, "90")
    answer = ask(alpha, lambda: alpha.request("q", [(530, "7"), (54, side)]))
    assert (answer[35], answer[531], answer[532]) == ("r", "0", "99") and "Side(54) must be" in answer[58]
    assert venue.engine.open_orders(0) == 1
    answer = ask(alpha, lambda: alpha.send("AF", [(584, name()), (585, "7"), (54, side)]))
    assert (answer[37], answer[911]) == ("NONE", "0") and "Side(54) must be" in answer[58]


def test_a_list_tells_what_was_cancelled_and_what_was_not(venue: Venue):
    """ROE-43 A refused order is not cancelled, nor is what was busted."""
    alpha, bravo = venue.logged_on("ALPHA1"), venue.logged_on("BRAVO1")
    bravo.order("ACME", "buy", 2, "100")
    settle(bravo)
    legs = leg("taken-back", 1, "2", "100"), leg("off-tick", 2, "1", "98.001")
    enter_list(alpha, "busted", *legs, contingency="0")
    trade = next(found[17] for found in map(tags, alpha.inbox) if found.get(150) == "F")
    bust(venue, trade)
    state = next(message for message in reversed(alpha.inbox) if message.get(35) == b"N")
    assert state.get(84, 2) == b"0" and state.get(39, 2) == b"8" and b"ExecutionReport" in state.get(58)
    alpha.send("M", [(66, "busted")])
    alpha.wait_for(lambda: any(found.get(429) == b"2" for found in alpha.inbox))
    message = next(found for found in alpha.inbox if found.get(429) == b"2")
    assert [message.get(tag, 2) for tag in (11, 39, 151)] == [b"off-tick", b"8", b"0"]
    assert [message.get(tag, 1) for tag in (11, 39, 14, 151, 84)] == [b"taken-back", b"0", b"0", b"1", b"0"]


# ---- no parent, no order ----


def test_a_replace_with_an_algorithms_fields_names_the_order_that_is_none(venue: Venue):
    """ROE-56 The order is open, and the answer says so."""
    alpha = venue.logged_on("ALPHA1")
    order = ask(alpha, lambda: alpha.order("ACME", "buy", 5, "90"))
    answer = ask(alpha, lambda: alpha.replace(order[11], "ACME", "buy", 6, "90", t847="1000"))
    assert (answer[35], answer[102], answer[37], answer[39], answer[1]) == ("9", "99", order[37], "0", "1")
    answer = ask(alpha, lambda: alpha.replace("nobody", "ACME", "buy", 6, "90", t847="1000"))
    assert (answer[35], answer[102], answer[37], answer[39], answer[1]) == ("9", "1", "NONE", "8", "1")


def test_the_status_of_a_refused_order_has_the_quantity_of_its_refusal(shared_venue: Venue):
    """ROE-34 None, when it was no quantity."""
    alpha = shared_venue.fresh("ALPHA1")
    refused = ask(alpha, lambda: alpha.order("ACME", "buy", "1.5", "90"))
    alpha.request("H", [(11, refused[11]), (55, "ACME"), (54, "1")])
    settle(alpha)
    assert last(alpha)[150] == "I" and last(alpha)[39] == "8"
    assert 38 not in refused and 38 not in last(alpha)


def test_a_mass_cancel_that_comes_again_cancels_what_is_open_then(venue: Venue):
    """ROE-15 ROE-35 An order that comes again is not entered again; a mass cancel is done."""
    alpha = venue.logged_on("ALPHA1")
    order = [(11, "kept"), (55, "ACME"), (54, "1"), (38, "5"), (40, "2"), (44, "90"), (60, NOW)]
    alpha.send("D", order)
    counts = []
    for flags in ([], [(97, "Y")]):
        answer = ask(alpha, lambda flags=flags: alpha.send("q", [*flags, (11, "all"), (530, "7"), (60, NOW)]))  # type: ignore[misc]
        counts.append((answer[35], answer[531], answer[533]))
        known = len(alpha.inbox)
        alpha.send("D", [(97, "Y"), *order])
        settle(alpha)
        assert len(alpha.inbox) == known and venue.engine.open_orders(0) == 0
        alpha.order("ACME", "buy", 5, "91")
        settle(alpha)
    assert counts == [("r", "7", "1")] * 2
