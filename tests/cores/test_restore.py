"""A state that somebody else wrote: taken only when it is one, and the same by both implementations.

The prover is handed slots by whoever asks for a proof, so a restore that believed a wrong word would prove a wrong
state. Every word of a busy state is overwritten in turn with what lies at the bounds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cores import CoreConfig, Side, StateError
from cores.records import AMOUNT_MAX, PRICE_TICKS_MAX, QTY_LOTS_MAX, SEQ_MAX
from tests.cores.fix_cores import CORES, SMALL, CompiledCore, Play, ReferenceCore, funded, generate, new, setup_fields

EDGES = [0, 1, 2, 63, 64, 100, 163, 1 << 16, 1 << 24, QTY_LOTS_MAX + 1, PRICE_TICKS_MAX + 1, SEQ_MAX + 1, AMOUNT_MAX,
         AMOUNT_MAX + 1, 1 << 63, (1 << 64) - 1]  # fmt: skip


def busy_state() -> np.ndarray:
    """Slots of a state with orders on both sides of some symbols, credit, holds and fees earned."""
    core, play = CompiledCore(SMALL), Play()
    core.apply(np.concatenate([play.record(fields) for fields in setup_fields()]))
    for number in range(250):
        play.see(core.apply(play.record(generate(5 << 16 | number)))[0])
    for side, price in ((Side.BUY, 110), (Side.BUY, 109), (Side.SELL, 150)):
        core.apply(play.record(new(1, side, price, 1)))
    core.check()
    return np.frombuffer(core.snapshot(), np.uint64).reshape(-1, 8).copy()


def restored(make: Any, slots: np.ndarray) -> Any | None:
    try:
        return make.restore(slots.tobytes())
    except StateError:
        return None


def agree(slots: np.ndarray, what: str) -> bool:
    """Both take the slots or both refuse them; what is taken is sound and written back as it was. True when taken."""
    compiled, reference = restored(CompiledCore, slots), restored(ReferenceCore, slots)
    assert (compiled is None) == (reference is None), f"{what}: one implementation takes it, the other does not"
    if compiled is None:
        return False
    compiled.check()
    assert compiled.snapshot() == slots.tobytes(), what
    return True


def test_every_word_at_its_edges() -> None:
    slots = busy_state()
    assert agree(slots, "as it was")
    taken = 0
    for index in range(len(slots)):
        for word in range(8):
            before = slots[index, word]
            for value in [*EDGES, (int(before) + 1) % (1 << 64), (int(before) - 1) % (1 << 64)]:
                if value != before:
                    slots[index, word] = value
                    taken += agree(slots, f"slot {index} word {word}: {value} for {before}")
            slots[index, word] = before
    assert 0 < taken < len(slots) * 8 * 4, "some words are free (a clock, a session), most are not"


def test_cut_extended_and_shuffled() -> None:
    slots = busy_state()
    for count in range(len(slots)):
        assert not agree(slots[:count], f"cut to {count} slots")
        assert not agree(np.delete(slots, count, axis=0), f"without slot {count}")
        assert not agree(np.insert(slots, count, slots[count], axis=0), f"slot {count} twice")
    for index in range(len(slots) - 1):
        swapped = slots.copy()
        swapped[[index, index + 1]] = swapped[[index + 1, index]]
        assert agree(swapped, f"slots {index} and {index + 1} swapped") == (swapped == slots).all() or index > 5


@pytest.mark.parametrize("name", sorted(CORES))
def test_steps_in_the_wrong_order(name: str) -> None:
    """A piecewise restore goes configuration, symbols, accounts, end; once wrong, the core stays unusable."""
    make = CORES[name]
    whole = funded(make)
    whole.apply_one(**new(1, Side.BUY, 120, 3))
    config, symbol = whole.walk_config(), whole.walk_symbol(0)
    accounts = [whole.walk_account(number) for number in range(SMALL.accounts)]
    wrong: dict[str, list[tuple[str, Any]]] = {
        "a symbol first": [("restore_symbol", symbol)],
        "an account first": [("restore_account", accounts[0])],
        "nothing but an end": [("restore_end", None)],
        "the configuration twice": [("restore_config", config), ("restore_config", config)],
        "a symbol twice": [("restore_config", config), ("restore_symbol", symbol), ("restore_symbol", symbol)],
        "no slots of a symbol": [("restore_config", config), ("restore_symbol", symbol[:0])],
        "no slots of an account": [("restore_config", config), ("restore_account", accounts[0][:0])],
        "an account left out": [("restore_config", config), ("restore_account", accounts[1])],
        "an end too early": [("restore_config", config), ("restore_end", None)],
        "no accounts": [("restore_config", config), ("restore_symbol", symbol), ("restore_end", None)],
        "no slots of the configuration": [("restore_config", config[:0])],
    }
    for what, steps in wrong.items():
        core = make(SMALL)
        for step, slots in steps[:-1]:
            getattr(core, step)(slots)
        step, slots = steps[-1]
        with pytest.raises(StateError):
            getattr(core, step)(*([] if slots is None else [slots]))
        with pytest.raises(StateError):
            core.restore_end()
        with pytest.raises(StateError):
            core.apply_one(**new(1, Side.BUY, 120, 3))
        assert what


@pytest.mark.parametrize("name", sorted(CORES))
def test_a_partial_core_takes_no_more_than_it_has_room_for(name: str) -> None:
    whole = funded(CORES[name])
    core = CORES[name](SMALL, partial=(1, 2))
    core.restore_config(whole.walk_config())
    core.restore_symbol(whole.walk_symbol(0))
    core.restore_account(whole.walk_account(1))
    core.restore_account(whole.walk_account(3))
    with pytest.raises(StateError):
        core.restore_account(whole.walk_account(4))


@pytest.mark.parametrize("name", sorted(CORES))
def test_a_core_that_has_applied_commands_takes_no_state(name: str) -> None:
    core = funded(CORES[name])
    with pytest.raises(StateError):
        core.restore_config(core.walk_config())


@pytest.mark.parametrize(
    "wrong",
    [(0, 5, 3, 64, 64), (4097, 5, 3, 64, 64), (4, 0, 3, 64, 64), (4, 65537, 3, 64, 64), (4, 5, 1, 64, 64),
     (4, 5, 65, 64, 64), (4, 5, 3, 32, 64), (4, 5, 3, 96, 64), (4, 5, 3, 1 << 19, 64), (4, 5, 3, 64, 32),
     (4, 5, 3, 64, 65), (4, 5, 3, 64, 1 << 19)],
)  # fmt: skip
def test_configurations_out_of_range(wrong: tuple[int, ...]) -> None:
    slots = busy_state()
    slots[0, 1:6] = wrong
    for make in CORES.values():
        assert restored(make, slots) is None
        with pytest.raises(ValueError):
            make(CoreConfig(*wrong))
