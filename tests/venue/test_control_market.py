"""Phases, limits and kill switches as an operator types them: from the command line into the journal and the core."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cores import CommandKind, CoreConfig, OrdType, Side, Tif
from cores.records import Limit, Phase
from venue import cli, opening, sample
from venue.config import load
from venue.control import ControlServer
from venue.engine import Engine
from venue.follower import Follower


class Running:
    """An engine of the sample configuration behind its control socket."""

    def __init__(self, folder: Path) -> None:
        sample.write(folder)
        self.config = load(folder / "venue.toml")
        limits = self.config.limits
        sizes = CoreConfig(limits.symbols, limits.accounts, limits.assets, 64, limits.levels)
        self.config.data_dir.mkdir()
        self.engine: Any = Engine.open(self.config.data_dir, sizes)
        opening.apply(self.engine, self.config)
        for account in (1, 2, 3):
            for asset in range(4):
                self.engine.call(
                    kind=CommandKind.DEPOSIT, account=account, asset=asset, qty_lots=10**12, body=b"verb=d\x01"
                )
        self.server = ControlServer(self.engine, self.config.control_path)

    def order(self, name: str, side: Side, ticks: int, lots: int = 10, **fields: int) -> Any:
        whole = {
            "kind": CommandKind.NEW,
            "ord_type": OrdType.LIMIT,
            "tif": Tif.GTC,
            "account": 1,
            "session": 1,
            **fields,
        }
        _, _, events = self.engine.call(side=side, price_ticks=ticks, qty_lots=lots, clordid=name, **whole)
        return events

    def last_annex(self) -> str:
        self.engine.drain()
        with Follower(self.config.journal_dir, self.engine.last_seq) as follower:
            return follower.poll().annex[16:].decode()

    def close(self) -> None:
        self.server.close()
        self.engine.check()
        self.engine.close()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    found = Running(tmp_path)
    yield found
    found.close()


@pytest.fixture
def admin(running: Running, capsys: pytest.CaptureFixture[str]) -> Any:
    """`venue admin ...`: (exit code, the answer)."""

    def call(*arguments: str) -> tuple[int, dict[str, Any]]:
        capsys.readouterr()
        code = cli.main(["admin", "--config", str(running.config.path), *arguments])
        printed = capsys.readouterr()
        return code, json.loads(printed.out) if printed.out else {"error": printed.err}

    return call


WHY = ("--approver", "bob", "--reason", "test")


def test_a_call_and_its_auction(running: Running, admin: Any):
    code, answer = admin(
        "phase", "ACME", "pre-open", "--reference", "100.00", "--approver", "bob", "--reason", "opening"
    )
    assert code == 0 and answer["phase"] == "PRE_OPEN" and answer["uncross"] is None
    assert "verb=phase\x01" in running.last_annex() and "approver=bob\x01ref=opening\x01" in running.last_annex()
    assert running.engine.prices(0) == (0, 10_000)
    running.order("a", Side.BUY, 10_010)
    running.order("b", Side.SELL, 9_990, account=2, session=2)
    code, answer = admin("phase", "ACME", "continuous")
    assert answer["uncross"] == {"price": "100.00", "quantity": "10"}
    assert admin("phase", "ACME", "continuous")[0] == 1, "it is in that phase already"
    assert admin("phase", "ACME", "pre-open", "--reference", "100.001")[0] == 2
    assert admin("phase", "NOPE", "halt")[0] == 2


def test_to_closed_without_trading(running: Running, admin: Any):
    admin("phase", "ACME", "close-call")
    running.order("a", Side.BUY, 10_010)
    running.order("b", Side.SELL, 9_990, account=2, session=2)
    code, answer = admin("phase", "ACME", "closed", "--no-uncross")
    assert code == 0 and answer["uncross"] is None and running.engine.open_orders(0) == 2
    assert admin("phase", "ACME", "continuous")[0] == 1, "the book is crossed: only a call leads out"


@pytest.mark.parametrize(
    ("arguments", "kind", "target", "amount", "aux"),
    [
        (("credit", "1", "2.5", "--asset", "USD"), Limit.CREDIT, {"account": 1, "asset": 0}, 25_000, 0),
        (("gross", "2", "7", "--asset", "ACME"), Limit.GROSS, {"account": 2, "asset": 1}, 7, 0),
        (("open-orders", "1", "9"), Limit.OPEN_ORDERS, {"account": 1}, 9, 0),
        (("messages", "BRAVO", "100"), Limit.MESSAGES, {"account": 2}, 100, 0),
        (("duplicate", "1", "50"), Limit.DUPLICATE_NS, {"account": 1}, 50_000_000, 0),
        (("restricted", "3", "ACME,CORN"), Limit.RESTRICTED, {"account": 3}, 0b1010, 0),
        (("restricted", "3", "0"), Limit.RESTRICTED, {"account": 3}, 0, 0),
        (("order-qty", "BOLT", "1000"), Limit.ORDER_QTY, {"symbol": 1}, 100, 0),
        (("order-value", "CORN", "1000.50"), Limit.ORDER_VALUE, {"symbol": 2}, 10_005_000, 0),
        (("collar", "ACME", "300", "--static", "1000"), Limit.COLLAR, {"symbol": 0}, 300, 1000),
    ],
)
def test_limits_by_name_and_in_decimals(
    running: Running, admin: Any, arguments: tuple[str, ...], kind: Limit, target: dict[str, int], amount: int, aux: int
):
    code, answer = admin("limit", *arguments, *WHY)
    assert code == 0, answer
    running.engine.drain()
    with Follower(running.config.journal_dir, answer["seq"]) as follower:
        command = follower.poll().commands[0]
    assert (command["kind"], command["ord_type"], command["qty_lots"], command["aux"]) == (
        CommandKind.LIMIT,
        kind,
        amount,
        aux,
    )
    assert all(command[name] == value for name, value in target.items())
    assert "approver=bob\x01ref=test\x01" in running.last_annex()


@pytest.mark.parametrize(
    "arguments",
    [
        ("credit", "1", "0.00001", "--asset", "USD"),
        ("credit", "77", "1", "--asset", "USD"),
        ("messages", "NOBODY", "1"),
        ("open-orders", "1", "-3"),
        ("order-qty", "BOLT", "15"),
        ("restricted", "1", "GOLD"),
        ("collar", "ACME", "many"),
    ],
)
def test_limits_that_are_none(running: Running, admin: Any, arguments: tuple[str, ...]):
    before = running.engine.last_seq
    code, answer = admin("limit", *arguments, *WHY)
    assert code == 2 and answer["error"].startswith("venue: ")
    assert running.engine.last_seq == before


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            ("deposit", "--account", "4", "--asset", "USD", "--amount", "1"),
            "account 4 is unknown; this venue has 0 to 3",
        ),
        (("mass-cancel", "--account", "99999999999"), "account 99999999999 is unknown"),
        (("phase", "ACME", "halt", "--reference", "1e999999999"), "--reference '1e999999999' is too large"),
        (
            ("limit", "credit", "1", "1e30", "--asset", "USD", *WHY),
            "amount '1e30' is too large: at most 46116860184273",
        ),
        (("limit", "messages", "NOBODY", "1", *WHY), "member 'NOBODY' is unknown; this venue has ALPHA"),
        (("kill", "session", "NOBODY1"), "session 'NOBODY1' is unknown; this venue has ALPHA1"),
    ],
)
def test_what_is_out_of_range_is_named(running: Running, admin: Any, arguments: tuple[str, ...], text: str):
    before = running.engine.last_seq
    code, answer = admin(*arguments)
    assert code == 2 and text in answer["error"]
    assert running.engine.last_seq == before


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("phase", "ACME", "continuous"), "REJECT_BAD_PHASE .command [0-9]+.: the instrument is in that phase already"),
        (("phase", "ACME", "halt", "--reference", "1"), "price is outside the instrument's price_min and price_max"),
        (("phase", "ACME", "closed", "--no-uncross"), "--no-uncross is for the way from a call to closed"),
        (("rearm", "instrument", "ACME", *WHY), "the instrument trades already"),
        (("limit", "collar", "ACME", "99999", *WHY), "REJECT_BAD_AMOUNT .*: the amount is above"),
        (("deposit", "--account", "1", "--asset", "USD", "--amount", "1", "--ref", "\udcff"), "ref: .* must be UTF-8"),
        (
            ("withdraw", "--account", "1", "--asset", "USD", "--amount", "400000000000", "--address", "0x" + "1" * 40),
            "REJECT_INSUFFICIENT_FUNDS .*: the account has less available",
        ),
    ],
)
def test_a_refusal_says_how_to_mend_it(running: Running, admin: Any, arguments: tuple[str, ...], text: str):
    code, answer = admin(*arguments)
    assert code == 1 and not answer["ok"] and re.search(text, answer["error"]), answer


def test_a_retry_with_the_same_reference_is_refused(running: Running, admin: Any):
    deposit = ("deposit", "--account", "1", "--asset", "USD", "--amount", "2.5", "--ref", "wire 1")
    before = running.engine.balance(1, 0)[0]
    code, first = admin(*deposit)
    assert code == 0
    code, again = admin(*deposit)
    assert code == 1 and not again["ok"] and again["used_by"] == first["seq"]
    assert running.engine.balance(1, 0)[0] == before + 25_000


def test_a_limit_needs_somebody_who_approves_it(running: Running, admin: Any):
    with pytest.raises(SystemExit):
        admin("limit", "open-orders", "1", "9")


@pytest.mark.parametrize(
    ("what", "name", "cancelled"),
    [("session", "ALPHA1", 2), ("member", "ALPHA", 2), ("account", "1", 2), ("instrument", "ACME", 2)],
)
def test_kill_stops_cancels_and_can_be_taken_back(running: Running, admin: Any, what: str, name: str, cancelled: int):
    running.order("a", Side.BUY, 9_000)
    running.order("b", Side.BUY, 2_000, symbol=1)
    running.order("c", Side.SELL, 11_000, account=2, session=2)
    code, answer = admin("kill", what, name, *WHY)
    assert (code, answer["cancelled"]) == (0, cancelled)
    assert running.order("d", Side.BUY, 9_000)["kind"][0] == 2
    admin("kill", what, name, *WHY)
    code, answer = admin("rearm", what, name, *WHY)
    assert code == 0, answer
    assert running.order("e", Side.BUY, 9_000)["kind"][0] == 1


def test_kill_of_a_session_leaves_the_members_other_orders(running: Running, admin: Any):
    running.order("a", Side.BUY, 9_000)
    running.order("b", Side.BUY, 9_000, session=9)
    assert admin("kill", "session", "ALPHA1")[1]["cancelled"] == 1
    assert running.engine.open_orders(0) == 1
    assert running.engine.phases()[0] == Phase.CONTINUOUS
    assert admin("kill", "session", "NOPE1")[0] == 2
