"""A venue in the test's process: real engine, real acceptor, real sockets on 127.0.0.1."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cores import CommandKind, CoreConfig
from fix_sessions.acceptor import Acceptor
from fix_sessions.client import Broker
from venue import opening
from venue.config import Config, loads
from venue.engine import Engine
from venue.follower import Follower

PASSWORD = "correct horse"
REASON = "clearly erroneous price"
PASSWORD_HASH = "$argon2id$v=19$m=8,t=1,p=1$z6NxiJp3Q9KUUYeiqB5B1g$dGy7LIpj10wrFYCjwfDnq6/oVK+62jH2o0r7a3rPTlA"
CONFIG = """
[venue]
name = "VENUE"
[limits]
symbols = 4
accounts = 8
assets = 4
orders = 1024
levels = 16384
[fix]
port = 0
application = "{application}"
queue_bytes_max = {queue_bytes_max}
[[assets]]
id = 0
code = "USD"
scale = 4
[[assets]]
id = 1
code = "ACME"
scale = 0
[[assets]]
id = 2
code = "BOLT"
scale = 1
[[instruments]]
id = 0
symbol = "ACME"
base = "ACME"
quote = "USD"
tick = "0.01"
lot = "1"
price_min = "50.00"
price_max = "150.00"
[[instruments]]
id = 1
symbol = "BOLT"
base = "BOLT"
quote = "USD"
tick = "0.025"
lot = "0.5"
price_min = "5.000"
price_max = "40.000"
[[accounts]]
id = 0
[[accounts]]
id = 1
maker_bp = 1
taker_bp = 3
[[accounts]]
id = 2
[[accounts]]
id = 3
[[members]]
id = "ALPHA"
accounts = [1, 3]
{alpha}
sessions = [
  {{ id = 1, comp_id = "ALPHA1", username = "alpha", password_hash = "{hash}", cancel_on_disconnect = true }},
  {{ id = 4, comp_id = "ALPHA2", username = "alpha2", password_hash = "{hash}", cancel_on_disconnect = false }},
]
[[members]]
id = "BRAVO"
accounts = [2]
sessions = [
  {{ id = 2, comp_id = "BRAVO1", username = "bravo", password_hash = "{hash}", cancel_on_disconnect = false }},
]
"""
USERS = {"ALPHA1": "alpha", "ALPHA2": "alpha2", "BRAVO1": "bravo"}
FUNDS = {(1, 0): 10**12, (1, 1): 10**6, (1, 2): 10**6, (2, 0): 10**12, (2, 1): 10**6, (2, 2): 10**6, (3, 0): 10**6}


Changes = tuple[tuple[str, str], ...]
"""Replacements in the configuration's text, each made once."""


def make_config(
    folder: Path,
    application: str = "native",
    queue_bytes_max: int = 8 << 20,
    alpha: str = "",
    changes: Changes = (),
) -> Config:
    """`alpha`: further lines of the member ALPHA."""
    text = CONFIG.format(application=application, queue_bytes_max=queue_bytes_max, hash=PASSWORD_HASH, alpha=alpha)
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    return loads(text, folder / "venue.toml")


