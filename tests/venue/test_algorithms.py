"""Schedules of execution algorithms: properties of every schedule, then named ones."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from venue.algorithms import (
    BASIS_POINTS,
    DAY_SECONDS,
    FLAT,
    NS,
    PROFILE_PARTS_MAX,
    WEIGHT_MAX,
    Schedule,
    permitted_lots,
    profile_fault,
)

PARTS = [n for n in range(1, PROFILE_PARTS_MAX + 1) if DAY_SECONDS % n == 0]
profiles = st.sampled_from(PARTS).flatmap(
    lambda count: st.lists(st.integers(0, WEIGHT_MAX), min_size=count, max_size=count).filter(any).map(tuple)
)


@st.composite
def schedules(draw: st.DrawFn, profile: st.SearchStrategy[tuple[int, ...]] = profiles) -> Schedule:
    start_ns = draw(st.integers(0, 2 * 10**18))
    lasting_ns = draw(st.integers(1, DAY_SECONDS * NS))
    slices = draw(st.integers(1, min(lasting_ns, 50_000)))
    return Schedule(draw(st.integers(1, 2**40)), start_ns, start_ns + lasting_ns, slices, draw(profile))


@st.composite
def moments(draw: st.DrawFn) -> tuple[Schedule, int, int]:
    """A schedule and two times, the first not later than the second, around its interval."""
    schedule = draw(schedules())
    times = st.integers(schedule.start_ns - NS, schedule.end_ns + NS)
    edges = st.integers(0, schedule.slices).map(schedule.boundary_ns)
    first, second = sorted((draw(times | edges), draw(times | edges)))
    return schedule, first, second


@given(moments())
def test_what_is_due_grows_and_is_never_more_than_all(case: tuple[Schedule, int, int]):
    schedule, first, second = case
    assert 0 <= schedule.due_lots(first) <= schedule.due_lots(second) <= schedule.qty_lots


@given(schedules())
def test_nothing_is_due_before_the_start_and_all_of_it_by_the_last_slice(schedule: Schedule):
    assert schedule.due_lots(schedule.start_ns - 1) == 0
    assert schedule.due_lots(schedule.boundary_ns(schedule.slices - 1)) == schedule.qty_lots
    assert schedule.due_lots(schedule.end_ns) == schedule.due_lots(schedule.end_ns + 1) == schedule.qty_lots


@given(moments())
def test_a_slice_holds_its_own_times_and_nothing_changes_within_it(case: tuple[Schedule, int, int]):
    schedule, now_ns, _ = case
    if not schedule.start_ns <= now_ns < schedule.end_ns:
        return
    index = schedule.slice_at(now_ns)
    assert schedule.boundary_ns(index) <= now_ns < schedule.boundary_ns(index + 1)
    assert schedule.due_lots(now_ns) == schedule.due_lots(schedule.boundary_ns(index))


@given(moments())
def test_walking_by_next_visits_every_change_and_ends(case: tuple[Schedule, int, int]):
    schedule, now_ns, _ = case
    following = schedule.next_ns(now_ns)
    assert following > now_ns or following == schedule.end_ns
    if now_ns < schedule.end_ns:
        assert now_ns < following <= schedule.end_ns
        assert schedule.due_lots(following - 1) == schedule.due_lots(now_ns)
    else:
        assert following == schedule.end_ns


@given(moments())
def test_the_same_terms_say_the_same(case: tuple[Schedule, int, int]):
    schedule, now_ns, _ = case
    again = Schedule(schedule.qty_lots, schedule.start_ns, schedule.end_ns, schedule.slices, tuple(schedule.profile))
    assert again.due_lots(now_ns) == schedule.due_lots(now_ns) and again.next_ns(now_ns) == schedule.next_ns(now_ns)


@given(schedules(st.just(FLAT)), st.sampled_from(PARTS), st.integers(1, WEIGHT_MAX), st.data())
def test_an_even_profile_of_any_length_is_a_twap(schedule: Schedule, parts: int, weight: int, data: st.DataObject):
    even = Schedule(schedule.qty_lots, schedule.start_ns, schedule.end_ns, schedule.slices, (weight,) * parts)
    now_ns = data.draw(st.integers(schedule.start_ns, schedule.end_ns))
    assert even.due_lots(now_ns) == schedule.due_lots(now_ns)


@given(st.integers(1, 10**6), st.integers(1, 500), st.integers(1, 3_600))
def test_a_twaps_slices_differ_by_a_lot_at_most(qty_lots: int, slices: int, seconds: int):
    schedule = Schedule(qty_lots, 10**18, 10**18 + slices * seconds * NS, slices)
    due = [0, *(schedule.due_lots(schedule.boundary_ns(index)) for index in range(slices))]
    parts = [after - before for before, after in itertools.pairwise(due)]
    assert sum(parts) == qty_lots and max(parts) - min(parts) <= 1


@given(st.integers(1, BASIS_POINTS - 1), st.integers(0, 2**40), st.integers(0, 2**40))
def test_the_permitted_lots_are_the_most_that_keep_the_share(rate_bp: int, others_lots: int, done_lots: int):
    lots = permitted_lots(rate_bp, others_lots + done_lots, done_lots)

    def keeps(more: int) -> bool:
        return (done_lots + more) * BASIS_POINTS <= rate_bp * (others_lots + done_lots + more)

    assert lots >= 0 and (lots == 0 or keeps(lots)) and not keeps(lots + 1)


def test_a_vwap_gives_each_part_of_the_day_its_share():
    hour = 3_600 * NS
    schedule = Schedule(100, 9 * hour, 11 * hour, 4, (*[0] * 9, 3, 1, *[0] * 13))
    assert [schedule.due_lots(9 * hour + index * hour // 2) for index in range(4)] == [37, 75, 87, 100]


def test_a_profile_without_volume_in_the_interval_is_even():
    hour = 3_600 * NS
    schedule = Schedule(100, 2 * hour, 4 * hour, 4, (*[0] * 9, 3, 1, *[0] * 13))
    assert [schedule.due_lots(2 * hour + index * hour // 2) for index in range(4)] == [25, 50, 75, 100]


def test_fewer_lots_than_slices():
    schedule = Schedule(2, 0, 10 * NS, 10)
    assert [schedule.due_lots(second * NS) for second in range(10)] == [0, 0, 0, 0, 1, 1, 1, 1, 1, 2]


@pytest.mark.parametrize(
    ("profile", "told"),
    [
        ((), "0 weights"),
        ((1,) * 7, "7 weights"),
        ((1,) * 100, "100 weights"),
        ((0, 0), "not all 0"),
        ((-1, 2), "from 0"),
    ],
)
def test_what_is_no_profile_is_told(profile: tuple[int, ...], told: str):
    assert told in profile_fault(profile)
    with pytest.raises(AssertionError):
        Schedule(1, 0, NS, 1, profile)
