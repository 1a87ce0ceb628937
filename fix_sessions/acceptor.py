"""The FIX acceptor: sessions from the configuration, one of the two applications, the engine's reports.

`start` first gives every session what became durable without reaching its store (PossResend), then lets brokers in. The
engine must outlive it: `stop` logs everybody out, cancels what is to be cancelled on disconnect, and only then may the
engine be closed. Must never let a broker in before the reports of the last run are where they belong.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from cores import Core
from fix_sessions import library
from fix_sessions.application import Application, served_text
from fix_sessions.logon import Doorkeeper, LogonPolicy
from fix_sessions.mass_quote import quote_codes
from fix_sessions.protection import protections
from fix_sessions.reasons import cancel_codes, order_codes, texts
from fix_sessions.schedule import Attendance, Timekeeper
from venue.busts import Refusal, Why
from venue.config import Config
from venue.log import event

log = logging.getLogger("fix")

STOP_MS_MAX = 5_000
NEWS_BYTES_MAX = 512
APPLICATIONS = ("native", "python")
OWNER = 4
"""Word of an order's slot that says account and session (core.h, canonical state)."""


class Engine(Protocol):
    """What is needed of the engine."""

    @property
    def capsule(self) -> object: ...

    def pending(self, session: int, after_exec_id: int) -> Any: ...

    @property
    def last_seq(self) -> int: ...

    def state(self) -> tuple[int, bytes]: ...


