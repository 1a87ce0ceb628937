"""Schedules of execution algorithms: how much of a parent order is due at which time, and how much may be sent now.

Pure functions of the parent's terms, integers only, no clock, no chance: the same parent has the same schedule at every
time of asking, in every process, after every restart. TWAP cuts quantity and interval into equal parts; VWAP gives each
part of the interval the share of the quantity that a profile of the day's volume gives it, and without a profile is
TWAP. Must never have more due than the parent has, and has all of it due from the last slice on.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

NS = 1_000_000_000
DAY_SECONDS = 86_400
BASIS_POINTS = 10_000
FLAT = (1,)
PROFILE_PARTS_MAX = 96  # a parent's profile is written into the journal with it
WEIGHT_MAX = 9_999


@dataclass(frozen=True)
class Schedule:
    """`qty_lots` over start <= time < end in `slices` parts; `profile`: weights of equal parts of a day in UTC."""

    qty_lots: int
    start_ns: int
    end_ns: int
    slices: int
    profile: tuple[int, ...] = FLAT

    def __post_init__(self) -> None:
        self.check()

    def check(self) -> None:
        """Asserts that the interval can be cut so, and that the profile is one."""
        assert self.qty_lots > 0 and 0 <= self.start_ns < self.end_ns
        assert 0 < self.slices <= self.end_ns - self.start_ns
        assert profile_fault(self.profile) == ""

    def boundary_ns(self, index: int) -> int:
        """When slice `index` begins; of `slices` it is the end."""
        return self.start_ns + (self.end_ns - self.start_ns) * index // self.slices

    def slice_at(self, now_ns: int) -> int:
        """Which slice a time within the interval belongs to."""
        into_ns = now_ns - self.start_ns
        return min(self.slices - 1, ((into_ns + 1) * self.slices - 1) // (self.end_ns - self.start_ns))

    def due_lots(self, now_ns: int) -> int:
        """How much is to be done by the slice that a time belongs to, this slice's own part with it."""
        if now_ns < self.start_ns:
            return 0
        if now_ns >= self.boundary_ns(self.slices - 1):
            return self.qty_lots
        until_ns = self.boundary_ns(self.slice_at(now_ns) + 1)
        first, last = self._weight_before(self.start_ns), self._weight_before(self.end_ns)
        if first == last:  # the profile says that nothing is traded in all the interval
            return self.qty_lots * (until_ns - self.start_ns) // (self.end_ns - self.start_ns)
        return self.qty_lots * (self._weight_before(until_ns) - first) // (last - first)

    def next_ns(self, now_ns: int) -> int:
        """The first time after this one at which there is something to do; the end itself is the last one."""
        if now_ns < self.start_ns:
            return self.start_ns
        return self.boundary_ns(self.slice_at(now_ns) + 1) if now_ns < self.end_ns else self.end_ns

    def _weight_before(self, time_ns: int) -> int:
        """The profile's weight from 1970 to a time."""
        part_ns = DAY_SECONDS // len(self.profile) * NS
        parts, rest_ns = divmod(time_ns, part_ns)
        days, part = divmod(parts, len(self.profile))
        before = (0, *accumulate(self.profile))
        return (days * before[-1] + before[part]) * part_ns + self.profile[part] * rest_ns


def profile_fault(profile: tuple[int, ...]) -> str:
    """Why this is no profile of a day; empty when it is one."""
    if not 1 <= len(profile) <= PROFILE_PARTS_MAX or DAY_SECONDS % len(profile):
        return f"{len(profile)} weights do not cut a day into at most 96 parts of whole seconds: take 24, 48 or 96"
    if any(not 0 <= weight <= WEIGHT_MAX for weight in profile) or sum(profile) == 0:
        return f"weights are whole numbers from 0 to {WEIGHT_MAX}, and not all 0"
    return ""


def permitted_lots(rate_bp: int, traded_lots: int, done_lots: int) -> int:
    """The largest quantity after which the parent has no more than its share of all that was traded, itself included.

    `traded_lots`: all that was traded since the parent began, its own `done_lots` among them.
    """
    assert 0 < rate_bp < BASIS_POINTS and done_lots >= 0
    return max(0, (rate_bp * traded_lots - BASIS_POINTS * done_lots) // (BASIS_POINTS - rate_bp))
