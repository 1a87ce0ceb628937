"""FIX sessions of a process that has no engine: the market data gateway's, the drop-copy gateway's.

The same native gateway as the acceptor's, so logon, sequence numbers, stores, resends, bounded queues, slow consumers
and heartbeats are the same; only that nothing can be submitted and no report comes by itself. One thread serves all
sessions; it never waits for a client. Must never serve a session of another kind than its own.

    class Desk:                                          # called on the gateway's thread, so each call must be short
        def on_message(self, session: int, number: int, body: bytes, poss_dup: bool) -> int: ...
        def on_session(self, session: int, logged_on: bool, text: str) -> None: ...
        def on_turn(self) -> None: ...
        def on_tick(self) -> None: ...

    listener = Listener(config, "market_data", host, port, store_dir, Desk(), "V, x and e")
    listener.start(); listener.port
    listener.send_body([21, 22], b"W", b"262=r1\x0155=ACME\x01...")      # any thread
    listener.stop()

- `on_message`: one application message that the dictionary allows. `body` is `35=X`, SOH and the body's fields as
  received; `messages.first_fields` and `messages.fields` read it; `number` is its MsgSeqNum. Return 0, or a tag whose
  value is then refused with a session Reject(3). Administrative messages never come here.
- `on_session`: logged on (`text` is the peer's address) or out (`text` is the reason). Subscriptions end there.
- `on_turn`: after each turn of the gateway's thread, at least every millisecond, while `want_turns(True)` asks for it.
- `on_tick`: every 200 ms, while `want_ticks(True)` asks for it.
- The last argument names the types that are served, for the refusal of any other that FIX knows.
- `send` and `send_body` may be called from any thread. From the gateway's own thread (inside the calls above) they take
  effect at once; from another they are queued in the order of the calls, so mix the two for one session only when their
  order does not matter. What is queued is bounded by `settle()`: call it after every few hundred messages.
- `kept=True`: the message is in the session's store, so it waits for a client that is away and is sent again when asked
  for. `kept=False`: only who is logged on gets it; a ResendRequest(2) gets a gap fill in its place. Market data is not
  kept: what is old is worth nothing, and the store stays small.
- `unsent(session)`: bytes that the client has not read yet, without waiting: conflate on it. Beyond
  `fix.queue_bytes_max` the gateway logs the session out as a slow consumer by itself.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

from fix_sessions import library
from fix_sessions.acceptor import STOP_MS_MAX, dictionary_path, instrument_terms
from fix_sessions.logon import Doorkeeper, LogonPolicy, tell_refused
from fix_sessions.mass_quote import quote_codes
from fix_sessions.messages import Field
from fix_sessions.reasons import cancel_codes, order_codes, texts
from fix_sessions.schedule import Attendance, Timekeeper
from venue.config import Config
from venue.log import event

log = logging.getLogger("fix")


class Desk(Protocol):
    """What a gateway does with its sessions; all of it on the gateway's thread."""

    def on_message(self, session: int, number: int, body: bytes, poss_dup: bool) -> int: ...

    def on_session(self, session: int, logged_on: bool, text: str) -> None: ...

    def on_turn(self) -> None: ...

    def on_tick(self) -> None: ...


