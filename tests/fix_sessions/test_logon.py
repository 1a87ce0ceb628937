"""Who is let in, decided away from the gateway's thread."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fix_sessions.logon import REFUSED, WAITING_MAX, Doorkeeper, LogonPolicy, hash_password
from tests.fix_sessions.rig import PASSWORD, make_config

GOOD = {49: "ALPHA1", 56: "VENUE", 34: "1", 98: "0", 108: "30", 553: "alpha", 554: PASSWORD}


def logon(**changes: str) -> bytes:
    values = GOOD | {int(tag[1:]): value for tag, value in changes.items()}
    return b"".join(f"{tag}={value}\x01".encode() for tag, value in values.items())


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> LogonPolicy:
    return LogonPolicy(make_config(tmp_path_factory.mktemp("policy")))


def test_let_in(policy: LogonPolicy):
    assert policy.refusal(logon()) == ""
    assert policy.refusal(logon(t141="Y")) == ""


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"t554": "wrong"}, REFUSED),
        ({"t554": ""}, REFUSED),
        ({"t553": "bravo"}, REFUSED),
        ({"t49": "BRAVO1"}, REFUSED),
        ({"t49": "NOBODY"}, REFUSED),
        ({"t56": "OTHER"}, "TargetCompID(56) must be VENUE"),
        ({"t108": "0"}, "HeartBtInt(108) must be from 1 to 120 seconds"),
        ({"t108": "121"}, "HeartBtInt(108) must be from 1 to 120 seconds"),
        ({"t141": "Y", "t34": "2"}, "with ResetSeqNumFlag(141)=Y MsgSeqNum(34) must be 1"),
    ],
)
def test_refused(policy: LogonPolicy, changes: dict[str, str], text: str):
    assert policy.refusal(logon(**changes)) == text


@settings(max_examples=20)  # each costs a password check
@given(st.binary(max_size=200))
def test_any_bytes_are_refused(message: bytes):
    folder = Path("unused")
    assert LogonPolicy(make_config(folder)).refusal(message) != ""


def test_hash_password():
    text = hash_password("secret")
    assert text.startswith("$argon2id$") and hash_password("secret") != text, "salted"


def test_a_crowd_is_told_to_come_back(policy: LogonPolicy):
    answers: list[tuple[int, str]] = []
    doorkeeper = Doorkeeper(policy, lambda connection, text: answers.append((connection, text)))
    for connection in range(WAITING_MAX + 3):
        doorkeeper.ask(connection, logon(), "peer")
    assert [text for _, text in answers] == ["too many logons at once; try again in a moment"] * 3


def test_a_fault_refuses(policy: LogonPolicy):
    answered = threading.Event()
    texts: list[str] = []

    def answer(connection: int, text: str) -> None:
        texts.append(text)
        answered.set()

    class Broken(LogonPolicy):
        def refusal(self, message: bytes) -> str:
            raise ZeroDivisionError

    doorkeeper = Doorkeeper(Broken(policy.config), answer)
    doorkeeper.start()
    doorkeeper.ask(1, logon(), "peer")
    assert answered.wait(10)
    doorkeeper.stop()
    assert texts == ["the logon could not be checked; ask the venue"]
