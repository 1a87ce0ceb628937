"""Who may log on: CompID, user name, password, signature and network against the configuration, on a thread of its own.

A password check costs tens of milliseconds on purpose; the gateway's thread never waits for it. An unknown user costs
as much as a known one and is told the same, so that nobody learns who exists. Must never log a password.
"""

from __future__ import annotations

import functools
import hmac
import logging
import queue
import re
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from fix_sessions.admission import Address, Lockout, Networks, address_of, place_of
from fix_sessions.credentials import Credentials, CredentialsError
from fix_sessions.messages import first_fields
from fix_sessions.schedule import Schedule
from fix_sessions.signatures import Signatures, public_key
from venue.config import Config, Session
from venue.log import event

log = logging.getLogger("fix")

WAITING_MAX = 64
REFUSED = (
    "unknown SenderCompID(49), Username(553) or Password(554), or not signed, or from a network that is not allowed; "
    "check them against what the venue gave you"
)
STATUS_CHANGED = "1"  # of SessionStatus(1409)
STATUS_NOT_COMPLIANT = "3"
STATUS_LOCKED = "6"
STATUS_EXPIRED = "8"
COMP_ID_BYTES_MAX = 64
PASSWORD_BYTES_MAX = 128
DIFFERENT_MIN = 5
NS = 10**9


def hash_password(password: str) -> str:
    """What belongs into the configuration for a password."""
    return PasswordHasher().hash(password)


@functools.cache
def nobody() -> str:
    """A hash that costs what `hash_password`'s costs and that no password matches."""
    return PasswordHasher().hash(secrets.token_hex())


@dataclass(frozen=True)
class Decision:
    """No refusal: let in. `status` is SessionStatus(1409) of the answer, empty for none."""

    refusal: str = ""
    status: str = ""