class Venue:
    """Engine and acceptor on one folder; `close` as at a clean stop."""

    def __init__(self, folder: Path, application: str = "native", sync: str = "none", **limits: Any) -> None:
        self.data_dir = folder
        self.config = make_config(folder, application, **limits)
        sizes = self.config.limits
        core = CoreConfig(sizes.symbols, sizes.accounts, sizes.assets, sizes.orders, sizes.levels)
        self.engine: Any = Engine.open(folder, core, sync=sync)
        if opening.apply(self.engine, self.config):
            for (account, asset), amount in FUNDS.items():
                fields = {"kind": CommandKind.DEPOSIT, "account": account, "asset": asset, "qty_lots": amount}
                self.engine.call(body=b"verb=deposit\x01", **fields)
        self.acceptor = Acceptor(self.config, self.engine, folder / "fix", application)
        self.acceptor.logon_ms_max = 2_000
        self.acceptor.start()
        self.brokers: list[Broker] = []
        self.closed = False

    def broker(self, comp_id: str, **fields: Any) -> Broker:
        """A broker that is not logged on yet."""
        settings: dict[str, Any] = {"username": USERS[comp_id], "password": PASSWORD, **fields}
        broker = Broker("127.0.0.1", self.acceptor.port, comp_id, **settings)
        self.brokers.append(broker)
        return broker

    def logged_on(self, comp_id: str, **fields: Any) -> Broker:
        broker = self.broker(comp_id, **fields)
        broker.log_on()
        return broker

    def fresh(self, comp_id: str) -> Broker:
        """A broker whose session goes on where the last one's of that name ended."""
        for broker in self.brokers:
            broker.close()
        self.brokers.clear()
        until(lambda: not any(s["logged_on"] for s in self.acceptor.sessions()))
        until(lambda: self.engine.open_orders(0) == 0)
        self.engine.drain()
        time.sleep(0.02)
        broker = self.broker(comp_id)
        status = next(s for s in self.acceptor.sessions() if s["comp_id"] == comp_id)
        broker.next_out, broker.next_in = status["target_seq"], status["sender_seq"]
        broker.log_on()
        return broker

    def root(self) -> bytes:
        """The state root: equal before and after whatever must change nothing."""
        return bytes(self.engine.state_root()[1])

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        for broker in self.brokers:
            broker.close()
        self.acceptor.stop("the venue is closing")
        self.acceptor.check()
        self.engine.check()
        self.engine.close()


def written(venue: Venue) -> Follower:
    """A reader of the journal, once all that was told is in it: when nothing is synced, reports leave before."""
    venue.engine.drain()
    follower = Follower(venue.data_dir / "journal")
    until(lambda: (mark := follower.watermark()) is not None and mark.durable_seq == venue.engine.last_seq)
    return follower


def until(done: Callable[[], bool], seconds: float = 10.0) -> None:
    """Waits until `done`; fails when it never is."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def bust(venue: Venue, trade: str, **changes: Any) -> dict[str, Any]:
    """The operator's verb that takes a trade back; ValueError when it stands."""
    asked = {"verb": "bust", "actor": "ann", "approver": "bob", "trade": trade, "text": REASON, **changes}
    found: dict[str, Any] = venue.acceptor.operate(asked)
    return found


def spawn(arguments: list[str]) -> subprocess.Popen[str]:
    """A Python process of its own."""
    return subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, text=True, env=dict(os.environ))


def settle(broker: Broker) -> None:
    """Waits until everything sent so far was answered: the answer to a test request comes after it.

    A test request that a gap fill has skipped is never answered, as FIX says; then another is sent.
    """
    for attempt in range(5):
        name = f"settle-{time.monotonic_ns():020d}".encode()
        broker.send("1", [(112, name)])
        try:
            broker.wait_for(lambda name=name: any(m.get(112) == name for m in broker.admin[-50:]), 2 + 2 * attempt)  # type: ignore[misc]
            return
        except TimeoutError:
            continue
    last = [m.encode().replace(b"\x01", b"|").decode(errors="replace") for m in broker.admin[-6:]]
    raise TimeoutError(
        f"{broker.comp_id}: no test request was answered: sent up to {broker.next_out - 1}, "
        f"{broker.next_in} is expected, early {sorted(broker.early)[:5]}, asked to {broker.asked_to}, "
        f"the last of the session itself: {last}"
    )


def tags(message: Any) -> dict[int, str]:
    """A message's fields as text."""
    return {int(tag): value.decode() for tag, value in message.pairs}


def last(broker: Broker) -> dict[int, str]:
    """The newest application message."""
    return tags(broker.inbox[-1])


def ask(broker: Broker, send: Callable[[], Any]) -> dict[int, str]:
    """Sends, waits for all answers, returns the last."""
    before = len(broker.inbox)
    send()
    settle(broker)
    assert len(broker.inbox) > before, f"no answer; admin: {[tags(m) for m in broker.admin[-2:]]}"
    return last(broker)


def rejected(broker: Broker, send: Callable[[], Any]) -> dict[int, str]:
    """Sends, waits for all answers, returns the session Reject(3) that must be among them."""
    before = len(broker.admin)
    send()
    settle(broker)
    found = [tags(m) for m in broker.admin[before:] if m.get(35) == b"3"]
    assert found, f"no Reject; inbox: {[tags(m) for m in broker.inbox[-2:]]}"
    return found[-1]
