"""The Python application: every message of the venue, readable; the native one serves D, F and G and their 8 and 9.

With `VENUE_FIX=python` it serves those too: reference, fallback and second implementation for the tests. This is the
dispatcher: each message goes to the area that serves its type, each report to the areas that look at reports. It runs
on the gateway's thread.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cores import CommandKind, Tif
from fix_sessions import messages
from fix_sessions.algorithms import Algorithms
from fix_sessions.area import REASON_UNSUPPORTED_TYPE, Area, Floor, Inbound
from fix_sessions.codec import TagRefused, Terms, is_order_event
from fix_sessions.logon import tell_refused
from fix_sessions.mass_cancels import MassCancels
from fix_sessions.mass_status import MassStatus
from fix_sessions.order_desk import OrderDesk
from fix_sessions.order_lists import OrderLists
from fix_sessions.positions import Positions
from fix_sessions.quotes import Quotes
from fix_sessions.trade_captures import TradeCaptures
from venue.config import Config
from venue.log import event

if TYPE_CHECKING:
    from fix_sessions.logon import Doorkeeper

log = logging.getLogger("fix")

AREAS: tuple[type[Area], ...] = (
    Algorithms,
    OrderDesk,
    MassCancels,
    MassStatus,
    OrderLists,
    Positions,
    TradeCaptures,
    Quotes,
)
"""What the order entry gateway serves; a further area is one more line."""


def served_types() -> list[bytes]:
    """Every message type that an area serves, short ones first."""
    return sorted((kind for area in AREAS for kind in area.serves), key=lambda kind: (len(kind), kind))


def served_text() -> bytes:
    """`D, F, G, H and q`: the end of the refusal of any other type, in both applications."""
    *most, last = served_types()
    return b", ".join(most) + b" and " + last


class Application:
    """What the gateway hands to Python."""

    def __init__(self, config: Config, engine: Any = None) -> None:
        self.floor = Floor(config, engine)
        self.areas = [area(self.floor) for area in AREAS]
        self._desk = next(area for area in self.areas if isinstance(area, OrderDesk))
        self._looking = [area for area in self.areas if type(area).on_report is not Area.on_report]
        self._doorkeeper: Doorkeeper | None = None
        self.served: dict[bytes, Area] = {kind: area for area in self.areas for kind in area.serves}
        assert len(self.served) == len(served_types()), "two areas serve one message type"

    @property
    def terms(self) -> Terms:
        return self.floor.terms

    def attach(self, gateway: Any, doorkeeper: Doorkeeper) -> None:
        self.floor.gateway, self._doorkeeper = gateway, doorkeeper

    def start(self) -> None:
        """The stores are up to date; nobody is let in yet."""
        for area in self.areas:
            area.on_start()

    def stop(self) -> None:
        """The gateway has ended; the engine still runs. Idempotent."""
        self.floor.close()
        for area in self.areas:
            area.on_stop()

    def session_numbers(self) -> list[int]:
        return list(self.terms.members)

    def check(self) -> None:
        """Asserts the invariants of every area."""
        for area in self.areas:
            area.check()

    # ---- called by the gateway ----

    def on_message(self, session: int, number: int, body: bytes, poss_dup: bool) -> int:
        """One message that is not native. Returns 0, or the tag whose value is refused with a session Reject."""
        message = Inbound(session, number, messages.first_fields(body), body, poss_dup)
        area = self.served.get(message.values[35])
        if area is None:
            text = b"MsgType(35) " + message.values[35] + b" is not served here; " + served_text() + b" are"
            self.floor.business_reject(message, REASON_UNSUPPORTED_TYPE, text)
            return 0
        try:
            area.serve(message)
        except TagRefused as refused:
            return refused.tag
        return 0

    def on_reports(self, reports: npt.NDArray[np.void], poss_resend: bool, sent: bool) -> None:
        """Reports that became durable, in order; `sent`: the native application has sent their 8 or 9."""
        for report in reports:
            if int(report["session"]) not in self.terms.members:
                continue
            if not is_order_event(report):
                self._end_round()
            if not sent:
                self._desk.report(report, poss_resend)
            for area in self._looking:
                area.on_report(report, poss_resend)
        self._end_round()

    def _end_round(self) -> None:
        for area in self._looking:
            area.on_round()

    def on_logon_request(self, connection: int, message: bytes, peer: str) -> None:
        assert self._doorkeeper is not None, "attached before start"
        self._doorkeeper.ask(connection, message, peer)

    def on_session(self, session: int, logged_on: bool, text: str) -> None:
        comp_id = self.terms.members[session][1].comp_id
        if logged_on:
            event(log, "session logged on", session=comp_id, peer=text)
        else:
            event(log, "session logged out", session=comp_id, reason=text)
        self.floor.on_session(session, logged_on)
        for area in self.areas:
            area.on_session(session, logged_on)

    def on_refused(self, comp_id: str, peer: str, text: str) -> None:
        tell_refused(comp_id, peer, text)

    def on_cancel_orders(self, session: int, text: str) -> None:
        """A session is gone: what is not good till its end is cancelled, order by order."""
        body = b"verb=cancel_on_disconnect\x01actor=%s\x01ref=%s\x01" % (
            self.terms.members[session][1].comp_id.encode(),
            text.encode("ascii", "replace"),
        )
        self.floor.algorithms.cancel_on_disconnect(session)
        for order in self.floor.engine.session_orders(session):
            if order["tif"] in (Tif.GTC, Tif.GTD):
                continue
            words = (CommandKind.CANCEL | order["symbol"] << 48, 0, 0, order["account"], order["order_id"], 0, 0, 0)
            self.floor.gateway.submit(words, b"", b"", body, False)

    def on_turn(self) -> None:
        """After each round of reports, while something waits for them."""
        self.floor.on_turn()

    def on_tick(self) -> None:
        """Several times a second, while somebody wants it."""
        for call in tuple(self.floor.each_tick):
            call()