class LogonPolicy:
    """Decides about a Logon by itself; what depends on the session's state is the gateway's business.

    Used by one thread, but for `lockout`.
    """

    def __init__(self, config: Config, kind: str = "order_entry", now_ns: Callable[[], int] = time.time_ns) -> None:
        """Raises CredentialsError."""
        self.config = config
        self.sessions = {session.comp_id.encode(): session for _, session in config.sessions(kind)}
        self.hasher = PasswordHasher()
        self.lockout = Lockout(config.logon)
        self.schedule = Schedule(config.schedule)
        self._now_ns = now_ns
        configured = {s.comp_id: s.password_hash for s in self.sessions.values() if s.password_hash}
        self.credentials = Credentials(config.data_dir / f"credentials-{kind}.json", configured, lambda: now_ns() / NS)
        self._signatures = Signatures(config.logon.signature_seconds, now_ns)
        self._keys = {s.comp_id: public_key(s.public_key) for s in self.sessions.values() if s.public_key}
        self._networks = {session.comp_id: Networks(session.networks) for session in self.sessions.values()}
        self._terminators = Networks(config.fix.proxy_networks)

    def refusal(self, message: bytes, peer: str = "") -> str:
        """Why this Logon is refused; empty when it is let in."""
        return self.decide(message, peer).refusal

    def decide(self, message: bytes, peer: str = "") -> Decision:
        """`peer` is `host:port`, and behind a terminator a space and the terminator's."""
        found = first_fields(message)
        source, _, terminator = peer.partition(" ")
        if terminator and address_of(terminator) not in self._terminators:
            return Decision("connections come through the venue's terminator only")
        comp_id, address = found.get(49, b"")[:COMP_ID_BYTES_MAX], address_of(source)
        place = place_of(address)
        seconds = self.lockout.seconds_left(comp_id, place)
        if seconds:
            text = f"too many failed logons from {place}; try again in {seconds} seconds, or ask the venue"
            return Decision(text, STATUS_LOCKED)
        session = self.sessions.get(comp_id)
        fault = self._identity_fault(session, address, found)
        if fault:
            if self.lockout.failed(comp_id, place):
                name = comp_id.decode("ascii", "replace")
                event(log, "locked out", logging.WARNING, alarm="logon", comp_id=name, address=place)
            return Decision(fault)
        assert session is not None, "identified"
        fault = self._terms_fault(found) or self.schedule.closed_text(self._now_ns())
        if fault:
            return Decision(fault)
        self.lockout.passed(comp_id, place)
        decision = self._password_decision(session, found)
        if not decision.refusal and session.public_key:
            self._signatures.use(found)
        return decision

    def check(self) -> None:
        """Asserts what its parts promise."""
        self.lockout.check()
        self.credentials.check()
        self._signatures.check()

    def _identity_fault(self, session: Session | None, address: Address | None, found: dict[int, bytes]) -> str:
        """Whether it is who it says, from where it may be. Everything is looked at, whatever was found before."""
        expected = session.username.encode() if session else b""
        known = hmac.compare_digest(expected, found.get(553, b"")) and session is not None
        comp_id = session.comp_id if session else ""
        hashed = self.credentials.hash_of(comp_id) if session is not None and session.password_hash else nobody()
        right = self._verified(hashed, found.get(554, b""))
        known = known and (right or (session is not None and not session.password_hash))
        known = known and (session is not None and address in self._networks[comp_id])
        key = self._keys.get(comp_id)
        signature = self._signatures.fault(found, key) if self._keys else ""  # where nobody signs nothing can be told
        if session is None or not known or (key is not None and signature == "signature"):
            return REFUSED
        if key is not None and self._signatures.full():
            return "too many logons were signed; try again in a minute"
        return signature if key is not None else ""

    def _terms_fault(self, found: dict[int, bytes]) -> str:
        name = self.config.venue.name
        if found.get(56) != name.encode():
            return f"TargetCompID(56) must be {name}"
        seconds = int(found[108]) if re.fullmatch(rb"[0-9]{1,9}", found.get(108, b"")) else -1
        low, high = self.config.fix.heartbeat_seconds_min, self.config.fix.heartbeat_seconds_max
        if not low <= seconds <= high:
            return f"HeartBtInt(108) must be from {low} to {high} seconds"
        if found.get(141) == b"Y" and found.get(34) != b"1":
            return "with ResetSeqNumFlag(141)=Y MsgSeqNum(34) must be 1"
        return ""

    def _password_decision(self, session: Session, found: dict[int, bytes]) -> Decision:
        """A new password is taken, an old one that is due is refused."""
        new, days = found.get(925), self.config.logon.password_days_max
        if new is None:
            if days and session.password_hash and self.credentials.age_days(session.comp_id) > days:
                text = f"the password is older than {days} days; log on with a NewPassword(925)"
                return Decision(text, STATUS_EXPIRED)
            return Decision()
        fault = self._new_password_fault(session, new)
        if fault:
            return Decision(fault, STATUS_NOT_COMPLIANT)
        try:
            self.credentials.change(session.comp_id, self.hasher.hash(new))
        except CredentialsError as error:
            event(log, "password not changed", logging.ERROR, alarm="logon", comp_id=session.comp_id, reason=str(error))
            return Decision("the new password could not be kept and the old one stays; try again, or ask the venue")
        event(log, "password changed", comp_id=session.comp_id)
        return Decision("", STATUS_CHANGED)

    def _new_password_fault(self, session: Session, new: bytes) -> str:
        least = self.config.logon.password_length_min
        if not session.password_hash:
            return "NewPassword(925): this session signs and has no password"
        if not least <= len(new) <= PASSWORD_BYTES_MAX or not all(32 < byte < 127 for byte in new):
            return f"NewPassword(925) must have {least} to {PASSWORD_BYTES_MAX} printable characters without blanks"
        if session.username.lower().encode() in new.lower() or len(set(new)) < DIFFERENT_MIN:
            return f"NewPassword(925) must not hold the user name, and have {DIFFERENT_MIN} different characters"
        if any(self._verified(hashed, new) for hashed in self.credentials.previous(session.comp_id)):
            return "NewPassword(925) was used before"
        return ""

    def _verified(self, hashed: str, password: bytes) -> bool:
        try:
            return self.hasher.verify(hashed, password)
        except (VerificationError, InvalidHashError):
            return False


class Doorkeeper:
    """Answers logon requests one after the other on its own thread."""

    def __init__(self, policy: LogonPolicy, answer: Callable[..., None]) -> None:
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
                decision = self.policy.decide(message, peer)
            except Exception as error:
                event(log, "logon check failed", logging.ERROR, error=repr(error))
                decision = Decision("the logon could not be checked; ask the venue")
            reason, status = decision.refusal, (decision.status,) if decision.status else ()
            self.answer(connection, reason, *status)


def tell_refused(comp_id: str, peer: str, reason: str) -> None:
    """Somebody was not let in, or was no session of ours: for operators, whoever found the reason."""
    event(log, "logon refused", logging.WARNING, comp_id=comp_id, peer=peer, reason=reason)
