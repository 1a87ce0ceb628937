"""Busted trades in an archive: an honest one is found right, one that never was, or was not so, is named."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cores import CommandKind, EventKind, Side
from tests.venue.archive_market import Market, config, drained
from tests.venue.test_verify import decoded, files, forge, with_true_roots
from venue.verify import Report, verify

Made = list[tuple[np.ndarray, bytes]]
SPOILS = ("trade", "second", "price_ticks", "qty_lots", "buyer", "seller", "session", "fee", "twice")


def said(report: Report) -> str:
    return " ".join(map(str, report.problems))


def sealed_with(folder: Path, last: Callable[[Market], Made], *, flow: int = 90, seed: int = 7) -> Path:
    """An archive of a seeded market that ends with what `last` makes: sealed as the venue would, roots and all."""
    venue = config(folder, 40)
    market = Market(venue, seed)
    drained(venue, market.opening() + market.scenes() + market.flow(flow) + last(market))
    return venue.archive_dir


def spoilt(market: Market, how: str) -> Made:
    """A bust that the core takes, of a trade that was not so."""
    trade = next(t for t in market.trades[::-1] if t[0]["symbol"] == 0)
    buy, sell = sorted(trade, key=lambda fill: int(fill["side"]))
    price, exec_id = int(buy["price_ticks"]), int(trade[0]["exec_id"])
    buyer, seller = (int(fill["account"]) | int(fill["session"]) << 16 for fill in (buy, sell))
    values: dict[str, dict[str, int]] = {
        "trade": {"order_id": 5 << 24},
        "second": {"order_id": exec_id + 1},
        "price_ticks": {"price_ticks": price - 1},
        "qty_lots": {"qty_lots": int(buy["qty_lots"]) + 1},
        "buyer": {"account": seller},
        "seller": {"session": buyer & 0xFFFF, "asset": buyer >> 16},
        "session": {"account": buyer + (1 << 16)},
        "fee": {"aux": 50 | 50 << 32},
        "twice": {},
    }
    made = [market.bust(trade, **values[how])]
    return [*made, market.bust(trade)] if how == "twice" else made


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32), flow=st.integers(0, 200))
def test_every_honest_bust_is_found_right(tmp_path_factory: pytest.TempPathFactory, seed: int, flow: int) -> None:
    folder = sealed_with(tmp_path_factory.mktemp("venue"), lambda _: [], flow=flow, seed=seed)
    report = verify([folder], replay=True)
    assert report.ok, said(report)
    busted = sum((decoded(path).table["event_kind"].to_numpy() == EventKind.BUSTED).sum() for path in files(folder))
    checks = [check for file in report.files for check in file.checks if check.startswith("busted trades")]
    assert sum(int(check.split("(")[1].rstrip(")")) for check in checks) == busted // 2 >= 2
    assert not any(file.notes for file in report.files)


@pytest.mark.parametrize("how", SPOILS)
def test_a_bust_that_is_not_right_is_named_though_every_root_holds(tmp_path: Path, how: str) -> None:
    folder = sealed_with(tmp_path, lambda market: spoilt(market, how))
    assert decoded(files(folder)[-1]).table["event_kind"].to_pylist()[-1] == EventKind.BUSTED, "the core has taken it"
    report = verify([folder], replay=True)
    (problem,) = report.problems
    words = {
        "trade": "there is no such trade: no pair of FILLs begins there",
        "second": "there is no such trade",
        "buyer": "account of the buy side is",
        "seller": "account of the sell side is",
        "session": "session of the buy side is",
        "fee": "fee of the buy side is",
        "twice": "it was busted before, by",
    }
    expected = words.get(how, f"{how} of the buy side is")
    assert expected in problem.what and "bust " in problem.what
    kinds = decoded(files(folder)[-1]).table["command_kind"].to_pylist()
    assert problem.file == files(folder)[-1].name and kinds[problem.row or 0] == CommandKind.BUST


@pytest.mark.parametrize("tag", ["19", "37"])
def test_an_annex_that_names_another_fill(tmp_path: Path, tag: str) -> None:
    """What both brokers were told of it, and the archive's exec_ref_id, is looked up too."""

    def last(market: Market) -> Made:
        command, annex = market.bust(market.trades[0])
        at = annex.index(f"sell.{tag}=".encode())
        return [(command, annex[:at] + f"sell.{tag}=1".encode() + annex[at + len(f"sell.{tag}=") :])]

    report = verify([sealed_with(tmp_path, last)])
    assert "its annex names the fill of the sell side wrongly" in said(report) and f"sell.{tag}=1" in said(report)


