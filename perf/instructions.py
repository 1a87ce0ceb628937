"""zkVM instructions a command takes, by kind: counted by the executor, so the same on every machine and in every run.

Why: a proof's price is its instructions. Only the applying of commands is counted: the guest is built once with it and
once without, neither hashes, and the difference is divided by the commands. `instruction_budget.json` keeps the figures
that tests/perf/test_instruction_budget.py holds the core to, within 5%. It must never be renewed to make a test pass
without the reason for the growth in the commit.

    python perf/instructions.py            prints the table beside the committed one
    python perf/instructions.py --write    measures, and replaces the committed figures
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from cores import COMMAND, CommandKind, Core, CoreConfig, EventKind, OrdType, Side, Tif  # noqa: E402
from cores.batch import seal  # noqa: E402
from proving.guest.inputs import annexes_for, workload_input  # noqa: E402

BUDGET = Path(__file__).with_name("instruction_budget.json")
MIX = "mixed workload"
MIX_COMMANDS, MIX_OPEN_ORDERS, SEED = 1_000, 1_000, 7
MATCH, NOTHING = 2, 0  # GUEST_PARTS in main.c
CONFIG = CoreConfig(symbols=4, accounts=64, assets=4, orders=4096, levels=4096)
CASH, STOCK, AMOUNT, MIDDLE = 0, 1, 1 << 50, 2048
MEMBERS = range(1, 61)
COUNT = 400
EACH = 10  # orders that one MASS_CANCEL takes off

Fields = dict[str, int]
Records = np.ndarray[Any, Any]


class NotMeasured(Exception):
    """The executor is not here: why."""


class Market:
    """One symbol and sixty members with money; remembers the orders that rest."""

    def __init__(self) -> None:
        self.core = Core(CONFIG)
        self.resting: list[tuple[int, int, int]] = []  # order id, member, price
        self.do(kind=CommandKind.INSTRUMENT, account=STOCK, session=CASH, order_id=100, price_ticks=1, qty_lots=4095,
                aux=50)  # fmt: skip
        for member in MEMBERS:
            self.do(kind=CommandKind.ACCOUNT, account=member, aux=1 | 2 << 32)
            for asset in (CASH, STOCK):
                self.do(kind=CommandKind.DEPOSIT, account=member, asset=asset, qty_lots=AMOUNT)

    def do(self, **fields: int) -> None:
        events, _ = self.core.apply(numbered(self.core, [fields]))
        if events["kind"][0] == EventKind.ACCEPTED and events["leaves_lots"][-1]:
            self.resting.append((int(events["order_id"][0]), fields["account"], fields["price_ticks"]))

    def rest(self, count: int, per_member: int = 0) -> None:
        """Orders of ten lots on both sides, 20 a level, of members in turn or so many a member."""
        for number in range(count):
            self.do(**order(number, Side.BUY if number % 2 else Side.SELL, 1 + number // 40, per_member=per_member))


def order(number: int, side: Side, distance: int, per_member: int = 0, **changes: int) -> Fields:
    member = 1 + (number // per_member if per_member else number) % len(MEMBERS)
    price = MIDDLE - distance if side == Side.BUY else MIDDLE + distance
    fields = {"kind": CommandKind.NEW, "account": member, "session": member, "side": side, "qty_lots": 10}
    return fields | {"ord_type": OrdType.LIMIT, "tif": Tif.DAY, "price_ticks": price} | changes


def numbered(core: Any, fields: list[Fields]) -> Records:
    records = np.zeros(len(fields), COMMAND)
    for record, entry in zip(records, fields, strict=True):
        for name, value in entry.items():
            record[name] = value
    records["seq"] = np.arange(core.last_seq + 1, core.last_seq + 1 + len(fields))
    records["time_ns"] = 1_700_000_000_000_000_000 + 1000 * records["seq"].astype(np.uint64)
    return records


def _of_resting(kind: CommandKind, change: Callable[[int], Fields]) -> Callable[[Market], list[Fields]]:
    def make(market: Market) -> list[Fields]:
        market.rest(2 * COUNT)
        return [
            {"kind": kind, "account": member, "session": member, "order_id": order_id} | change(price)
            for order_id, member, price in market.resting[: 2 * COUNT : 2]
        ]

    return make


def _resting(market: Market) -> list[Fields]:
    market.rest(COUNT)
    return [order(number, Side.BUY if number % 2 else Side.SELL, 1 + number // 20) for number in range(COUNT)]


def _trading(orders_taken: int) -> Callable[[Market], list[Fields]]:
    def make(market: Market) -> list[Fields]:
        market.rest(2 * COUNT * orders_taken // 2 + 100)
        take = {"tif": Tif.IOC, "qty_lots": 10 * orders_taken}
        return [order(number, Side.SELL if number % 2 else Side.BUY, -1000, **take) for number in range(COUNT // 2)]

    return make


def _mass_cancel(market: Market) -> list[Fields]:
    market.rest(EACH * len(MEMBERS), per_member=EACH)
    return [{"kind": CommandKind.MASS_CANCEL, "account": member, "session": member} for member in MEMBERS]


def _plain(**fields: int) -> Callable[[Market], list[Fields]]:
    def make(market: Market) -> list[Fields]:
        market.rest(COUNT)
        return [{"account": 1 + number % len(MEMBERS)} | fields for number in range(COUNT)]

    return make


KINDS: dict[str, Callable[[Market], list[Fields]]] = {
    "NEW that rests": _resting,
    "NEW that takes one order": _trading(1),
    "NEW that takes four orders": _trading(4),
    "NEW refused": _plain(kind=CommandKind.NEW, side=1, ord_type=2, price_ticks=4096, qty_lots=1),
    "CANCEL": _of_resting(CommandKind.CANCEL, lambda price: {}),
    "CANCEL refused": _plain(kind=CommandKind.CANCEL, order_id=7 << 24),
    "REPLACE that keeps priority": _of_resting(
        CommandKind.REPLACE,
        lambda price: {"price_ticks": price, "qty_lots": 6},
    ),
    "REPLACE that moves": _of_resting(
        CommandKind.REPLACE,
        lambda price: {"price_ticks": price + (40 if price > MIDDLE else -40), "qty_lots": 10},
    ),
    "MASS_CANCEL of ten orders": _mass_cancel,
    "TIME": _plain(kind=CommandKind.TIME, symbol=0xFFFF),
    "LIMIT": _plain(kind=CommandKind.LIMIT, asset=CASH, qty_lots=1000),
    "DEPOSIT": _plain(kind=CommandKind.DEPOSIT, asset=CASH, qty_lots=1000),
    "WITHDRAW": _plain(kind=CommandKind.WITHDRAW, asset=CASH, qty_lots=1000, order_id=1, price_ticks=2, aux=3),
}
REFUSALS = {"NEW refused", "CANCEL refused"}


def batch_of(kind: str) -> tuple[bytes, int]:
    """The guest input of a batch of one kind, and its number of commands."""
    market = Market()
    fields = KINDS[kind](market)
    commands = numbered(market.core, fields)
    sealed = seal(market.core, commands, annexes_for(commands, SEED), bytes(32))
    firsts = sealed.events["kind"][np.concatenate([[0], sealed.event_ends[:-1]]).astype(int)]
    refused = np.isin(firsts, (EventKind.REJECTED, EventKind.CANCEL_REJECTED, EventKind.COMMAND_REJECTED))
    assert (refused == (kind in REFUSALS)).all(), f"{kind}: the batch does something else"
    if "takes" in kind:
        assert (np.diff(sealed.event_ends, prepend=0) >= 1 + 2 * (4 if "four" in kind else 1)).all(), kind
    return sealed.guest_input, len(commands)


def measure() -> dict[str, float]:
    """Instructions a command: of the mixed workload, and of each kind. NotMeasured when the executor is not built."""
    from proving.backends import Program, Sp1Backend
    from proving.errors import NotBuilt
    from proving.guest.build import GUESTS, BuildError, compile_elf
    from proving.sp1 import build

    try:
        build.find(build.WORKER)
        elves = {parts: compile_elf(GUESTS["sp1"], macros=[f"GUEST_PARTS={parts}"]) for parts in (MATCH, NOTHING)}
    except (NotBuilt, BuildError) as error:
        raise NotMeasured(f"{type(error).__name__}: {error}".splitlines()[0]) from error
    inputs = {MIX: (workload_input(MIX_COMMANDS, MIX_OPEN_ORDERS, SEED), MIX_COMMANDS)}
    inputs |= {kind: batch_of(kind) for kind in KINDS}
    backend = Sp1Backend()
    found: dict[str, float] = {}
    try:
        with tempfile.TemporaryDirectory() as scratch:
            for kind, (guest_input, count) in inputs.items():
                cycles: dict[int, int] = {}
                for parts, elf in elves.items():
                    elf_path, input_path = Path(scratch) / f"{parts}.elf", Path(scratch) / "batch.input"
                    elf_path.write_bytes(elf)
                    input_path.write_bytes(guest_input)
                    run = backend.execute(Program(elf_path.stem, elf_path, b""), input_path)
                    if run.exit_code != 0:
                        raise RuntimeError(f"{kind}: the guest refused its own input with exit code {run.exit_code}")
                    cycles[parts] = run.cycles
                found[kind] = (cycles[MATCH] - cycles[NOTHING]) / count
    finally:
        backend.close()
    return found


def budget() -> dict[str, float]:
    figures: dict[str, float] = json.loads(BUDGET.read_text())
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--write", action="store_true", help="replace the committed figures")
    options = parser.parse_args()
    found = measure()
    before = budget() if BUDGET.exists() else {}
    for kind, count in found.items():
        was = f"{before[kind]:10.1f} {100 * (count / before[kind] - 1):+6.1f}%" if kind in before else "       new"
        print(f"{kind:30} {count:10.1f} {was}")
    if options.write:
        BUDGET.write_text(json.dumps({kind: round(count, 1) for kind, count in found.items()}, indent=2) + "\n")
        print(f"written to {BUDGET.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
