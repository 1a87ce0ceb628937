"""The party block: what the archive can read is taken as it came, anything else is refused in words."""

from __future__ import annotations

import random

import numpy as np
import pytest

from fix_sessions import parties
from fix_sessions.client import Pair
from tests.fix_sessions.rig import Venue, settle, tags, written
from venue.annexes import Annexes
from venue.follower import Follower
from venue.records import SALT_BYTES

LEI = "5493001KJTIIGC8Y1R12"
GOOD: list[Pair] = [
    (453, "4"),
    *[(448, LEI), (447, "N"), (452, "3"), (2376, "23")],
    *[(448, "ALGO7"), (447, "D"), (452, "122"), (2376, "22")],
    *[(448, "42"), (447, "P"), (452, "12"), (2376, "24")],
    *[(448, "BROKER"), (447, "D"), (452, "26")],
    (528, "A"),
    (529, "5"),
    (1724, "5"),
    *[(2593, "1"), (2594, "2"), (2595, "Y")],
]


def body_of(block: list[Pair]) -> bytes:
    return b"35=D\x01" + b"".join(b"%d=%s\x01" % (int(tag), str(value).encode()) for tag, value in block)


def party(*values: str, tag_order: tuple[int, ...] = (448, 447, 452, 2376)) -> list[Pair]:
    return [(453, "1"), *zip(tag_order, values, strict=False)]


FAULTS: list[tuple[list[Pair], str]] = [
    (party("x" * 51, "D", "3"), "PartyID(448) is longer than 50"),
    (party("5493001KJTIIGC8Y1R13", "N", "3"), "is no LEI"),
    (party("short", "N", "3"), "is no LEI"),
    (party("x", "Z", "3"), "PartyIDSource(447) must be"),
    (party("x", "3", "D", tag_order=(448, 452, 447)), "PartyIDSource(447) belongs directly"),
    (party("x", "D", "3", "22"), "PartyRoleQualifier(2376) is 22 or 24"),
    (party("x", "D", "26", "24"), "PartyRoleQualifier(2376) is 22 or 24"),
    ([(453, "2"), (448, "x"), (452, "3"), (448, "y"), (452, "3")], "PartyRole(452) 3 is there twice"),
    ([(2593, "1"), (2594, "0"), (2595, "yes")], "OrderAttributeValue(2595) must be Y or N"),
    ([(2593, "2"), (2594, "0"), (2595, "Y"), (2594, "0"), (2595, "N")], "OrderAttributeType(2594) 0 is there twice"),
    ([(2593, "2"), (2594, "0"), (2595, "Y"), (2594, "1"), (2595, "Y")], "exclude each other"),
    ([*party("x", "D", "3"), (2593, "1"), (2594, "0"), (2595, "Y")], "stands for the client"),
]


@pytest.mark.parametrize(("block", "text"), FAULTS)
def test_a_fault_is_named_and_nothing_is_journaled(venue: Venue, block: list[Pair], text: str):
    assert text in parties.fault(body_of(block)).decode()
    bravo = venue.logged_on("BRAVO1")
    before = venue.engine.last_seq
    order: list[Pair] = [(11, "o"), *block, (55, "ACME"), (54, "1"), (60, "20260101-00:00:00"), (38, "1"), (40, "1")]
    bravo.send("D", order)
    settle(bravo)
    answer = tags(bravo.inbox[-1])
    assert (answer[35], answer[379], answer[380]) == ("j", "o", "0")
    assert answer[58] == parties.fault(body_of(block)).decode()
    assert venue.engine.last_seq == before


def test_a_good_block_is_kept_as_it_came(venue: Venue):
    bravo = venue.logged_on("BRAVO1")
    order: list[Pair] = [(11, "o"), *GOOD, (55, "ACME"), (54, "1"), (60, "20260101-00:00:00")]
    bravo.send("D", [*order, (38, "1"), (40, "2"), (44, "100.00")])
    settle(bravo)
    assert tags(bravo.inbox[-1])[39] == "0"
    written(venue).close()
    with Follower(venue.data_dir / "journal", venue.engine.last_seq) as follower:
        body = follower.poll().annex[SALT_BYTES:]
    assert body.startswith(body_of(order))


@pytest.mark.parametrize("tag", [528, 1724, 529])
def test_codes_that_nobody_knows_are_no_values(venue: Venue, tag: int):
    bravo = venue.logged_on("BRAVO1")
    bravo.order("ACME", "buy", 1, "100.00", **{f"t{tag}": "Z"})
    settle(bravo)
    reject = next(tags(m) for m in reversed(bravo.admin) if m.get(35) == b"3")
    assert reject[371] == str(tag)


def test_both_applications_say_the_same_of_any_block(make_venue, application: str):
    """Random blocks, mostly nearly right; what Python says of a block is what either application answers."""
    venue = make_venue(application)
    bravo = venue.logged_on("BRAVO1")
    chance = random.Random(11)
    for number in range(120):
        count = chance.randint(1, 3)
        block: list[Pair] = [(453, str(count))]
        for _ in range(count):
            block.append((448, chance.choice([LEI, "x", "5493001KJTIIGC8Y1R99", "y" * 51])))
            rest: list[Pair] = [(447, chance.choice("DNPC")), (452, chance.choice(["3", "12", "122", "26", "3"]))]
            rest = rest if chance.random() < 0.8 else rest[1:]
            if chance.random() < 0.4:
                rest.append((2376, chance.choice(["22", "23", "24"])))
            if chance.random() < 0.1:
                chance.shuffle(rest)
            block += rest
        if chance.random() < 0.3:
            block += [(2593, "1"), (2594, chance.choice("0124")), (2595, chance.choice("YNx"))]
        before = len(bravo.inbox)
        order: list[Pair] = [(11, f"o{number}"), *block, (55, "ACME"), (54, "1"), (60, "20260101-00:00:00")]
        bravo.send("D", [*order, (38, "1"), (40, "2"), (44, "60.00")])
        bravo.wait_for(lambda before=before: len(bravo.inbox) > before)  # type: ignore[misc]
        answer, fault = tags(bravo.inbox[-1]), parties.fault(body_of(block)).decode()
        assert (answer[35], answer.get(58, "")) == (("j", fault) if fault else ("8", "")), (number, block)


@pytest.mark.parametrize(
    ("text", "good"), [(LEI, True), (LEI.lower(), False), (LEI[:-1], False), ("0" * 20, False), ("A" * 20, False)]
)
def test_a_lei_has_its_check_digits(text: str, good: bool):
    assert parties.is_lei(text.encode()) is good


def test_the_archive_reads_attributes_out_of_annexes():
    blocks: list[list[Pair]] = [
        [(2593, "2"), (2594, "2"), (2595, "N"), (2594, "0"), (2595, "Y")],
        [],
        [(2593, "1"), (2594, "2"), (2595, "Y")],
        [(2593, "1"), (2594, "2")],
    ]
    annexes = [b"\x01" * SALT_BYTES + body_of(block) for block in blocks]
    ends = np.cumsum([len(annex) for annex in annexes]).astype(np.int64)
    found = Annexes(np.frombuffer(b"".join(annexes), np.uint8), ends)
    assert found.attribute(b"0").tolist() == [True, False, False, False]
    assert found.attribute(b"2").tolist() == [False, False, True, False]
