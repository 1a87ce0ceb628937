"""Hours and resets: pure answers about times, and a thread that does what they say, once each."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fix_sessions.schedule import NS, Schedule, Timekeeper
from venue.config_sections import ScheduleSection

WEEK = ScheduleSection(time_zone="Europe/Paris", weekdays=(1, 2, 3, 4, 5), start="08:00", end="18:30")
MOMENTS = st.integers(1_700_000_000, 1_900_000_000).map(lambda seconds: seconds * NS)


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * NS


@given(MOMENTS, st.sampled_from(["08:00", "17:00", "23:30", ""]), st.sets(st.integers(1, 7), min_size=1))
def test_an_end_follows_while_it_is_open_and_a_start_is_told_while_it_is_not(now: int, start: str, days: set[int]):
    section = ScheduleSection("America/New_York", tuple(days), start, "16:00" if start else "")
    schedule = Schedule(section)
    if schedule.always_open:
        assert schedule.is_open(now) and schedule.next_end(now) is None
    elif schedule.is_open(now):
        end = schedule.next_end(now)
        assert schedule.closed_text(now) == "" and end is not None and now < end
        assert not schedule.is_open(end) and schedule.is_open(end - NS)
    else:
        assert "it opens at" in schedule.closed_text(now) and schedule.next_end(now) is None


@given(MOMENTS, st.integers(0, 7))
def test_a_reset_is_behind_and_one_ahead(now: int, weekday: int):
    schedule = Schedule(ScheduleSection("Europe/Paris", reset="22:00", reset_weekday=weekday))
    last, following = schedule.last_reset(now), schedule.next_reset(now)
    assert last is not None and following is not None and last <= now < following
    assert following - last <= (8 if weekday else 2) * 86_400 * NS
    assert schedule.last_reset(following) == following


def test_hours_with_daylight_saving():
    schedule = Schedule(WEEK)
    assert not schedule.is_open(at("2026-03-27 06:59:59")) and schedule.is_open(at("2026-03-27 07:00:00"))
    assert not schedule.is_open(at("2026-03-28 12:00:00")), "Saturday"
    assert schedule.is_open(at("2026-03-30 06:00:00")), "summer time since Sunday"
    assert schedule.closed_text(at("2026-03-28 12:00:00")).endswith("Monday 2026-03-30 08:00:00 Europe/Paris")


def test_hours_that_daylight_saving_skips_are_not_promised():
    """From 02:30 to 03:15, on a day whose 02:30 is 03:30: the next day is named, and comes."""
    schedule = Schedule(ScheduleSection(time_zone="America/New_York", start="02:30", end="03:15"))
    night = at("2026-03-08 05:00:00")
    assert "2026-03-09 02:30:00" in schedule.closed_text(night)
    assert not any(schedule.is_open(night + minutes * 60 * NS) for minutes in range(0, 720, 5))
    assert schedule.is_open(at("2026-03-09 06:30:00"))


def test_an_overnight_session_belongs_to_the_day_it_starts():
    schedule = Schedule(ScheduleSection(weekdays=(7, 1, 2, 3, 4), start="22:00", end="21:00"))
    assert schedule.is_open(at("2026-11-22 22:00:00")) and schedule.is_open(at("2026-11-23 03:00:00"))
    assert not schedule.is_open(at("2026-11-23 21:30:00"))
    assert not schedule.is_open(at("2026-11-27 22:30:00")), "no session starts on Friday"


def test_days_that_touch_are_one_session():
    schedule = Schedule(ScheduleSection(weekdays=(1, 2, 3, 4, 5)))
    assert schedule.next_end(at("2026-11-24 12:00:00")) == at("2026-11-28 00:00:00")


class Diary:
    """What a timekeeper does, in order."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def end_hours(self, text: str) -> None:
        self.done.append("end")

    def begin_generations(self, text: str) -> None:
        self.done.append("reset")

    def tell(self, headline: str) -> None:
        self.done.append(headline.split(", at")[0])


def keeper(section: ScheduleSection, now: str) -> tuple[Timekeeper, Diary]:
    diary = Diary()
    return Timekeeper(Schedule(section), section, diary, lambda: at(now)), diary


def test_a_day_in_order():
    section = ScheduleSection(start="08:00", end="18:00", reset="18:30", news_minutes=(15, 1))
    timekeeper, diary = keeper(section, "2026-11-24 17:00:00")
    for minute in range(120):
        for second in (0, 30):
            timekeeper.tick(at("2026-11-24 17:00:00") + (minute * 60 + second) * NS)
    assert diary.done == [
        "The session ends in 15 minutes",
        "The session ends in 1 minute",
        "end",
        "All sequence numbers are reset in 15 minutes",
        "All sequence numbers are reset in 1 minute",
        "reset",
    ]


def test_a_clock_that_goes_back_repeats_nothing():
    section = ScheduleSection(reset="12:00", news_minutes=())
    timekeeper, diary = keeper(section, "2026-11-24 11:59:59")
    for text in ("12:00:01", "11:59:59", "12:00:02", "12:00:03"):
        timekeeper.tick(at(f"2026-11-24 {text}"))
    assert diary.done == ["reset"]


def test_a_clock_that_goes_far_back_is_told_once(caplog: pytest.LogCaptureFixture):
    """Set a day ahead by mistake, then right: until that day nothing is due, and the operator knows."""
    section = ScheduleSection(reset="12:00", news_minutes=())
    timekeeper, diary = keeper(section, "2026-11-25 11:00:00")
    for text in ("24 11:00:00", "24 11:30:00", "24 12:30:00", "25 11:00:01", "25 10:59:59", "25 12:00:01"):
        timekeeper.tick(at(f"2026-11-{text}"))
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == ["clock went back"]
    assert diary.done == ["reset"]


def test_a_long_pause_tells_the_nearest_only():
    section = ScheduleSection(start="08:00", end="18:00", news_minutes=(15, 5, 1))
    timekeeper, diary = keeper(section, "2026-11-24 17:00:00")
    timekeeper.tick(at("2026-11-24 17:58:00"))
    assert diary.done == ["The session ends in 5 minutes"]
