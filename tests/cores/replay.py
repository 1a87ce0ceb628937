"""Replays commands on both implementations, compares everything, and reduces what differs to a short script.

Why: a difference found after a million random commands is worth little; the three of them that matter, printed as
Python that can be pasted into a test, are worth a lot. It must never call two cores equal that it did not compare.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cores import COMMAND, CommandKind, CoreConfig, EventKind, OrdType, Tif
from cores.records import Limit, Phase, Side
from tests.cores.fix_cores import CompiledCore, ReferenceCore

WHOLE_EVERY = 64
SLOT_BITS = 24
Make = Callable[..., Any]


class Difference(AssertionError):
    """The implementations disagree, or one of them broke an invariant."""


class Pair:
    """Both implementations, given the same commands; after each, events, touched sets, slots and invariants."""

    def __init__(self, config: CoreConfig, compiled: Make = CompiledCore, reference: Make = ReferenceCore) -> None:
        self.compiled, self.reference = compiled(config), reference(config)
        self.applied = 0
        self.orders: dict[int, int] = {}  # number of a NEW: its order id

    def __call__(self, **fields: int) -> int:
        """Applies one command with the next number; the order id that a NEW got."""
        record = np.zeros(1, COMMAND)
        fields = {"seq": self.compiled.last_seq + 1, "time_ns": self.compiled.last_time_ns} | fields
        for name, value in fields.items():
            record[name] = value
        self.apply(record)
        return self.orders.get(fields["seq"], 0)

    def apply(self, record: np.ndarray) -> np.ndarray:
        for core in (self.compiled, self.reference):
            core.clear_dirty()
        events, ends = self.compiled.apply(record)
        expected, expected_ends = self.reference.apply(record)
        if events.tobytes() != expected.tobytes() or ends.tolist() != expected_ends.tolist():
            raise Difference(f"events differ:\n{events}\n{expected}")
        for event in events[events["kind"] == EventKind.ACCEPTED]:
            self.orders[int(event["order_id"]) >> SLOT_BITS] = int(event["order_id"])
        self._compare_touched()
        if (self.applied + 1) % WHOLE_EVERY == 0:
            self.compare_whole()
        try:
            self.compiled.check()
        except AssertionError as error:
            raise Difference(str(error)) from None
        self.applied += 1  # and found alike
        return events

    def _compare_touched(self) -> None:
        """What a command touched is all that it may have changed."""
        one, other = self.compiled, self.reference
        symbols, accounts = one.dirty_symbols().tolist(), one.dirty_accounts().tolist()
        if symbols != other.dirty_symbols().tolist() or accounts != other.dirty_accounts().tolist():
            raise Difference(
                f"touched: symbols {symbols} and accounts {accounts}, but in the reference "
                f"{other.dirty_symbols().tolist()} and {other.dirty_accounts().tolist()}"
            )
        self._compare("configuration", one.walk_config(), other.walk_config())
        for number in symbols:
            self._compare(f"symbol {number}", one.walk_symbol(number), other.walk_symbol(number))
            for name in ("phase", "last_price", "indicative", "open_orders"):
                if _plain(getattr(one, name)(number)) != _plain(getattr(other, name)(number)):
                    raise Difference(f"{name} of symbol {number} differs")
        for number in accounts:
            self._compare(f"account {number}", one.walk_account(number), other.walk_account(number))

    def compare_whole(self) -> None:
        """The whole state, and the reference's own invariants."""
        if self.compiled.snapshot() != self.reference.snapshot():
            raise Difference("the states differ where no command said that it touched them")
        try:
            self.reference.check()
        except AssertionError as error:
            raise Difference(f"reference: {error}") from None

    @staticmethod
    def _compare(what: str, one: np.ndarray, other: np.ndarray) -> None:
        if one.tobytes() != other.tobytes():
            raise Difference(f"{what} differs:\n{one}\n{other}")


def _plain(answer: Any) -> Any:
    if answer is None:
        return None
    return tuple(int(part) for part in answer) if isinstance(answer, tuple) else int(answer)


# ---- steps: commands that name the order they are about by the command that made it ----


@dataclass(frozen=True)
class Step:
    """A command. `about` is the step that made the order of a CANCEL or REPLACE, None when it is about no known one."""

    fields: dict[str, int]
    about: Step | None = field(default=None, repr=False)

    def without(self, name: str) -> Step:
        return Step({key: value for key, value in self.fields.items() if key != name}, self.about)


