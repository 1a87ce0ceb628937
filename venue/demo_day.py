"""The demo's played day around its random flow: what an exchange's day has and a random flow meets only by chance.

Opening: every instrument collects orders in a call and opens with an auction. Morning: an iceberg is refreshed, a stop
is triggered, a collar turns a bad trade into a volatility call that the clock ends with an auction, an instrument is
halted and resumed. Evening: a closing call and auction, then the Day orders expire. Real orders over the brokers' own
sessions, real operator's commands over the control socket; nothing here looks into the engine. Every step waits for its
reports.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING

from cores.records import Limit, Phase
from venue.config import Config, Instrument
from venue.order_flow import first_middle

if TYPE_CHECKING:
    from fix_sessions.client import Broker
    from venue.control import ControlClient

ANSWER_SECONDS_MAX = 30.0
COLLAR_BP = 100
ORDERS = 3 * 4 + 10 + 3 * 3  # the opening of three instruments, the morning, the closing
OPENING_TICKS = 2


class DemoDay:
    """The scripted parts, for three brokers that are logged on and that nobody else polls meanwhile."""

    def __init__(self, config: Config, brokers: list[Broker], seed: int, control: Callable[[], ControlClient]) -> None:
        self.config, self.brokers, self.control = config, brokers, control
        self.middles = {i.symbol: i.tick * first_middle(seed, i) for i in config.instruments}
        self.orders = 0

    def check(self) -> None:
        """Asserts that the script did all that it counts."""
        assert self.orders <= ORDERS

    # ---- the parts ----

    def open(self) -> None:
        """Calls every instrument, collects crossing orders and a market order, and opens."""
        alpha, bravo, carol = self.brokers
        with self.control() as client:
            for instrument in self.config.instruments:
                middle, tick, lot = self._sizes(instrument)
                client.phase(instrument.id, Phase.PRE_OPEN, reference_ticks=int(middle / tick), ref="demo: pre-open")
                self._order(alpha, instrument, "buy", 60 * lot, middle + OPENING_TICKS * tick)
                self._order(alpha, instrument, "buy", 20 * lot, middle, t59="2")
                self._order(bravo, instrument, "sell", 70 * lot, middle - OPENING_TICKS * tick)
                at_open = self._order(carol, instrument, "buy", 10 * lot, None, t59="2")
                client.phase(instrument.id, Phase.CONTINUOUS, ref="demo: opening auction")
                self._reported(carol, at_open, b"F", 851, b"4")

    def morning(self) -> None:
        """Iceberg, stop, volatility call and halt in the first instrument; its book is empty before and after."""
        instrument = self.config.instruments[0]
        self._iceberg(instrument)
        self._stop(instrument)
        self._volatility(instrument)
        self._halt(instrument)

    def close(self) -> None:
        """A closing call with orders for it, its auction, and the end of the Day orders."""
        alpha, bravo, carol = self.brokers
        with self.control() as client:
            for instrument in self.config.instruments:
                middle, tick, lot = self._sizes(instrument)
                client.phase(instrument.id, Phase.CLOSE_CALL, ref="demo: closing call")
                self._order(bravo, instrument, "sell", 30 * lot, middle, t59="7")
                self._order(carol, instrument, "buy", 10 * lot, middle + OPENING_TICKS * tick, t59="7")
                at_close = self._order(alpha, instrument, "buy", 10 * lot, None, t59="7")
                client.phase(instrument.id, Phase.CLOSED, ref="demo: closing auction")
                self._reported(alpha, at_close, b"F", 851, b"4")
                client.time(instrument.id, ref="demo: end of the day")

    # ---- the morning's scenes ----

    def _iceberg(self, instrument: Instrument) -> None:
        """100 lots that show 20 are hit for 70: refreshed three times."""
        alpha, bravo, _ = self.brokers
        middle, tick, lot = self._sizes(instrument)
        iceberg = self._order(alpha, instrument, "sell", 100 * lot, middle + tick, t111=20 * lot)
        self._order(bravo, instrument, "buy", 70 * lot, middle + tick)
        self._reported(alpha, iceberg, b"D", 378, b"8")
        alpha.cancel(iceberg, instrument.symbol, "sell")
        self._until(alpha, lambda: any(m.get(41) == iceberg.encode() and m.get(150) == b"4" for m in alpha.inbox))

    def _stop(self, instrument: Instrument) -> None:
        """A stop waits, a trade at its price elects it, it buys the rest."""
        alpha, bravo, carol = self.brokers
        middle, tick, lot = self._sizes(instrument)
        price = middle + 3 * tick
        stop = self._order(carol, instrument, "buy", 5 * lot, None, t40="3", t99=price)
        self._order(alpha, instrument, "sell", 6 * lot, price)
        self._order(bravo, instrument, "buy", lot, price)
        self._reported(carol, stop, b"L", 39, b"0")
        self._reported(carol, stop, b"F", 39, b"2")

    def _volatility(self, instrument: Instrument) -> None:
        """A trade three collars away does not happen: a call begins, the clock ends it with an auction."""
        alpha, bravo, _ = self.brokers
        middle, tick, lot = self._sizes(instrument)
        far = (middle * (1 + Decimal(3 * COLLAR_BP) / 10_000) / tick).to_integral_value() * tick
        with self.control() as client:
            client.set_limit(Limit.COLLAR, COLLAR_BP, symbol=instrument.id, ref="demo: collar", approver="demo")
            self._order(alpha, instrument, "sell", 10 * lot, far)
            buyer = self._order(bravo, instrument, "buy", 10 * lot, far)
            self._reported(bravo, buyer, b"F", 851, b"4")
            client.set_limit(Limit.COLLAR, 0, symbol=instrument.id, ref="demo: collar", approver="demo")

    def _halt(self, instrument: Instrument) -> None:
        """Halted, an instrument takes no order; resumed, it trades."""
        alpha, bravo, _ = self.brokers
        middle, _, lot = self._sizes(instrument)
        with self.control() as client:
            client.phase(instrument.id, Phase.HALT, ref="demo: halt")
            self._order(alpha, instrument, "sell", lot, middle, expected=b"8")
            client.phase(instrument.id, Phase.CONTINUOUS, ref="demo: resumed")
        self._order(alpha, instrument, "sell", lot, middle)
        buyer = self._order(bravo, instrument, "buy", lot, middle)
        self._reported(bravo, buyer, b"F", 39, b"2")

    # ---- orders and reports ----

    def _sizes(self, instrument: Instrument) -> tuple[Decimal, Decimal, Decimal]:
        return self.middles[instrument.symbol], instrument.tick, instrument.lot

    def _order(
        self,
        broker: Broker,
        instrument: Instrument,
        side: str,
        qty: Decimal,
        price: Decimal | None,
        *,
        expected: bytes = b"0",
        **fields: object,
    ) -> str:
        """Sends one order and waits for its first report; returns its ClOrdID."""
        clordid = broker.order(instrument.symbol, side, qty, price, **fields)
        self.orders += 1
        self._reported(broker, clordid, expected)
        return clordid

    def _reported(self, broker: Broker, clordid: str, exec_type: bytes, tag: int = 0, value: bytes = b"") -> None:
        """Waits for a report of this order with that ExecType(150) and, if asked for, that value of a tag."""
        name = clordid.encode()

        def there() -> bool:
            of_order = [m for m in broker.inbox if m.get(11) == name and m.get(150) == exec_type]
            return any(not tag or m.get(tag) == value for m in of_order)

        self._until(broker, there)

    @staticmethod
    def _until(broker: Broker, there: Callable[[], bool]) -> None:
        broker.wait_for(there, ANSWER_SECONDS_MAX)
