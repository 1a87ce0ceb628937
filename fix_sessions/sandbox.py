"""`venue sandbox`: a venue of its own for a broker's developers, with a market that lives and scenarios on demand.

It runs the real venue (the same processes as `venue run`, without settlement) from a configuration that it writes
itself, gives every account money, and lets ordinary clients trade on ordinary FIX sessions: a market maker and a
background flow in every instrument, and the counterparty of the scenarios in one more. Brokers connect through a line
in front of the venue that can be slow or cut. Nothing here is real money, and nothing is kept unless asked for.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

from cores import CoreConfig
from fix_sessions.background_flow import BackgroundFlow
from fix_sessions.client import Broker, SessionLost
from fix_sessions.logon import hash_password
from fix_sessions.market_maker import FairPrice, MarketMaker, Parameters
from fix_sessions.sandbox_line import Line
from fix_sessions.sandbox_scenarios import LOTS_MAX, SCENARIOS, Scenarios
from venue import sample
from venue.config import Config, Instrument, load
from venue.control import ControlClient, ReferenceUsed

SYMBOL = "TEST"
MAKER, FLOW, PARTNER = "MAKER1", "FLOW1", "PARTNER1"
TURN_SECONDS = 0.25
START_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 60.0
LOGON_SECONDS_MAX = 60.0
FUNDS, UNITS = 50_000_000, 2_000_000

OWN_TABLES = """
[[assets]]
id = {asset}
code = "TEST"
scale = 0

[[instruments]]                 # scenarios by quantity, see `venue sandbox`
id = {instrument}
symbol = "TEST"
isin = "XS0000000033"
base = "TEST"
quote = "USD"
currency = "USD"
tick = "0.01"
lot = "1"
price_min = "50.00"
price_max = "150.00"
order_qty_max = "{lots_max}"
"""
OWN_MEMBER = """
[[accounts]]
id = {account}
name = "{name}"

[[members]]
id = "{member}"
accounts = [{account}]

[[members.sessions]]
id = {session}
comp_id = "{comp_id}"
username = "{name}"
password_hash = "{hash}"
"""


def write(folder: Path, port: int) -> dict[str, str]:
    """Writes the sandbox's configuration into `folder`; returns every session's password by CompID. `sandbox.json`
    beside it keeps them: it is a test venue. Raises FileExistsError."""
    by_member = sample.write(folder)
    path = folder / "venue.toml"
    text = path.read_text()
    for old, new in (
        ("port = 5001", f"port = {port}"),
        ("[settlement]\nenabled = true", "[settlement]\nenabled = false"),
    ):
        assert old in text, old
        text = text.replace(old, new, 1)
    config = load(path)
    text += OWN_TABLES.format(asset=len(config.assets), instrument=len(config.instruments), lots_max=LOTS_MAX)
    passwords = {session.comp_id: by_member[member.id] for member, session in config.sessions()}
    for number, comp_id in enumerate((MAKER, FLOW, PARTNER)):
        passwords[comp_id] = secrets.token_urlsafe(12)
        name = comp_id.rstrip("1")
        text += OWN_MEMBER.format(
            account=len(config.accounts) + number,
            session=max(session.id for _, session in config.all_sessions()) + 1 + number,
            name=name.lower(),
            member=name,
            comp_id=comp_id,
            hash=hash_password(passwords[comp_id]),
        )
    path.write_text(text)
    secret = folder / "sandbox.json"
    secret.touch(mode=0o600)
    secret.write_text(json.dumps(passwords, indent=2))
    return passwords


class Market:
    """The market maker and the background flow of every instrument but the scenarios', in one thread."""

    def __init__(self, maker: Broker, flow: Broker, instruments: list[Instrument], seed: int, rate: float) -> None:
        self.maker, self.flow = maker, flow
        self.fair = {i.symbol: FairPrice(i, Random(f"{seed}/fair/{i.symbol}")) for i in instruments}
        self.makers = {i.symbol: MarketMaker(maker, i, Parameters()) for i in instruments}
        self.flows = {i.symbol: BackgroundFlow(flow, i, Random(f"{seed}/flow/{i.symbol}"), rate) for i in instruments}
        self._read = {MAKER: 0, FLOW: 0}

    def turn(self, seconds: float) -> None:
        """Moves the fair prices by so many seconds and lets everybody act."""
        self._take_in()
        for symbol, fair in self.fair.items():
            ticks = fair.move(seconds)
            self.makers[symbol].turn(ticks)
            self.flows[symbol].turn(ticks, seconds)

    def begin_again(self) -> None:
        """After a lost session: what was open was cancelled by the venue."""
        for broker in (self.maker, self.flow):
            self._read[broker.comp_id] = len(broker.inbox)
        for trader in self._traders():
            trader.forget()

    def check(self) -> None:
        """Asserts what the traders assert."""
        for trader in self._traders():
            trader.check()

    def _traders(self) -> list[MarketMaker | BackgroundFlow]:
        return [*self.makers.values(), *self.flows.values()]

    def _take_in(self) -> None:
        for broker in (self.maker, self.flow):
            while broker.poll():
                pass
            for message in broker.inbox[self._read[broker.comp_id] :]:
                symbol = (message.get(55) or b"").decode()
                names = [symbol] if symbol in self.makers else list(self.makers)
                for name in names:
                    (self.makers[name] if broker is self.maker else self.flows[name]).on_message(message)
            broker.inbox.clear()
            broker.executions.clear()
            self._read[broker.comp_id] = 0


