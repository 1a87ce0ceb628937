"""Certification by watching: which cases a broker's own session has shown, read from the venue's store of that session.

The store has every message that the venue sent on the session, so it shows what the broker has provoked: orders of
each type, refusals, cancels, gaps. It is read, never written, and may belong to a running venue. What a case's traffic
has not shown is not failed but not seen yet. Must never call a case shown on a message that was not sent.
"""

from __future__ import annotations

import struct
from pathlib import Path

from fix_sessions.certification import PASSED, SKIPPED, Case, Message, Result, readable
from fix_sessions.certification_cases import CASES

MAGIC = 0x3145524F54535646
HEAD_BYTES = 4096
TAKEN_BYTES = 65536 * 16
RECORD = struct.Struct("<IIQQII")
"""Bytes of the whole record, check, MsgSeqNum, ExecID, bytes of the message, reserved: store.cpp."""
EVIDENCE_MAX = 5


def stored(path: Path) -> list[bytes]:
    """The messages in a session's store, oldest first. Raises ValueError when the file is no store."""
    data = path.read_bytes()
    if len(data) < HEAD_BYTES + TAKEN_BYTES or int.from_bytes(data[:8], "little") != MAGIC:
        raise ValueError(f"{path} is no session store; it is fix/session-N.store in the venue's data folder")
    used = min(int.from_bytes(data[8:16], "little"), len(data))
    found, at = [], HEAD_BYTES + TAKEN_BYTES
    while at + RECORD.size <= used:
        size, _, _, _, message_bytes, _ = RECORD.unpack_from(data, at)
        message = data[at + RECORD.size : at + RECORD.size + message_bytes]
        if size < RECORD.size + message_bytes or at + size > used or not message.startswith(b"8=FIX.4.4\x01"):
            break  # what follows is being written
        found.append(message)
        at += size
    return found


def read(message: bytes) -> Message:
    """A message's fields."""
    parts = (part.partition("=") for part in message.decode("latin-1").split("\x01"))
    return {int(tag): value for tag, _, value in parts if tag.isdigit()}


def watch(path: Path, cases: tuple[Case, ...] = CASES) -> list[Result]:
    """What of the cases the session has shown."""
    raw = stored(path)
    return [_seen(case, raw) for case in cases]


def _seen(case: Case, raw: list[bytes]) -> Result:
    if case.shown is None:
        return Result(case, SKIPPED, "cannot be told from the session's messages: play it with --target")
    messages = [read(message) for message in raw]
    if not case.shown(messages):
        return Result(case, SKIPPED, "the session's traffic has not shown it yet")
    return Result(case, PASSED, "shown by the session's own traffic", evidence=_evidence(case, raw, messages))


def _evidence(case: Case, raw: list[bytes], messages: list[Message]) -> list[str]:
    """The messages that show it by themselves; for a case that needs several, the last ones of the session."""
    assert case.shown is not None
    alone = [line for line, message in zip(raw, messages, strict=True) if case.shown([message])]
    return [f"< {readable(line)}" for line in (alone or raw)[-EVIDENCE_MAX:]]
