"""How many quotes a second go through MassQuote (i), against single orders (D) and replaces (G) in the same run.

One session, one process, `sync=none`, both applications. A side counts as one quote: a MassQuote of ten entries is
twenty, as many as twenty orders. Messages are made before the clock starts and sent without waiting for answers; the
time ends with the last answer. D and G are measured between the rounds of i, so that a busy moment of the machine hits
all of them; a ratio is the median of the rounds' ratios.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from cores import CommandKind, CoreConfig
from fix_sessions.acceptor import Acceptor
from fix_sessions.client import Broker, Pair
from perf import report
from venue import opening
from venue.config import loads
from venue.engine import Engine

ENTRIES, SIDES = 10, 2
CONFIG = """
[limits]
symbols = 2
accounts = 4
assets = 2
orders = 65536
[fix]
port = 0
[[assets]]
id = 0
code = "USD"
scale = 4
[[assets]]
id = 1
code = "ACME"
scale = 0
[[instruments]]
id = 0
symbol = "ACME"
base = "ACME"
quote = "USD"
tick = "0.01"
lot = "1"
price_min = "50.00"
price_max = "150.00"
[[accounts]]
id = 0
[[accounts]]
id = 1
[[members]]
id = "MAKER"
accounts = [1]
mmp = {{ window_ms = 1000, quantity = "1000000", trades = 1000 }}
sessions = [{{ id = 1, comp_id = "MAKER", username = "maker", password_hash = "{hash}" }}]
"""
PASSWORD = "correct horse"
PASSWORD_HASH = "$argon2id$v=19$m=8,t=1,p=1$z6NxiJp3Q9KUUYeiqB5B1g$dGy7LIpj10wrFYCjwfDnq6/oVK+62jH2o0r7a3rPTlA"
TIME: Pair = (60, "20261121-00:00:00")
Message = tuple[str, list[Pair]]


class Run:
    """A venue of one application and one broker's session."""

    def __init__(self, application: str, folder: Path) -> None:
        config = loads(CONFIG.format(hash=PASSWORD_HASH), folder / "venue.toml")
        limits = config.limits
        core = CoreConfig(limits.symbols, limits.accounts, limits.assets, limits.orders, limits.levels)
        self.engine = Engine.open(folder, core, sync="none")
        opening.apply(self.engine, config)
        for asset, amount in ((0, 10**15), (1, 10**9)):
            fields = {"kind": CommandKind.DEPOSIT, "account": 1, "asset": asset, "qty_lots": amount}
            self.engine.call(body=b"verb=deposit\x01", **fields)
        self.acceptor = Acceptor(config, self.engine, folder / "fix", application)
        self.acceptor.start()
        self.broker = Broker("127.0.0.1", self.acceptor.port, "MAKER", "maker", PASSWORD)
        self.broker.log_on()
        self.round = 0

    def close(self) -> None:
        self.broker.close()
        self.acceptor.stop()
        self.engine.close()

    def seconds(self, messages: list[Message], answers: int, answer: bytes) -> float:
        """Sends them all and waits for so many answers of this type."""
        broker = self.broker
        assert broker.socket is not None, "logged on"
        plain, raw = broker.socket, bytearray()
        broker.socket = _Collect(raw)  # type: ignore[assignment]
        for msg_type, body in messages:
            broker.send(msg_type, body)
        broker.socket = plain
        broker.sent.clear()
        counted, rest, mark = 0, b"", b"\x0135=" + answer + b"\x01"
        plain.setblocking(False)
        began, sent = time.perf_counter(), 0
        while counted < answers:
            if sent < len(raw):
                with suppress(BlockingIOError):
                    sent += plain.send(memoryview(raw)[sent : sent + 65536])
            try:
                data = rest + plain.recv(1 << 20)
            except BlockingIOError:
                continue
            counted += data.count(mark)
            rest = data[-(len(mark) - 1) :]
        took = time.perf_counter() - began
        plain.setblocking(True)
        return took

    def quotes(self, count: int) -> float:
        """Quotes a second: `count` sides in messages of ten entries, which are replaced again and again."""
        self.round += 1
        messages: list[Message] = []
        for number in range(count // (ENTRIES * SIDES)):
            body: list[Pair] = [
                (117, f"{self.round}-{number}"),
                (301, "2"),
                (296, "1"),
                (302, "s"),
                (295, str(ENTRIES)),
            ]
            for entry in range(ENTRIES):
                body += [(299, f"e{entry}"), (55, "ACME")]
                body += [(132, f"{90 + (number + entry) % 9}.00"), (133, f"{101 + (number + entry) % 9}.00")]
                body += [(134, "10"), (135, "10")]
            messages.append(("i", body))
        return count / self.seconds(messages, len(messages), b"b")

    def orders(self, count: int) -> tuple[float, float]:
        """Orders and replaces a second: `count` of each, then they are cancelled."""
        names = [f"o{self.round}-{number}" for number in range(count)]
        terms: list[Pair] = [(55, "ACME"), (54, "1"), (38, "10"), (40, "2"), TIME]
        new: list[Message] = [("D", [(11, name), *terms, (44, f"{60 + n % 9}.00")]) for n, name in enumerate(names)]
        change: list[Message] = [
            ("G", [(11, f"r{name}"), (41, name), *terms, (44, f"{70 + n % 9}.00")]) for n, name in enumerate(names)
        ]
        rates = count / self.seconds(new, count, b"8"), count / self.seconds(change, count, b"8")
        self.seconds([("q", [(11, f"q{self.round}"), (530, "7"), TIME])], 1, b"r")
        return rates


class _Collect:
    """Stands for the socket while messages are made."""

    def __init__(self, raw: bytearray) -> None:
        self.sendall: Callable[[bytes], None] = raw.extend


def main() -> None:
    options = report.arguments(__doc__)
    rounds, count = (3, 4_000) if options.quick else (9, 20_000)
    rows, ratios = [], {}
    for application in ("native", "python"):
        with tempfile.TemporaryDirectory() as folder:
            run = Run(application, Path(folder))
            found = [(run.quotes(count), *run.orders(count)) for _ in range(rounds + 1)][1:]  # the first one warms up
            run.close()
        middle = [round(statistics.median(rates)) for rates in zip(*found, strict=True)]
        rows += [
            {"application": application, "what": what, "a second": rate, "us": round(1e6 / rate, 2)}
            for what, rate in zip(("sides quoted by i", "orders by D", "replaces by G"), middle, strict=True)
        ]
        ratios[f"{application}_i_to_D"] = round(statistics.median(quotes / new for quotes, new, _ in found), 3)
        ratios[f"{application}_i_to_G"] = round(statistics.median(quotes / change for quotes, _, change in found), 3)
    facts = report.conditions(rounds=rounds, sides=count, entries_a_message=ENTRIES, sync="none")
    report.publish("quotes over FIX", facts, rows, ratios, options.json)


if __name__ == "__main__":
    main()
