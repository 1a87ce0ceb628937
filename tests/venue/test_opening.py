"""Opening by configuration: only differences are submitted, and a refused change ends the start with its reason."""

from __future__ import annotations

import pytest

from cores import CoreConfig
from venue import opening, sample
from venue.config import Config, ConfigError, load
from venue.engine import Engine


def opened(config: Config) -> Engine:
    limits = config.limits
    sizes = CoreConfig(limits.symbols, limits.accounts, limits.assets, limits.orders, limits.levels)
    return Engine.open(config.data_dir, sizes)


@pytest.fixture
def path(tmp_path):
    sample.write(tmp_path)
    return tmp_path / "venue.toml"


def test_the_second_opening_changes_nothing(path):
    config = load(path)
    config.data_dir.mkdir()
    with opened(config) as engine:
        assert opening.apply(engine, config) == 3 + 3 + 1  # account 0 is there from the beginning
        assert opening.apply(engine, config) == 0
        engine.check()
    with opened(config) as engine:
        assert opening.apply(engine, config) == 0
        assert engine.balance(3, 0) == (0, 0, 250_000 * 10**4)


def test_a_changed_fee_is_one_command(path):
    config = load(path)
    config.data_dir.mkdir()
    with opened(config) as engine:
        opening.apply(engine, config)
    path.write_text(path.read_text().replace("taker_bp = 2", "taker_bp = 5"))
    with opened(load(path)) as engine:
        assert opening.apply(engine, load(path)) == 1


def test_an_instrument_is_not_redefined_over_open_orders(path):
    from cores import CommandKind, OrdType, Side, Tif

    config = load(path)
    config.data_dir.mkdir()
    with opened(config) as engine:
        opening.apply(engine, config)
        engine.call(kind=CommandKind.DEPOSIT, account=1, asset=0, qty_lots=10**10, body=b"verb=deposit\x01")
        order = {"kind": CommandKind.NEW, "symbol": 0, "account": 1, "session": 1, "side": Side.BUY}
        _, _, events = engine.call(
            **order, ord_type=OrdType.LIMIT, tif=Tif.GTC, price_ticks=9_900, qty_lots=1, clordid=b"a"
        )
        assert int(events["kind"][0]) == 1
    path.write_text(path.read_text().replace('price_max = "150.00"', 'price_max = "160.00"'))
    with opened(load(path)) as engine, pytest.raises(ConfigError, match=r"instrument ACME.*BOOK_NOT_EMPTY"):
        opening.apply(engine, load(path))
