"""Opening by configuration: only differences are submitted, and a refused change ends the start with its reason."""

from __future__ import annotations

import pytest

from cores import Core, CoreConfig
from cores.records import Limit
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


def test_limits_rebates_and_self_match_prevention_are_set_once(path):
    from cores import CommandKind
    from venue.opening import AccountState, InstrumentState

    text = path.read_text().replace("maker_bp = 1 ", "maker_bp = -1 ", 1)
    for old, new in (
        ("taker_bp = 3", 'taker_bp = 3\nopen_orders_max = 7\nduplicate_ms = 5\nrestricted = ["CORN"]'),
        ('id = "ALPHA"', 'id = "ALPHA"\nself_match = "cancel_both"\nmessages_per_second = 9'),
        (
            'tick = "0.01"',
            'tick = "0.01"\ndynamic_bp = 300\nstatic_bp = 1000\norder_qty_max = "50"\norder_value_max = "2.5"',
        ),
        ('tick = "0.005"', 'tick = "0.005"\nphase = "closed"'),
    ):
        assert old in text
        text = text.replace(old, new, 1)
    path.write_text(text)
    config = load(path)
    config.data_dir.mkdir()
    with opened(config) as engine:
        assert opening.apply(engine, config) == 7 + 4 + 3
        assert opening.apply(engine, config) == 0
        core = Core.restore(engine.state()[1])
        account, instrument = AccountState.of(core, 1), InstrumentState.of(core, 0)
        assert account.fees == 0xFFFFFFFF | 3 << 32 and (account.member, account.smp_group, account.smp) == (1, 1, 3)
        assert sorted(account.limits.values()) == [7, 8, 9, 5_000_000]
        assert instrument.collars == 300 | 1000 << 32
        assert (instrument.order_qty_max, instrument.order_value_max) == (50, 25_000)
        assert engine.phases() == [1, 0, 1]
        engine.call(kind=CommandKind.LIMIT, ord_type=Limit.OPEN_ORDERS, account=2, qty_lots=3, body=b"verb=limit\x01")
        assert opening.apply(engine, config) == 0, "what is left out stays as an operator set it"


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
