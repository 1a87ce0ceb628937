"""Who may log on: CompID, user name and password against the configuration, on a thread of its own.

A password check costs tens of milliseconds on purpose; the gateway's thread never waits for it. An unknown user costs
as much as a known one and is told the same, so that nobody learns who exists. Must never log a password.
"""

from __future__ import annotations

import functools
import hmac
import logging
import queue
import secrets
import threading
from collections.abc import Callable

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from fix_sessions.messages import first_fields
from venue.config import Config, Session
from venue.log import event

log = logging.getLogger("fix")

WAITING_MAX = 64
REFUSED = "unknown SenderCompID(49), Username(553) or Password(554); check the three against what the venue gave you"


def hash_password(password: str) -> str:
    """What belongs into the configuration for a password."""
    return PasswordHasher().hash(password)


@functools.cache
def nobody() -> str:
    """A hash that costs what `hash_password`'s costs and that no password matches."""
    return PasswordHasher().hash(secrets.token_hex())


class LogonPolicy:
    """Decides about a Logon by itself; what depends on the session's state is the gateway's business."""

    def __init__(self, config: Config, kind: str = "order_entry") -> None:
        self.config = config
        self.sessions = {session.comp_id.encode(): session for _, session in config.sessions(kind)}
        self.hasher = PasswordHasher()

    def refusal(self, message: bytes) -> str:
        """Why this Logon is refused; empty when it is let in."""
        found = first_fields(message)
        session = self.sessions.get(found.get(49, b""))
        if not self._known(session, found.get(553, b""), found.get(554, b"")):
            return REFUSED
        name = self.config.venue.name
        if found.get(56) != name.encode():
            return f"TargetCompID(56) must be {name}"
        seconds = int(found[108]) if found.get(108, b"").isdigit() else -1
        low, high = self.config.fix.heartbeat_seconds_min, self.config.fix.heartbeat_seconds_max
        if not low <= seconds <= high:
            return f"HeartBtInt(108) must be from {low} to {high} seconds"
        if found.get(141) == b"Y" and found.get(34) != b"1":
            return "with ResetSeqNumFlag(141)=Y MsgSeqNum(34) must be 1"
        return ""

    def _known(self, session: Session | None, username: bytes, password: bytes) -> bool:
        expected = session.username.encode() if session else b""
        named = hmac.compare_digest(expected, username) and session is not None
        try:
            self.hasher.verify(session.password_hash if session else nobody(), password)
        except (VerificationError, InvalidHashError):
            return False
        return named


class Doorkeeper:
    """Answers logon requests one after the other on its own thread."""

    def __init__(self, policy: LogonPolicy, answer: Callable[[int, str], None]) -> None:
        self.policy = policy
        self.answer = answer
        self.requests: queue.Queue[tuple[int, bytes, str] | None] = queue.Queue(WAITING_MAX)
        self.thread = threading.Thread(target=self._run, name="logon", daemon=True)

    def start(self) -> None:
        self.thread.start()

    def stop(self) -> None:
        self.requests.put(None)
        self.thread.join()

    def ask(self, connection: int, message: bytes, peer: str) -> None:
        """Takes a request; never waits."""
        try:
            self.requests.put_nowait((connection, message, peer))
        except queue.Full:
            self.answer(connection, "too many logons at once; try again in a moment")

    def _run(self) -> None:
        nobody()
        while (request := self.requests.get()) is not None:
            connection, message, peer = request
            try:
                refusal = self.policy.refusal(message)
            except Exception as error:
                event(log, "logon check failed", logging.ERROR, error=repr(error))
                refusal = "the logon could not be checked; ask the venue"
            if refusal:
                event(log, "logon refused", logging.WARNING, comp_id=_comp_id(message), peer=peer, reason=refusal)
            self.answer(connection, refusal)


def _comp_id(message: bytes) -> str:
    return first_fields(message).get(49, b"").decode("ascii", "replace")[:64]
