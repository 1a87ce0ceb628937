"""A market data gateway beside a venue: real engine, real journal, real sockets; and a client that keeps the book."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import simplefix

from fix_sessions import market_data
from fix_sessions.client import Broker
from tests.fix_sessions.rig import PASSWORD, PASSWORD_HASH, Venue, make_config, until
from tests.fix_sessions.test_market_feed import TYPES, Client
from venue.config import Config, MarketDataSection, Session, VenueSection

FEEDS = {"FEED1": 21, "FEED2": 22}


def feed_config(folder: Path, **section: Any) -> Config:
    """The rig's configuration with two market data sessions, on the folder of the rig's engine."""
    config = make_config(folder)
    first, *others = config.members
    feeds = [Session(n, c, c.lower(), PASSWORD_HASH, kind="market_data") for c, n in FEEDS.items()]
    return replace(
        config,
        venue=VenueSection(name="VENUE", data_dir=folder),
        market_data=MarketDataSection(**{"conflation_ms_min": 1, **section}),
        members=(replace(first, sessions=(*first.sessions, *feeds)), *others),
    )


class Viewer(Broker):
    """A market data client: applies W and X as they come."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.book = Client()
        self.full: set[bytes] = set()

    def take(self, message: simplefix.FixMessage) -> None:
        super().take(message)
        body = b"".join(b"%d=%s\x01" % (int(tag), value) for tag, value in message.pairs)
        if message.get(35) in (b"W", b"X"):
            self.book.take(message.get(35), body, self.full)

    def subscribe(self, request: str, depth: int = 0, interval: int = 1, symbols: tuple[str, ...] = ("ACME", "BOLT")):
        self.send(
            "V",
            [
                *((262, request), (263, "1"), (264, str(depth)), (5265, str(interval))),
                *((267, str(len(TYPES))), *((269, kind) for kind in TYPES)),
                *((146, str(len(symbols))), *((55, symbol) for symbol in symbols)),
            ],
        )
        self.wait_for(lambda: all((request.encode(), name.encode()) in self.book.rpt for name in symbols))


class Gateway:
    """The gateway's body on a thread of this process."""

    def __init__(self, folder: Path, **section: Any) -> None:
        self.config = feed_config(folder, **section)
        self.stopping = threading.Event()
        self.gateway: market_data.MarketData | None = None
        self.code: int | None = None
        self.viewers: list[Viewer] = []
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        until(lambda: self.gateway is not None or not self.thread.is_alive())

    def _run(self) -> None:
        self.code = market_data.run(self.config, self.stopping, self._started)

    def _started(self, gateway: market_data.MarketData) -> None:
        self.gateway = gateway

    def viewer(self, comp_id: str, **fields: Any) -> Viewer:
        assert self.gateway is not None
        port = self.gateway.listener.port
        viewer = Viewer("127.0.0.1", port, comp_id, comp_id.lower(), PASSWORD, **fields)
        self.viewers.append(viewer)
        viewer.log_on()
        return viewer

    def close(self) -> int | None:
        for viewer in self.viewers:
            viewer.close()
        self.stopping.set()
        self.thread.join(20)
        return self.code


def depth_of(venue: Venue, symbol: int) -> tuple[dict[bytes, bytes], dict[bytes, bytes]]:
    """The engine's whole book, as a client prints it."""
    from cores import Core
    from fix_sessions.market_feed import Feed

    core = Core.restore(venue.engine.state()[1])
    feed = Feed(venue.config, core)
    book = feed.books[symbol]
    bids, offers = feed.depth(book, 0)
    return tuple({book.price(p): book.quantity(q) for p, q in side} for side in (bids, offers))  # type: ignore[return-value]