class Sandbox:
    """One run: `open`, then `wait` until the stop event, then `close`."""

    def __init__(self, folder: Path, *, host: str, port: int, seed: int, rate: float) -> None:
        self.folder, self.seed, self.rate = folder, seed, rate
        kept = folder / "sandbox.json"
        self.passwords = json.loads(kept.read_text()) if kept.exists() else write(folder, free_port())
        self.config: Config = load(folder / "venue.toml")
        self.instrument = next(i for i in self.config.instruments if i.symbol == SYMBOL)
        self.line = Line(host, port, self.config.fix.port, self.instrument)
        self.supervisor: subprocess.Popen[bytes] | None = None
        self.failure = ""
        self.market: Market | None = None
        self.scenarios: Scenarios | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._trade, name="market", daemon=True)

    def open(self) -> None:
        """The venue runs, is funded and trades when this returns. Raises RuntimeError when it does not start."""
        self._start_venue()
        self._fund()
        own = {MAKER, FLOW, PARTNER}
        maker, flow, partner = (self._broker(comp_id) for comp_id in (MAKER, FLOW, PARTNER))
        for broker in (maker, flow, partner):
            self.log_on(broker)
        others = [i for i in self.config.instruments if i.symbol != SYMBOL]
        self.market = Market(maker, flow, others, self.seed, self.rate)
        accounts = {a for m, s in self.config.sessions() if s.comp_id not in own for a in m.accounts}
        limits = self.config.limits
        self.scenarios = Scenarios(
            self.instrument,
            partner,
            frozenset(accounts),
            journal_dir=self.config.journal_dir,
            control_path=self.config.control_path,
            core=CoreConfig(limits.symbols, limits.accounts, limits.assets, limits.orders, limits.levels),
            log_on=self.log_on,
        )
        self.scenarios.start()
        self._thread.start()
        self.line.start()

    def close(self) -> None:
        """Ends everybody, the venue last. Idempotent."""
        self._stop.set()
        self.line.stop()
        if self._thread.is_alive():
            self._thread.join()
        if self.scenarios is not None:
            self.scenarios.stop()
        if self.supervisor is not None and self.supervisor.poll() is None:
            self.supervisor.send_signal(signal.SIGTERM)
            self.supervisor.wait(STOP_SECONDS_MAX)

    def check(self) -> None:
        """Asserts what market and scenarios assert."""
        for part in (self.market, self.scenarios, self.line):
            if part is not None:
                part.check()

    def log_on(self, broker: Broker) -> None:
        """Logs a trader on, again and again while the venue is not there; begins with fresh sequence numbers."""
        end = time.monotonic() + LOGON_SECONDS_MAX
        while True:
            try:
                broker.log_on(reset=True)
                return
            except (OSError, TimeoutError):
                broker.close()
                if time.monotonic() > end or self._stop.wait(0.3):
                    raise

    def _trade(self) -> None:
        assert self.market is not None, "open() made it"
        while not self._stop.wait(TURN_SECONDS):
            try:
                self.market.turn(TURN_SECONDS)
            except (SessionLost, OSError):
                self._recover()
            except Exception as error:  # a thread must not die unseen
                self.failure = f"{type(error).__name__}: {error}"
                return

    def _recover(self) -> None:
        assert self.market is not None, "open() made it"
        for broker in (self.market.maker, self.market.flow):
            broker.close()
            if not self._stop.is_set():
                self.log_on(broker)
        self.market.begin_again()

    def _broker(self, comp_id: str) -> Broker:
        fix, username = self.config.fix, comp_id.rstrip("1").lower()
        return Broker(fix.host, fix.port, comp_id, username, self.passwords[comp_id], venue=self.config.venue.name)

    def _start_venue(self) -> None:
        command = [sys.executable, "-m", "venue", "run", "--config", str(self.config.path)]
        with (self.folder / "supervisor.log").open("ab") as output:
            self.supervisor = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
        end = time.monotonic() + START_SECONDS_MAX
        while not self.config.control_path.exists() or not listens(self.config.fix.host, self.config.fix.port):
            if self.supervisor.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"the venue did not start; see {self.folder / 'supervisor.log'}")
            time.sleep(0.1)

    def _fund(self) -> None:
        """Every account, once: a sandbox that is opened again has money."""
        marker = self.folder / "funded"
        if marker.exists():
            return
        with ControlClient(self.config.control_path, actor="sandbox") as client:
            for account in self.config.accounts[1:]:
                for asset in self.config.assets:
                    amount = FUNDS * 10**asset.scale if asset.code == "USD" else UNITS
                    with contextlib.suppress(ReferenceUsed):  # a start that was killed among these goes on here
                        client.deposit(account.id, asset.id, amount, f"sandbox {account.id} {asset.code}")
        marker.touch()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def listens(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), 0.5):
            return True
    except OSError:
        return False


