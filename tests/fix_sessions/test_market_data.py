"""The market data gateway as a client meets it: over sockets, behind a real engine's journal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest
import quickfix

from cores import EventKind
from fix_sessions.acceptor import dictionary_path
from fix_sessions.client import SessionLost
from fix_sessions.market_data import EXIT_DIVERGED, restored
from tests.fix_sessions.market_rig import FEEDS, Gateway, Viewer, depth_of, feed_config
from tests.fix_sessions.rig import Venue, bust, settle, until, written
from venue import replay
from venue.follower import Follower

KEY = (b"r", b"ACME")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def venue(folder: Path) -> Iterator[Venue]:
    found = Venue(folder)
    yield found
    found.close()


@pytest.fixture
def gateway(venue: Venue, folder: Path) -> Iterator[Gateway]:
    found = Gateway(folder)
    yield found
    found.close()


def trade(venue: Venue, seed: int, count: int) -> None:
    """Orders of two brokers around one price."""
    random = Random(seed)
    before = {broker.comp_id: broker for broker in venue.brokers}
    for broker in venue.brokers:
        broker.close()
    until(lambda: not any(s["logged_on"] for s in venue.acceptor.sessions()))
    brokers = []
    for comp_id in ("ALPHA1", "BRAVO1"):
        last = before.get(comp_id)
        numbers = {"next_out": last.next_out, "next_in": last.next_in} if last else {}
        brokers.append(venue.logged_on(comp_id, **numbers))
    for _ in range(count):
        broker = random.choice(brokers)
        side = random.choice(("buy", "sell"))
        broker.order("ACME", side, random.randint(1, 9), f"{100 + random.randint(-8, 8) / 100:.2f}")
        if random.random() < 0.1:
            broker.order("BOLT", side, "1.5", "20.000")
    for broker in brokers:
        settle(broker)
        broker.log_out()
    until(lambda: not any(s["logged_on"] for s in venue.acceptor.sessions()))
    written(venue).close()


def fills(folder: Path) -> list[bytes]:
    """Every trade of ACME in the journal."""
    from cores import Core, CoreConfig

    limits = feed_config(folder).limits
    core = Core(CoreConfig(limits.symbols, limits.accounts, limits.assets, limits.orders, limits.levels))
    with Follower(folder / "journal") as follower:
        events, _ = core.apply(follower.poll().commands)
    found = events[(events["kind"] == EventKind.FILL) & (events["symbol"] == 0)]
    return [b"%d-%d" % (int(e) >> 24, int(e) & 0xFFFFFF) for e in found["exec_id"][::2]]


def holds(viewer: Viewer, venue: Venue) -> Callable[[], bool]:
    """Whether a viewer of everything holds the engine's book."""

    def look() -> bool:
        bids, offers = depth_of(venue, 0)
        return bool(viewer.book.bids[KEY] == bids and viewer.book.offers[KEY] == offers)

    return look


def test_a_client_holds_the_engines_book_and_every_trade(venue: Venue, gateway: Gateway, folder: Path) -> None:
    viewer, top = gateway.viewer("FEED1"), gateway.viewer("FEED2")
    viewer.subscribe("r")
    top.subscribe("r", 1, 20)
    trade(venue, 7, 400)
    viewer.wait_for(holds(viewer, venue))
    expected = fills(folder)
    assert expected
    for client in (viewer, top):
        client.wait_for(lambda client=client: len(client.book.trades[KEY]) == len(expected))  # type: ignore[misc]
        settle(client)
        assert client.book.trades[KEY] == expected
    assert len(top.book.bids[KEY]) <= 1 and len(top.book.messages) < len(viewer.book.messages)


def test_every_message_fits_the_dictionary(venue: Venue, gateway: Gateway) -> None:
    dictionary = quickfix.DataDictionary(str(dictionary_path()))
    viewer = gateway.viewer("FEED1")
    viewer.subscribe("r")
    viewer.send("V", [(262, "b"), (263, "1"), (264, "3"), (267, "1"), (269, "0"), (146, "1"), (55, "ACME")])
    for kind, pairs in (
        ("x", [(320, "1"), (559, "4")]),
        ("x", [(320, "1"), (559, "3")]),
        ("c", [(320, "1"), (321, "0"), (55, "ACME")]),
        ("c", [(320, "1"), (321, "0")]),
        ("e", [(324, "1"), (55, "ACME"), (263, "1")]),
        ("g", [(335, "1"), (263, "1")]),
        ("D", [(11, "a"), (55, "ACME"), (54, "1"), (38, "1"), (40, "1"), (60, "20260101-00:00:00")]),
    ):
        viewer.send(kind, list(pairs))  # type: ignore[arg-type]
    settle(viewer)
    trade(venue, 3, 60)
    viewer.full.add(b"whole")
    viewer.send(
        "V",
        [
            *((262, "whole"), (263, "1"), (264, "1"), (265, "0"), (5265, "1"), (267, "1"), (269, "2")),
            *((146, "1"), (55, "ACME")),
        ],
    )
    settle(viewer)
    last = fills(venue.data_dir)[-1]
    bust(venue, last.decode())
    for key in (KEY, (b"whole", b"ACME")):
        viewer.wait_for(lambda key=key: viewer.book.told[key][-1:] == [(True, last)])  # type: ignore[misc]
    venue.engine.call(kind=6, symbol=0, ord_type=5)
    viewer.wait_for(lambda: sum(m.get(35) == b"f" for m in viewer.inbox) == 2)
    kinds = set()
    for message in viewer.inbox:
        parsed = quickfix.Message(message.encode(raw=True).decode(), dictionary, True)
        dictionary.validate(parsed)
        kinds.add(parsed.getHeader().getField(35))
    assert kinds == {"W", "X", "Y", "y", "d", "f", "h", "j"}