def test_a_trade_of_an_instrument_that_was_defined_anew(tmp_path: Path) -> None:
    def last(market: Market) -> Made:
        trade = next(t for t in market.trades[::-1] if t[0]["symbol"] == 0)
        sweeps = [
            market._command(CommandKind.MASS_CANCEL, b"verb=mass_cancel\x01", symbol=0, account=account)
            for account in (1, 2)
        ]
        return [*sweeps, market._instrument(market.config.instruments[0]), market.bust(trade)]

    report = verify([sealed_with(tmp_path, last)])
    assert "its instrument was defined anew between the two, by command" in said(report)


def test_what_was_not_given_is_said_to_be_unchecked(tmp_path: Path) -> None:
    folder = sealed_with(tmp_path, lambda market: [market.bust(market.trades[0])])
    paths = files(folder)
    assert verify([folder]).ok
    alone = verify([paths[-1]])
    assert alone.ok and not any(check.startswith("busted") for check in alone.files[0].checks)
    assert "not checked: 1 busted trades lie in batches that were not given" in " ".join(alone.files[0].notes)
    gap = verify([path for path in paths if path != paths[-2]])
    assert gap.ok and "not checked in the batches between" in " ".join(gap.files[-1].notes)
    paths[0].write_bytes(b"")
    assert "not checked: 1 busted trades" in " ".join(verify([folder]).files[-1].notes)


def test_two_archives_at_once_are_not_mixed(tmp_path: Path) -> None:
    folder = sealed_with(tmp_path / "one", lambda market: [market.bust(market.trades[0])])
    shutil.copytree(folder, tmp_path / "copy")
    assert "busted before" not in said(verify([folder, tmp_path / "copy"]))


@pytest.mark.parametrize(
    ("word", "text"),
    [(0, "side of the"), (2, "account of the"), (3, "trade of the"), (4, "price_ticks of the"), (5, "qty_lots of the")],
)
def test_busted_events_that_are_not_those_of_their_bust(tmp_path: Path, word: int, text: str) -> None:
    """Every root forged to fit: they are compared with their command, replayed or not."""
    folder = sealed_with(tmp_path, lambda market: [market.bust(market.trades[0])])
    path = files(folder)[-1]
    batch, records = decoded(path), decoded(path).records()
    records.events[-1, word] ^= np.uint64(Side.SELL << 16 if word == 0 else 1)
    forge(folder, len(files(folder)), records, with_true_roots(batch.record, records))
    assert text in said(verify([folder]))


def test_a_busted_event_needs_a_bust(tmp_path: Path) -> None:
    folder = sealed_with(tmp_path, lambda market: [market.bust(market.trades[0])])
    path = files(folder)[-1]
    batch, records = decoded(path), decoded(path).records()
    records.commands[-1, 0] ^= np.uint64(CommandKind.BUST ^ CommandKind.MARGIN)
    forge(folder, len(files(folder)), records, with_true_roots(batch.record, records))
    assert "a BUSTED event, but its command is no BUST" in said(verify([folder]))
    records = decoded(path).records()
    records.commands[-1, 0] ^= np.uint64(CommandKind.BUST ^ CommandKind.MARGIN)
    records.events[-1, 0] ^= np.uint64(EventKind.BUSTED ^ EventKind.MARGIN)
    forge(folder, len(files(folder)), records, with_true_roots(batch.record, records))
    assert "it has 1 BUSTED events, must have 2" in said(verify([folder]))