def welcome(sandbox: Sandbox) -> str:
    """What a developer needs to connect, as text."""
    line, config = sandbox.line, sandbox.config
    own = {MAKER, FLOW, PARTNER}
    sessions = [s for _, s in config.sessions() if s.comp_id not in own]
    rows = [f"  {s.comp_id:<10} username {s.username:<8} password {sandbox.passwords[s.comp_id]}" for s in sessions]
    living = ", ".join(i.symbol for i in config.instruments if i.symbol != SYMBOL)
    scenarios = [f"  {lots:>5}  {text}" for lots, text in SCENARIOS.items()]
    return "\n".join(
        [
            f"FIX 4.4 at {line.host}:{line.port}, TargetCompID {config.venue.name}; log on with one of",
            *rows,
            f"A market maker and a background flow trade {living} (seed {sandbox.seed}).",
            f"{SYMBOL} plays scenarios: send a limit order with OrderQty(38)",
            *scenarios,
            f"  above {LOTS_MAX}: refused; any other quantity rests.",
            f"Everything is in {sandbox.folder}. Ctrl-C ends it.",
        ]
    )


def at_once(text: str) -> None:
    """Prints so that whoever reads us through a pipe has it now."""
    print(text, flush=True)


def run(
    *, host: str, port: int, seed: int, rate: float, keep: Path | None, say: Callable[[str], None] = at_once
) -> int:
    """Until SIGINT or SIGTERM, or so that the exit code is 1 when a part fails."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with tempfile.TemporaryDirectory(prefix="fix-venue-sandbox-") as temporary:
        sandbox = Sandbox(keep or Path(temporary) / "sandbox", host=host, port=port, seed=seed, rate=rate)
        try:
            sandbox.open()
            say(welcome(sandbox))
            while not stop.wait(0.5) and not sandbox.failure and _is_alive(sandbox.supervisor):
                pass
            ended = not stop.is_set()
        except (OSError, RuntimeError) as error:
            sandbox.failure, ended = str(error), True
        finally:
            sandbox.close()
    if ended:
        print(f"venue: the sandbox ended: {sandbox.failure or 'the venue stopped'}", file=sys.stderr)
    return int(ended)


def _is_alive(process: subprocess.Popen[bytes] | None) -> bool:
    return process is not None and process.poll() is None