class Listener:
    """All FIX sessions of one kind at one TCP port."""

    logon_ms_max = 10_000
    """A connection that is not logged on by then is closed."""

    def __init__(
        self, config: Config, kind: str, host: str, port: int, store_dir: Path, application: Desk, served: str
    ) -> None:
        """`kind` is a session's of the configuration; port 0 takes a free one; `served`: see above."""
        self.config = config
        self.kind = kind
        self.host = host
        self.store_dir = store_dir
        self.served = served
        self._wanted_port = port
        self._calls = _Calls(application, {session.id: session.comp_id for _, session in config.sessions(kind)})
        self._gateway: Any = None
        self._doorkeeper: Doorkeeper | None = None
        self._sources: dict[int, bytes] = {}

    @property
    def port(self) -> int:
        """The TCP port in use."""
        return int(self._gateway.port)

    # ---- life ----

    def open(self) -> None:
        """Opens the stores and listens, lets nobody in yet: what is sent now is kept for its session. Raises OSError or
        RuntimeError with place and reason."""
        self.store_dir.mkdir(parents=True, exist_ok=True)
        self._gateway = self._make_gateway()
        policy = LogonPolicy(self.config, self.kind)
        if self.config.logon.password_days_max:
            policy.credentials.remember()
        self._doorkeeper = Doorkeeper(policy, self._gateway.answer_logon)
        self._calls.doorkeeper = self._doorkeeper
        attendance = Attendance(self._gateway, self._calls.names)
        self.timekeeper = Timekeeper(policy.schedule, self.config.schedule, attendance)
        for member, session in self.config.sessions(self.kind):
            path = self.store_dir / f"session-{session.id}.store"
            self._gateway.add_session(
                session.id,
                session.comp_id,
                member.accounts,
                False,
                path,
                messages_per_second=session.messages_per_second,
            )
        self._gateway.open()
        attendance.make_up_for_reset(policy.schedule)

    def start(self) -> None:
        """Lets clients in; opens first, when that was not done yet."""
        if self._gateway is None:
            self.open()
        assert self._doorkeeper is not None, "made by open"
        self._doorkeeper.start()
        self._gateway.start()
        self.timekeeper.start()

    def stop(self, reason: str = "the venue is closing") -> None:
        """Logs everybody out with this reason; waits for their answers, but not for long. Idempotent."""
        if self._gateway is None or self._doorkeeper is None:
            return
        self.timekeeper.stop()
        self._gateway.stop(reason, STOP_MS_MAX)
        if self._doorkeeper.thread.is_alive():
            self._doorkeeper.stop()

    # ---- sending ----

    def send(self, session: int, msg_type: bytes, fields: Iterable[Field], *, kept: bool = True) -> None:
        """One message of these fields, in their order."""
        self.send_body(session, msg_type, b"".join(b"%d=%s\x01" % field for field in fields), kept=kept)

    def send_body(self, sessions: int | Sequence[int], msg_type: bytes, body: bytes, *, kept: bool = True) -> None:
        """One message to a session or to many, its fields encoded already: `tag=value` and SOH each, MsgType left out.

        Costs one call whatever the number of sessions; the interpreter's lock is given up.
        """
        numbers = [sessions] if isinstance(sessions, int) else sessions
        self._gateway.publish(numbers, msg_type, body, kept)

    def business_reject(
        self, session: int, number: int, msg_type: bytes, code: int, text: bytes, reference: bytes = b""
    ) -> None:
        """BusinessMessageReject(j) of message `number`; `reference` is BusinessRejectRefID(379)."""
        fields: list[Field] = [(45, b"%d" % number), (58, text), (372, msg_type), (380, b"%d" % code)]
        self.send(session, b"j", fields + ([(379, reference)] if reference else []))

    # ---- copies of reports ----

    def add_source(self, session: int, header: bytes) -> None:
        """A session whose reports are copied, and what the copies' header says of it; between `open` and `start`."""
        self._gateway.add_source(session, header)
        self._sources[session] = header

    def copy(
        self, session: int, reports: Any, *, reached: int = 0, poss_resend: bool = False, replay: bool = False
    ) -> None:
        """The 8 and 9 of these reports, each with CopyMsgIndicator(797)=Y.

        `reached`: with these the session has all that it must get up to this execution. A replay says
        ApplResendFlag(1352)=Y and is not kept.
        """
        self._gateway.copy(session, reports, reached, poss_resend, replay)

    def copy_message(
        self,
        session: int,
        source: int,
        exec_id: int,
        msg_type: bytes,
        fields: Iterable[Field],
        *,
        poss_resend: bool = False,
        replay: bool = False,
    ) -> None:
        """One message that was made here and not of a report alone, copied as `copy` does."""
        body = (b"97=Y\x01" if poss_resend or replay else b"") + self._sources[source]
        body += b"".join(b"%d=%s\x01" % field for field in fields)
        body += b"797=Y\x01" + (b"1352=Y\x01" if replay else b"")
        self._gateway.publish([session], msg_type, body, not replay, 0 if replay else exec_id)

    def last_exec_id(self, session: int) -> int:
        """Up to which execution the session's store has all that it must get, 0: nothing yet; only before `start`."""
        return int(self._gateway.last_exec_id(session))

    @property
    def incomplete(self) -> bool:
        """Whether a store could not take a copy: begin again from what the stores have."""
        return bool(self._gateway.incomplete)

    def settle(self) -> None:
        """Waits until all that was sent before is in the sessions' queues and stores; not from the gateway's thread."""
        self._gateway.settle()

    def unsent(self, session: int) -> int:
        """Bytes that the client has not read yet; does not wait."""
        return int(self._gateway.unsent(session))

    def want_turns(self, wanted: bool) -> None:
        """Whether `on_turn` is called; on the gateway's thread, or between `open` and `start`."""
        self._gateway.want_turns(wanted)

    def want_ticks(self, wanted: bool) -> None:
        """Whether `on_tick` is called; on the gateway's thread, or between `open` and `start`."""
        self._gateway.want_ticks(wanted)

    # ---- operators ----

    def log_out(self, session: int, reason: str) -> None:
        """Logs one session out; it may log on again."""
        self._gateway.log_out(session, reason)

    def sessions(self) -> list[dict[str, Any]]:
        """What operators ask about every session."""
        return [
            {
                "id": session.id,
                "comp_id": session.comp_id,
                "member": member.id,
                **self._gateway.session_status(session.id),
            }
            for member, session in self.config.sessions(self.kind)
        ]

    def counters(self) -> dict[str, int]:
        """Running counts: messages, logons, refusals, slow consumers."""
        return dict(self._gateway.counters())

    def check(self) -> None:
        """Asserts that every session store is consistent; only while nothing is sent."""
        assert self._gateway.check_stores(), "a session store is not consistent"

    def _make_gateway(self) -> Any:
        native, config = library.load(), self.config
        return native.Gateway(
            native.NoEngine(),
            self._calls,
            comp_id=config.venue.name,
            host=self.host,
            port=self._wanted_port,
            dictionary_path=dictionary_path(),
            served=self.served.encode(),
            native=False,
            hot_lane=False,
            queue_bytes_max=config.fix.queue_bytes_max,
            logon_ms_max=self.logon_ms_max,
            proxy_protocol=bool(config.fix.proxy_networks),
            generations_max=config.schedule.generations_max,
            instruments=instrument_terms(config),
            texts=texts(config, None),
            order_codes=order_codes(),
            cancel_codes=cancel_codes(),
            quote_codes=quote_codes(),
        )


