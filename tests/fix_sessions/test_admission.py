"""Networks, and the counting of failed logons: who is locked out, for how long, and who never is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fix_sessions.admission import ENTRIES_MAX, Lockout, Networks, address_of, place_of
from venue.config_sections import LogonSection

SECTION = LogonSection(failures_max=3, address_failures_max=8, window_seconds=60)


class Watch:
    """A clock that a test sets."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@given(st.lists(st.tuples(st.sampled_from([b"A", b"B"]), st.sampled_from(["x", "y"]), st.floats(0, 40)), max_size=60))
def test_only_who_failed_is_locked_out(tries: list[tuple[bytes, str, float]]):
    watch = Watch()
    lockout = Lockout(SECTION, watch)
    failed: dict[tuple[bytes, str], int] = {}
    for comp_id, place, pause in tries:
        watch.now += pause
        if not lockout.seconds_left(comp_id, place):
            lockout.failed(comp_id, place)
            failed[comp_id, place] = failed.get((comp_id, place), 0) + 1
        lockout.check()
        for one in (b"A", b"B"):
            for other in ("x", "y"):
                everywhere = sum(count for (_, at), count in failed.items() if at == other)
                if failed.get((one, other), 0) < SECTION.failures_max and everywhere < SECTION.address_failures_max:
                    assert lockout.seconds_left(one, other) == 0
                assert lockout.seconds_left(one, other) <= SECTION.window_seconds


def test_a_stranger_locks_out_himself_and_nobody_else():
    lockout = Lockout(SECTION, Watch())
    for _ in range(100):
        lockout.failed(b"ALPHA1", "203.0.113.9")
    assert lockout.seconds_left(b"ALPHA1", "203.0.113.9") > 0
    assert lockout.seconds_left(b"ALPHA1", "192.0.2.1") == 0, "the member, from its own network"


def test_an_address_that_tries_many_names_is_locked_out_for_all():
    lockout = Lockout(SECTION, Watch())
    assert [lockout.failed(b"M%d" % i, "203.0.113.9") for i in range(8)] == [False] * 7 + [True]
    assert lockout.seconds_left(b"NEW", "203.0.113.9") == 60


def test_a_lock_ends_with_its_window_and_failures_are_forgotten():
    watch = Watch()
    lockout = Lockout(SECTION, watch)
    for _ in range(3):
        lockout.failed(b"A", "x")
    watch.now += 59.5
    assert lockout.seconds_left(b"A", "x") == 1
    watch.now += 1
    assert lockout.seconds_left(b"A", "x") == 0 and not lockout.failed(b"A", "x")
    watch.now += 61
    assert not lockout.failed(b"A", "x") and not lockout.failed(b"A", "x"), "two in this window"


def test_a_good_logon_forgets_the_pair_only():
    lockout = Lockout(SECTION, Watch())
    for _ in range(4):
        lockout.failed(b"A", "x")
        lockout.failed(b"A", "x")
        lockout.passed(b"A", "x")
    assert lockout.seconds_left(b"B", "x") > 0, "eight failures of the address"


def test_an_operator_unlocks():
    lockout = Lockout(SECTION, Watch())
    for _ in range(3):
        lockout.failed(b"A", "192.0.2.1")
    assert [lock["comp_id"] for lock in lockout.locked()] == ["A"]
    assert lockout.unlock("A") == 1 and lockout.locked() == [] and lockout.unlock("A") == 0
    assert lockout.seconds_left(b"A", "192.0.2.1") == 0


def test_memory_is_bounded():
    lockout = Lockout(SECTION, Watch())
    for i in range(2 * ENTRIES_MAX):
        lockout.failed(b"C%d" % i, f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}")
    lockout.check()


@pytest.mark.parametrize(
    ("peer", "place"),
    [
        ("192.0.2.1:5000", "192.0.2.1"),
        ("::ffff:192.0.2.1:5000", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6:5000", "2001:db8:1:2::/64"),
        ("fe80::1%eth0:5000", "fe80::/64"),
        ("unknown", "None"),
        ("", "None"),
    ],
)
def test_addresses(peer: str, place: str):
    assert place_of(address_of(peer)) == place


def test_networks():
    networks = Networks(("192.0.2.0/24", "2001:db8::/32"))
    for text, inside in (("192.0.2.77:1", True), ("192.0.3.1:1", False), ("2001:db8::1:1", True), ("unknown", False)):
        assert (address_of(text) in networks) == inside, text
    assert address_of("unknown") in Networks(()), "no list: anywhere"