def test_only_market_data_sessions_are_let_in(gateway: Gateway) -> None:
    with pytest.raises(SessionLost, match="unknown SenderCompID"):
        gateway.viewer("ALPHA1")


def test_a_subscription_ends_with_its_session(venue: Venue, gateway: Gateway) -> None:
    assert gateway.gateway is not None
    viewer = gateway.viewer("FEED1")
    viewer.subscribe("r")
    assert gateway.gateway.desk.subscriptions == 2
    viewer.log_out()
    until(lambda: gateway.gateway.desk.subscriptions == 0)  # type: ignore[union-attr]
    again = gateway.viewer("FEED1", next_out=viewer.next_out, next_in=viewer.next_in)
    trade(venue, 5, 20)
    settle(again)
    assert again.inbox == []


def test_who_does_not_read_is_logged_out_and_the_other_has_it_all(venue: Venue, folder: Path) -> None:
    maker = venue.logged_on("BRAVO1")
    for number in range(600):
        maker.order("ACME", "buy", 1, f"{50 + number / 100:.2f}")
    settle(maker)
    gateway = Gateway(folder, slow_bytes=4096, slow_seconds=0.3)
    try:
        assert gateway.gateway is not None
        slow, quick = gateway.viewer("FEED1"), gateway.viewer("FEED2")
        quick.subscribe("r")
        ask: list[tuple[int, str | bytes]] = [(262, "s"), (263, "0"), (264, "0"), (267, "1"), (269, "0"), (146, "1")]
        rounds = 0
        while not gateway.gateway.desk.slow_log_outs:
            if gateway.gateway.listener.unsent(FEEDS["FEED1"]) < 8192:
                for _ in range(20):
                    slow.send("V", [*ask, (55, "ACME")])
            settle(quick)
            time.sleep(0.01)
            rounds += 1
            assert rounds < 2000
        assert slow.socket is not None
        slow.socket.settimeout(5.0)
        raw = b""
        while data := slow.socket.recv(1 << 20):
            raw = raw[-4096:] + data
        assert b"58=slow consumer" in raw
        trade(venue, 5, 200)
        quick.wait_for(holds(quick, venue))
        expected = fills(folder)
        quick.wait_for(lambda: len(quick.book.trades[KEY]) == len(expected))
        assert quick.book.trades[KEY] == expected
    finally:
        gateway.close()


def test_a_restart_goes_on_from_its_checkpoint_with_the_prices_of_the_day(venue: Venue, folder: Path) -> None:
    first = Gateway(folder)
    trade(venue, 9, 100)
    assert first.gateway is not None
    until(lambda: first.gateway.feed.last_seq == venue.engine.last_seq)  # type: ignore[union-attr]
    days = first.gateway.feed.days()
    assert first.close() == 0
    path = folder / "market_data" / "feed.state"
    kept = restored(first.config, path)
    assert kept.last_seq == venue.engine.last_seq and kept.days() == days
    trade(venue, 10, 50)
    second = Gateway(folder)
    try:
        viewer = second.viewer("FEED1")
        viewer.subscribe("r")
        assert holds(viewer, venue)()
        assert viewer.book.last_trade[KEY] == fills(folder)[-1]
    finally:
        assert second.close() == 0
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    third = Gateway(folder)
    try:
        assert third.gateway is not None
        assert third.gateway.feed.last_seq == venue.engine.last_seq, "a damaged one is passed over"
    finally:
        third.close()


def test_a_state_root_that_differs_stops_it(folder: Path) -> None:
    venue = Venue(folder)
    trade(venue, 11, 60)
    venue.close()
    seq = replay.replayed(folder / "journal").last_seq
    root = folder / "snapshot" / f"{seq:020}.root"
    assert root.exists(), "a clean stop leaves one"
    good = Gateway(folder)
    until(lambda: good.gateway is not None and good.gateway.roots.compared == 1)
    assert good.close() == 0
    root.write_bytes(bytes(32))
    bad = Gateway(folder)
    until(lambda: not bad.thread.is_alive())
    assert bad.code == EXIT_DIVERGED