class _Calls:
    """What the native gateway calls, handed on to the desk."""

    def __init__(self, desk: Desk, names: dict[int, str]) -> None:
        self.desk = desk
        self.names = names
        self.doorkeeper: Doorkeeper | None = None

    def session_numbers(self) -> list[int]:
        return list(self.names)

    def on_message(self, session: int, number: int, body: bytes, poss_dup: bool) -> int:
        return self.desk.on_message(session, number, body, poss_dup)

    def on_reports(self, reports: Any, poss_resend: bool, sent: bool) -> None:
        raise AssertionError("reports come from an engine, and there is none")

    def on_logon_request(self, connection: int, message: bytes, peer: str) -> None:
        assert self.doorkeeper is not None, "made before the gateway starts"
        self.doorkeeper.ask(connection, message, peer)

    def on_session(self, session: int, logged_on: bool, text: str) -> None:
        what, name = ("session logged on", "peer") if logged_on else ("session logged out", "reason")
        event(log, what, session=self.names[session], **{name: text})
        self.desk.on_session(session, logged_on, text)

    def on_refused(self, comp_id: str, peer: str, text: str) -> None:
        tell_refused(comp_id, peer, text)

    def on_turn(self) -> None:
        self.desk.on_turn()

    def on_tick(self) -> None:
        self.desk.on_tick()
