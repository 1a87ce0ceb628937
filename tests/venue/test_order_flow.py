"""The demo's order flow: seeded, within the instruments' rules, and only about its own orders."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from venue.config import Instrument
from venue.order_flow import OrderFlow, Resting

ACME = Instrument(0, "ACME", "ACME", "USD", Decimal("0.01"), Decimal(1), Decimal(50), Decimal(150))
BOLT = Instrument(1, "BOLT", "BOLT", "USD", Decimal("0.005"), Decimal(10), Decimal(5), Decimal(40))


def play(seed: int, broker: int, steps: int) -> list:
    flow, done = OrderFlow(seed, broker, (ACME, BOLT)), []
    for number in range(steps):
        step = flow.next()
        done.append(step)
        if step.kind != "F" and step.price is not None and step.tif != "3" and step.price <= step.instrument.price_max:
            flow.opened(f"{number}", Resting(step.instrument, step.side, step.qty, step.price))
        flow.check()
    return done


@given(st.integers(0, 2**32), st.integers(0, 9))
def test_the_same_seed_gives_the_same_flow(seed, broker):
    assert play(seed, broker, 60) == play(seed, broker, 60)


@given(st.integers(0, 2**32))
def test_steps_fit_the_instrument(seed):
    for step in play(seed, 0, 120):
        if step.kind == "F":
            continue
        assert step.qty > 0 and step.qty % step.instrument.lot == 0
        if step.price is not None:
            assert step.price % step.instrument.tick == 0
            assert step.instrument.price_min <= step.price <= step.instrument.price_max + step.instrument.tick


@given(st.integers(0, 2**32))
def test_cancel_and_replace_name_open_orders_once(seed):
    flow, known = OrderFlow(seed, 1, (ACME,)), set()
    for number in range(100):
        step = flow.next()
        if step.kind in "FG":
            assert step.orig in known
            known.discard(step.orig)
        else:
            known.add(str(number))
            flow.opened(str(number), Resting(step.instrument, step.side, step.qty, step.price or Decimal(60)))


def test_a_long_flow_has_every_kind_of_step():
    steps = play(7, 0, 2_000)
    assert {step.kind for step in steps} == {"D", "F", "G"}
    assert any(step.price is None for step in steps)
    assert any(step.post_only for step in steps)
    assert any(step.price is not None and step.price > step.instrument.price_max for step in steps if step.kind == "D")