def steps_of(records: np.ndarray) -> list[Step]:
    """The steps of numbered records; their numbers are forgotten, so that any of them can be left out."""
    steps: list[Step] = []
    first = int(records["seq"][0])
    names = [name for name in COMMAND.names or () if name != "seq"]
    for record in records:
        fields = {name: int(record[name]) for name in names if record[name]}
        about = None
        if fields.get("kind") in (CommandKind.CANCEL, CommandKind.REPLACE):
            made_by = (fields.get("order_id", 0) >> SLOT_BITS) - first
            if 0 <= made_by < len(steps) and steps[made_by].fields.get("kind") == CommandKind.NEW:
                about = steps[made_by]
                del fields["order_id"]
        steps.append(Step(fields, about))
    return steps


def play(steps: Sequence[Step], pair: Pair) -> None:
    """Applies the steps; a CANCEL or REPLACE of an order that was not made is about order 0."""
    made: dict[int, int] = {}
    for step in steps:
        about = {} if step.about is None else {"order_id": made.get(id(step.about), 0)}
        made[id(step)] = pair(**(step.fields | about))
    pair.compare_whole()


def difference(steps: Sequence[Step], make: Callable[[], Pair]) -> str | None:
    """What differs when the steps are played on a fresh pair; None when nothing does."""
    try:
        play(steps, make())
    except Difference as found:
        return str(found)
    return None


def shrink(steps: Sequence[Step], differs: Callable[[Sequence[Step]], bool]) -> list[Step]:
    """A short sequence that still differs: first whole ranges are left out, then single steps, then fields."""
    kept = list(steps)
    size = max(1, len(kept) // 2)
    while True:
        at, before = len(kept), len(kept)
        while at > 0:  # from the end: what comes late needs what came early
            low = max(0, at - size)
            candidate = kept[:low] + kept[at:]
            if candidate and differs(candidate):
                kept = candidate
            at = low
        if size == 1 and len(kept) == before:
            return _simplified(kept, differs)
        size = max(1, size // 2)


def _simplified(steps: list[Step], differs: Callable[[Sequence[Step]], bool]) -> list[Step]:
    for at in range(len(steps)):
        for name in [name for name in steps[at].fields if name != "kind"]:
            candidate = _replaced(steps, at, steps[at].without(name))
            if differs(candidate):
                steps = candidate
    return steps


def _replaced(steps: list[Step], at: int, step: Step) -> list[Step]:
    """The steps with one exchanged, also where others are about it."""
    old = steps[at]
    swapped = {id(old): step}
    result = []
    for other in steps:
        changed = swapped.get(id(other), other)
        if changed.about is not None and id(changed.about) in swapped:
            changed = Step(changed.fields, swapped[id(changed.about)])
            swapped[id(other)] = changed
        result.append(changed)
    return result


def shortest_prefix(steps: Sequence[Step], differs: Callable[[Sequence[Step]], bool]) -> list[Step]:
    """The steps up to the first difference, found by halves: what is longer differs too."""
    low, high = 0, len(steps)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if differs(steps[:middle]) else (middle, high)
    return list(steps[:high])


# ---- scripts ----

NAMES: dict[str, Any] = {"kind": CommandKind, "side": Side, "tif": Tif}


def _value(step: Step, name: str, value: int) -> str:
    kinds = dict(NAMES)
    if step.fields.get("kind") in (CommandKind.NEW, CommandKind.PHASE, CommandKind.LIMIT):
        of_kind = {CommandKind.NEW: OrdType, CommandKind.PHASE: Phase, CommandKind.LIMIT: Limit}
        kinds["ord_type"] = of_kind[CommandKind(step.fields["kind"])]
    known = kinds.get(name)
    if known is not None and value in known.__members__.values():
        return f"{known.__name__}.{known(value).name}"
    return str(value)


def script(steps: Sequence[Step], config: CoreConfig) -> str:
    """The steps as lines of Python that can be pasted into a test."""
    capacities = ", ".join(f"{name}={value}" for name, value in vars(config).items())
    lines = [f"pair = Pair(CoreConfig({capacities}))"]
    names: dict[int, str] = {}
    wanted = {id(step.about) for step in steps if step.about is not None}
    for number, step in enumerate(steps):
        parts = [f"{name}={_value(step, name, value)}" for name, value in step.fields.items()]
        if step.about is not None:
            parts.append(f"order_id={names.get(id(step.about), '0')}")
        target = ""
        if id(step) in wanted:
            names[id(step)] = f"order_{number}"
            target = f"order_{number} = "
        lines.append(f"{target}pair({', '.join(parts)})")
    return "\n".join([*lines, "pair.compare_whole()"])


def reduced(records: np.ndarray, config: CoreConfig, make: Callable[[], Pair]) -> str | None:
    """The shortest script found for records that differ on a fresh pair, with what differs; None when they do not."""
    steps = steps_of(records)
    if difference(steps, make) is None:
        return None

    def differs(candidate: Sequence[Step]) -> bool:
        return difference(candidate, make) is not None

    short = shrink(shortest_prefix(steps, differs), differs)
    return f"{difference(short, make)}\n\n{script(short, config)}"