class Acceptor:
    """All FIX sessions of the venue at one TCP port."""

    logon_ms_max = 10_000
    """A connection that is not logged on by then is closed."""

    def __init__(self, config: Config, engine: Engine, store_dir: Path, application: str = "native") -> None:
        """Made right after the engine was opened, before anything else is submitted to it: messages whose entries the
        last process took to its grave are asked for again. `application` may be overruled by the environment's
        VENUE_FIX. Raises ValueError for an unknown one.
        """
        self.application_name = os.environ.get("VENUE_FIX") or application
        if self.application_name not in APPLICATIONS:
            raise ValueError(f"VENUE_FIX must be one of {', '.join(APPLICATIONS)}, is {self.application_name!r}")
        self.config = config
        self.engine = engine
        self.store_dir = store_dir
        self._recovered_seq = engine.last_seq
        self._application = Application(config, engine)
        self._gateway: Any = None
        self._doorkeeper: Doorkeeper | None = None

    @property
    def port(self) -> int:
        """The TCP port in use."""
        return int(self._gateway.port)

    def start(self) -> None:
        """Opens the stores, brings them up to date, listens. Raises OSError or RuntimeError with place and reason."""
        self.store_dir.mkdir(parents=True, exist_ok=True)
        self._gateway = self._make_gateway()
        policy = LogonPolicy(self.config)
        if self.config.logon.password_days_max:
            policy.credentials.remember()
        self._doorkeeper = Doorkeeper(policy, self._gateway.answer_logon)
        self.attendance = Attendance(self._gateway, {s.id: s.comp_id for _, s in self.config.sessions()})
        self.timekeeper = Timekeeper(policy.schedule, self.config.schedule, self.attendance)
        self._application.attach(self._gateway, self._doorkeeper)
        for member, session in self.config.sessions():
            path = self.store_dir / f"session-{session.id}.store"
            cancels, group = session.cancel_on_disconnect, self.config.smp_group(member)
            self._gateway.add_session(
                session.id,
                session.comp_id,
                member.accounts,
                cancels,
                path,
                group,
                *protections(self.config, member),
                cancel_on_logout=session.cancel_on_logout,
                keep_good_till=session.cancel_keeps_good_till,
                messages_per_second=session.messages_per_second,
            )
        self._gateway.open()
        self._catch_up()
        self.attendance.make_up_for_reset(policy.schedule)
        self._application.start()
        self._doorkeeper.start()
        self._gateway.start()
        self.timekeeper.start()

    def stop(self, reason: str = "the venue is closing") -> None:
        """Logs everybody out with this reason; waits for their answers, but not for long. Idempotent."""
        if self._gateway is None or self._doorkeeper is None:
            return
        self.timekeeper.stop()
        self._gateway.stop(reason, STOP_MS_MAX)
        self._application.stop()
        if self._doorkeeper.thread.is_alive():
            self._doorkeeper.stop()

    def log_out(self, session: int, reason: str) -> None:
        """Logs one session out; it may log on again."""
        self._gateway.log_out(session, reason)

    # ---- what operators and the schedule do ----

    def begin_generation(self, session: int, text: str) -> None:
        """Numbers from 1; whoever is logged on is logged out so. Undelivered reports go on in the new generation."""
        self._gateway.begin_generation(session, text)

    def tell(self, headline: str, session: int | None = None, *, urgent: bool = True) -> list[str]:
        """News(B) to everybody who is logged on, or to one session; returns who was told."""
        return self.attendance.tell(headline, session, urgent=urgent)

    def operate(self, asked: dict[str, Any]) -> dict[str, Any]:
        """One verb of an operator. Raises ValueError for one that is not understood."""
        verb, text = asked["verb"], str(asked.get("text") or "")
        numbers = {session.comp_id: session.id for _, session in self.config.sessions()}
        number = numbers.get(str(asked.get("session")))
        if asked.get("session") is not None and number is None:
            raise ValueError(f"session {asked['session']!r} is unknown")
        if not (len(text) <= NEWS_BYTES_MAX and text.isascii() and text.isprintable()):
            raise ValueError(f"a text has at most {NEWS_BYTES_MAX} printable ASCII characters")
        if verb == "news" and text:
            return {"told": self.tell(text, number)}
        if verb == "unlock":
            return {"unlocked": self.unlock(str(asked.get("name")))}
        if verb == "parents":
            return {"parents": self.parents()}
        if verb == "end_parent" and text:
            ended = self._application.floor.algorithms.end(int(asked.get("order_id") or 0), text)
            if ended is None:
                raise ValueError(f"order {asked.get('order_id')} is no parent order that is at work")
            return {"ending": ended}
        if verb == "bust":
            return self._bust(asked, text)
        if verb == "locks":
            return {"locks": self.locked()}
        if verb == "log_out" and number is not None and text:
            self.log_out(number, text)
            return {"logged_out": asked["session"]}
        if verb == "reset_session" and number is not None and text:
            self.begin_generation(number, text)
            return {"reset": asked["session"]}
        raise ValueError(
            f"verb {verb!r}: not one of news, unlock, locks, parents, end_parent, bust, log_out and reset_session, or "
            "without its text"
        )

    def _bust(self, asked: dict[str, Any], reason: str) -> dict[str, Any]:
        actor, approver, peer = (str(asked.get(name) or "") for name in ("actor", "approver", "peer"))
        found = self._application.floor.busts.bust(str(asked.get("trade")), Why(actor, approver, reason, peer))
        if isinstance(found, Refusal):
            raise ValueError(found.text)
        return found

    def unlock(self, name: str) -> int:
        """Ends the lock-outs of a CompID or of an address; returns how many there were."""
        assert self._doorkeeper is not None, "started"
        return self._doorkeeper.policy.lockout.unlock(name)

    def locked(self) -> list[dict[str, object]]:
        """Who is locked out."""
        return self._doorkeeper.policy.lockout.locked() if self._doorkeeper is not None else []

    def sessions(self) -> list[dict[str, Any]]:
        """What operators ask about every session."""
        return [
            {
                "id": session.id,
                "comp_id": session.comp_id,
                "member": member.id,
                **self._gateway.session_status(session.id),
            }
            for member, session in self.config.sessions()
        ]

    def parents(self) -> list[dict[str, Any]]:
        """The parents of execution algorithms that are at work."""
        return [
            {**parent.view(), "session": self._application.terms.members[parent.session][1].comp_id}
            for parent in self._application.floor.algorithms.live
        ]

    def counters(self) -> dict[str, int]:
        """Running counts: messages, logons, refusals, slow consumers."""
        return dict(self._gateway.counters())

    def check(self) -> None:
        """Asserts that every session store is consistent; only while nothing is sent."""
        assert self._gateway.check_stores(), "a session store is not consistent"
        self._application.check()

    def _make_gateway(self) -> Any:
        native = library.load()
        config = self.config
        return native.Gateway(
            self.engine,
            self._application,
            comp_id=config.venue.name,
            host=config.fix.host,
            port=config.fix.port,
            dictionary_path=dictionary_path(),
            served=served_text(),
            native=self.application_name == "native",
            hot_lane=os.environ.get("VENUE_FIX_HOT_LANE") != "off",
            queue_bytes_max=config.fix.queue_bytes_max,
            proxy_protocol=bool(config.fix.proxy_networks),
            generations_max=config.schedule.generations_max,
            logon_ms_max=self.logon_ms_max,
            instruments=instrument_terms(config),
            texts=texts(config, None),
            order_codes=order_codes(),
            cancel_codes=cancel_codes(),
            quote_codes=quote_codes(),
        )

    def _catch_up(self) -> None:
        """Reports of the last run that no store has, messages it did not journal, books where orders still rest."""
        for _, session in self.config.sessions():
            missed = self.engine.pending(session.id, self._gateway.last_exec_id(session.id))
            if len(missed):
                event(log, "reports to be sent again", session=session.comp_id, reports=len(missed))
                self._gateway.resend(np.ascontiguousarray(missed))
            lost = self._gateway.rewind(session.id, self._recovered_seq)
            if lost:
                event(log, "messages to be asked for again", session=session.comp_id, messages=lost)
        for session_id, symbol, account in open_books(self.engine.state()[1]):
            if session_id in self._application.session_numbers():
                self._gateway.add_book(session_id, symbol, account)


def open_books(state: bytes) -> set[tuple[int, int, int]]:
    """(session, symbol, account) of every order that rests, from the core's canonical state."""
    core = Core.restore(state)
    owners = [(core.walk_symbol(symbol)[1:, OWNER], symbol) for symbol in range(core.symbol_count)]
    return {(int(o) >> 32 & 0xFFFF, symbol, int(o) & 0xFFFFFFFF) for words, symbol in owners for o in np.unique(words)}


def instrument_terms(config: Config) -> list[tuple[Any, ...]]:
    """What the native gateway is told of every instrument."""
    return [
        (
            i.symbol,
            int(i.tick.scaleb(i.price_scale)),
            i.price_scale,
            int(i.lot.scaleb(i.qty_scale)),
            i.qty_scale,
            texts(config, i),
        )
        for i in config.instruments
    ]


def dictionary_path() -> Path:
    """The venue's FIX dictionary: beside this module when installed, in `spec/` in a working tree."""
    here = Path(__file__).parent
    for path in (here / "FIX44.xml", here.parent / "spec" / "FIX44.xml"):
        if path.exists():
            return path
    raise FileNotFoundError(f"FIX44.xml is neither in {here} nor in {here.parent / 'spec'}; install the venue again")
