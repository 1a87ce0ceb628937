"""The configuration: what is accepted, and that every mistake names its place and its remedy."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from venue import sample
from venue.config import Config, ConfigError, load, loads


@pytest.fixture(scope="module")
def text(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("sample")
    sample.write(folder)
    return (folder / "venue.toml").read_text()


def test_sample_loads(text):
    config = loads(text)
    assert [config.tick_value(i) for i in config.instruments] == [100, 500, 12_500]
    assert [config.lot_size(i) for i in config.instruments] == [1, 10, 5]
    assert [i.price_scale for i in config.instruments] == [2, 3, 2]
    assert (config.instruments[0].min_ticks, config.instruments[0].max_ticks) == (5_000, 15_000)
    assert len(config.sessions()) == 3
    config.check()


def test_sample_is_not_overwritten(tmp_path):
    sample.write(tmp_path)
    with pytest.raises(FileExistsError, match="exists already"):
        sample.write(tmp_path)


def test_sample_passwords_are_the_hashed_ones(tmp_path):
    from argon2 import PasswordHasher

    passwords = sample.write(tmp_path)
    for member, session in load(tmp_path / "venue.toml").sessions():
        assert PasswordHasher().verify(session.password_hash, passwords[member.id])


MISTAKES = [
    ('name = "VENUE"', 'nam = "VENUE"', r"\[venue\] unknown key 'nam'; did you mean 'name'"),
    ("port = 5001", 'port = "5001"', r"fix.port must be of type int"),
    ("port = 5001", "port = 70000", r"fix.port must be a TCP port"),
    ("port = 5001", "port = true", r"fix.port must be of type int"),
    ('sync = "commit"', 'sync = "maybe"', r"journal.sync must be one of commit, interval, none"),
    ('application = "native"', 'application = "rust"', r"fix.application must be one of"),
    ("orders = 16384", "orders = 1000", r"limits.orders must be a power of two"),
    ("symbols = 16", "symbols = 2", r"instruments: 3 are more than limits allows \(2\)"),
    ('tick = "0.01"', 'tick = "0"', r"instrument ACME: tick and lot must be positive"),
    ('tick = "0.01"', 'tick = "cheap"', r"instruments\[0\].tick must be a decimal number"),
    ('tick = "0.01"', 'tick = "0.003"', r"price_min must be a positive multiple of tick"),
    ('tick = "0.01"', 'tick = "0.0000000001"', "instrument ACME: price_max must be at most 109.9511627775"),
    ('price_min = "50.00"', 'price_min = "500.00"', "instrument ACME: price_min 500.00 is above price_max 150.00"),
    ('quote = "USD"', 'quote = "EUR"', r"asset 'EUR' is not among"),
    ('base = "ACME"', 'base = "USD"', r"base and quote are the same asset"),
    ("scale = 4", "scale = 1", r"tick x lot is no whole number"),
    ("taker_bp = 3", "taker_bp = 0", r"account 1: fees must satisfy"),
    ("accounts = [1]", "accounts = [0]", r"account 0 is not in"),
    ("accounts = [1]", "accounts = []", r"needs an account"),
    ('comp_id = "BRAVO1"', 'comp_id = "BRAVO1"\nkind = "gossip"', r"kind must be one of .*, is 'gossip'"),
    ('comp_id = "BRAVO1"', 'comp_id = "BRAVO1"\ncopies = ["ALPHA"]', r"copies is for a drop_copy session"),
    ('comp_id = "BRAVO1"', 'comp_id = "ALPHA1"', r"members.sessions.comp_id 'ALPHA1' is used more than once"),
    ('comp_id = "BRAVO1"', 'comp_id = "VENUE"', r"CompID is the venue's own"),
    ('password_hash = "$argon2', 'password_hash = "plain', r"password_hash must be an argon2 hash"),
    ('password_hash = "$argon2', 'password_hash = "$argon2id$cut', r"password_hash must be an argon2 hash, all of it"),
    ('comp_id = "BRAVO1"', 'comp_id = "BRA VO"', r"session \d+: comp_id must have 1 to 64 printable ASCII"),
    ('comp_id = "BRAVO1"', 'comp_id = ""', r"session \d+: comp_id must have 1 to 64 printable ASCII"),
    ('username = "bravo"', 'username = ""', r"session BRAVO1: username must have 1 to 64 printable ASCII"),
    ('name = "VENUE"', 'name = "MY\\u0001VENUE"', r"venue.name is its CompID and must have 1 to 64 printable"),
    ('time_zone = "UTC"', 'time_zone = "Mars/Base"', r"'Mars/Base' is unknown; write one as Europe/Paris"),
    ('# start = "07:00"', 'start = "09:00"\nend = "09:00:00"', r"start and end go together and differ"),
    ("conflation_ms = 100 ", "conflation_ms = 70000 ", r"market_data.conflation_ms must be at most 60000"),
    ("slow_seconds = 10.0", "slow_seconds = inf", r"market_data.slow_seconds must be a finite number"),
    ("simulated_finality_blocks = 2", "simulated_finality = 2", r"did you mean 'simulated_finality_blocks'"),
    ("[limits]", "[limits", r"not valid TOML"),
    ("heartbeat_seconds_max = 120", "heartbeat_seconds_max = 0", r"heartbeat_seconds_max must be at least"),
    ('credit_asset = "USD"', 'credit_asset = "NONE"', r"credit needs credit_asset"),
    ("maker_bp = 1 ", "maker_bp = -10001 ", r"account 1: fees must satisfy -10000 <= maker_bp"),
    ("taker_bp = 3", "taker_bp = 3\nopen_orders_max = -1", r"account 1: open_orders_max must be from 0"),
    ("taker_bp = 3", 'taker_bp = 3\nrestricted = ["GOLD"]', r"account 1: restricted: asset 'GOLD' is not among"),
    ('tick = "0.01"', 'tick = "0.01"\nphase = "halt"', r"instrument ACME: phase must be continuous or closed"),
    ('tick = "0.01"', 'tick = "0.01"\ndynamic_bp = 300', r"instrument ACME: dynamic_bp and static_bp are set together"),
    ('tick = "0.01"', 'tick = "0.01"\ndynamic_bp = 300\nstatic_bp = 10001', r"static_bp must be from 0 to 10000"),
    ('tick = "0.005"', 'tick = "0.005"\norder_qty_max = "15"', r"order_qty_max must be a multiple of lot 10"),
    ('tick = "0.01"', 'tick = "0.01"\norder_value_max = "0.00001"', r"order_value_max must be an amount of USD"),
    ('id = "ALPHA"', 'id = "ALPHA"\nself_match = "maybe"', r"member ALPHA: self_match must be one of none, "),
    ('id = "ALPHA"', 'id = "ALPHA"\nmessages_per_second = -1', r"messages_per_second must not be negative"),
    ("volatility_seconds = 30", "volatility_seconds = -1", r"clock: seconds must not be negative"),
    ("parents_max = 32", "parents_max = -1", r"algorithms: parents_max must not be negative"),
    ("slice_seconds_min = 1", "slice_seconds_min = 31", r"slice_seconds_min, slice_seconds and"),
    ("duration_seconds_max = 43200", "duration_seconds_max = 86401", r"must be at most 86400, a day"),
    (
        'tick = "0.01"',
        'tick = "0.01"\nvolume_profile = [1, 2, 3, 4, 5, 6, 7]',
        r"instrument ACME: volume_profile: 7 weights",
    ),
    ('tick = "0.01"', 'tick = "0.01"\nvolume_profile = [0, 0]', r"not all 0"),
    ('day_end = ""', 'day_end = "24:00"', r"clock.day_end must be a time of day"),
    ("accounts = [2]", "accounts = [1]", r"member BRAVO: account 1 is ALPHA's already"),
    ("accounts = [2]", "accounts = [2, 2]", r"account 2 is BRAVO's already"),
    ('symbol = "ACME"', 'symbol = "A\\u0001B"', r"symbol of 0 must be 1 to 64 printable ASCII"),
    ('code = "BOLT"', 'code = ""', r"code of 2 must be 1 to 64 printable ASCII"),
    ('isin = "XS0000000009"', 'isin = "XS"', r"instrument ACME: isin 'XS' has not the form of one"),
    ('lei = "5299000ALPHA00000A01"', 'lei = "x"', r"member ALPHA: lei 'x' has not the form of one"),
    ('credit = "250000"', 'credit = "-1"', r"account 3: credit must not be negative"),
    ('credit = "250000"', 'credit = "1e20"', r"account 3: credit must not be negative, nor above"),
    ('credit = "250000"', 'credit = "1.00001"', r"at most 4 decimals, is 1.00001"),
    ("scale = 4", "scale = -1", r"asset USD: scale must be from 0 to 12, is -1"),
    ('price_max = "150.00"', 'price_max = "1e30"', r"price_max must be at most 10995116277.75"),
    ('price_max = "150.00"', 'price_max = "1e999999999"', r"price_max has more than 30 digits"),
    ('tick = "0.01"', 'tick = "1e-999999999"', r"instruments\[0\].tick has more than 30 digits or decimals"),
    ('lot = "10"', 'lot = "1e29"', r"instrument BOLT: lot or tick x lot is more than"),
    ('tick = "0.005"', 'tick = "0.005"\norder_qty_max = "1e20"', r"BOLT: order_qty_max must be at most 1099511627775"),
    ('tick = "0.005"', 'tick = "0.005"\norder_value_max = "1e20"', r"order_value_max must be an amount of USD"),
    ("segment_bytes = 67108864", "segment_bytes = 99999999999999999999", r"journal.segment_bytes must be below 2\^53"),
]


@pytest.mark.parametrize(("good", "bad", "message"), MISTAKES, ids=[bad for _, bad, _ in MISTAKES])
def test_mistake_is_named(text, good, bad, message):
    assert good in text
    with pytest.raises(ConfigError, match=message):
        loads(text.replace(good, bad, 1))


def test_a_slow_reader_is_conflated_before_it_is_cut_off(text):
    """The mark for fewer updates lies below the bound at which a session is logged out, where market data is served."""
    small = text.replace("queue_bytes_max = 8388608", "queue_bytes_max = 262144")
    loads(small)
    head, tail = small.split("[market_data]")
    with pytest.raises(ConfigError, match=r"slow_bytes must be below fix.queue_bytes_max, 262144"):
        loads(f"{head}[market_data]{tail.replace('port = 0', 'port = 5002', 1)}")


def test_missing_file_says_how_to_make_one(tmp_path):
    with pytest.raises(ConfigError, match="venue init"):
        load(tmp_path / "absent.toml")


@given(st.text(max_size=200))
def test_any_text_is_a_config_or_a_config_error(text):
    try:
        assert isinstance(loads(text), Config)
    except ConfigError as error:
        assert str(Path("venue.toml").name) in str(error)
