"""Who is let in, decided away from the gateway's thread."""

from __future__ import annotations

import base64
import threading
from pathlib import Path
from typing import Any

import pytest
from argon2 import extract_parameters
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from fix_sessions.logon import REFUSED, WAITING_MAX, Decision, Doorkeeper, LogonPolicy, hash_password, nobody, usual
from fix_sessions.signatures import public_key, sign
from tests.fix_sessions.rig import PASSWORD, PASSWORD_HASH, make_config
from venue.config import ConfigError

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


def test_a_stranger_costs_what_a_member_costs(tmp_path: Path):
    """Also where the hashes are not those that are made today: by the time of a check nobody learns who exists."""
    policy = LogonPolicy(make_config(tmp_path))
    assert extract_parameters(nobody(policy.like)) == extract_parameters(PASSWORD_HASH)
    assert extract_parameters(PASSWORD_HASH) != extract_parameters(hash_password("secret"))
    assert usual([]) == usual([hash_password("secret"), hash_password("more"), PASSWORD_HASH, "$argon2id$cut"])


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
        def decide(self, message: bytes, peer: str = "") -> Decision:
            raise ZeroDivisionError

    doorkeeper = Doorkeeper(Broken(policy.config), answer)
    doorkeeper.start()
    doorkeeper.ask(1, logon(), "peer")
    assert answered.wait(10)
    doorkeeper.stop()
    assert texts == ["the logon could not be checked; ask the venue"]


# ---- networks and lock-outs ----

SESSION = 'comp_id = "ALPHA1", username'


def changed_policy(folder: Path, *changes: tuple[str, str], now_ns: Any = None) -> LogonPolicy:
    config = make_config(folder, changes=changes)
    return LogonPolicy(config, now_ns=now_ns) if now_ns else LogonPolicy(config)


def test_an_address_outside_the_networks_is_told_what_everybody_is_told(tmp_path: Path):
    policy = changed_policy(tmp_path, (SESSION, f'networks = ["192.0.2.0/24", "2001:db8::/32"], {SESSION}'))
    assert policy.refusal(logon(), "192.0.2.9:4000") == ""
    assert policy.refusal(logon(), "2001:db8::9:4000") == ""
    for peer in ("192.0.3.9:4000", "::1:4000", "unknown", ""):
        assert policy.refusal(logon(), peer) == REFUSED


def test_after_failures_a_pair_is_locked_out_and_the_member_is_not(tmp_path: Path):
    policy = changed_policy(tmp_path, ("[fix]", "[logon]\nfailures_max = 3\naddress_failures_max = 9\n[fix]"))
    for _ in range(3):
        assert policy.decide(logon(t554="guess"), "203.0.113.9:1") == Decision(REFUSED)
    locked = policy.decide(logon(), "203.0.113.9:2")
    assert "too many failed logons from 203.0.113.9" in locked.refusal and locked.status == "6"
    assert policy.refusal(logon(), "192.0.2.1:1") == "", "from its own network it is let in"
    for name in ("NOBODY", "BRAVO1"):
        for _ in range(3):
            assert policy.refusal(logon(t49=name, t553="x"), "203.0.113.9:3") == REFUSED
    assert "too many" in policy.refusal(logon(t49="ALPHA2", t553="alpha2"), "203.0.113.9:4"), "the address, for all"
    assert policy.lockout.unlock("203.0.113.9") == 4
    assert policy.refusal(logon(), "203.0.113.9:5") == ""
    policy.check()


def test_behind_a_terminator_only_the_terminators_networks_are_believed(tmp_path: Path):
    policy = changed_policy(tmp_path, ("[fix]", '[fix]\nproxy_networks = ["10.0.0.0/28"]'))
    assert policy.refusal(logon(), "192.0.2.9:4000 10.0.0.3:50000") == ""
    assert "terminator only" in policy.refusal(logon(), "192.0.2.9:4000 10.0.1.3:50000")


# ---- signatures ----

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = base64.b64encode(KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()
NOW_NS = 1_800_000_000 * 10**9  # 2027-01-15 08:00:00


class Moment:
    now_ns = NOW_NS

    def __call__(self) -> int:
        return self.now_ns


def signed_policy(folder: Path, moment: Moment, *, with_password: bool = False) -> LogonPolicy:
    old = f'{SESSION} = "alpha", password_hash = "{PASSWORD_HASH}"'
    kept = f', password_hash = "{PASSWORD_HASH}"' if with_password else ""
    new = f'{SESSION} = "alpha", public_key = "{PUBLIC}"{kept}'
    return changed_policy(folder, (old, new), now_ns=moment)


def signed(time: str = "20270115-08:00:01.000", key: Ed25519PrivateKey = KEY, **changes: str) -> bytes:
    values = {tag: value.encode() for tag, value in GOOD.items() if tag != 554}
    values |= {35: b"A", 52: time.encode()} | {int(tag[1:]): value.encode() for tag, value in changes.items()}
    signature = sign(key, values)
    values |= {95: str(len(signature)).encode(), 96: signature}
    return b"".join(b"%d=%s\x01" % pair for pair in values.items())


def test_a_signed_logon_is_let_in_once(tmp_path: Path):
    policy = signed_policy(tmp_path, Moment())
    assert policy.refusal(signed(), "192.0.2.1:1") == ""
    assert "used already" in policy.refusal(signed(), "192.0.2.1:1")
    assert policy.refusal(signed("20270115-08:00:02.000"), "192.0.2.1:1") == ""
    assert policy.refusal(signed("20270115-08:00:02.000", t34="2"), "192.0.2.1:1") == "", "another number"


def test_a_signed_logon_that_was_refused_is_used_too(tmp_path: Path):
    """Else who has listened could mend what is not signed, and log on with it."""
    policy = signed_policy(tmp_path, Moment())
    assert "HeartBtInt(108)" in policy.refusal(signed(t108="9999"), "192.0.2.1:1")
    assert "used already" in policy.refusal(signed(), "192.0.2.1:1")


@pytest.mark.parametrize("tag", [52, 35, 34, 49, 56])
def test_a_signature_is_over_each_of_its_fields(tmp_path: Path, tag: int):
    policy = signed_policy(tmp_path, Moment())
    found = dict(part.split(b"=", 1) for part in signed().split(b"\x01") if part)
    found[b"%d" % tag] = {52: b"20270115-08:00:03.000", 34: b"7", 49: b"ALPHA1", 56: b"VENUE"}.get(tag, b"B")
    if tag in (49, 56):
        policy = signed_policy(tmp_path, Moment())
        values = {int(k): v for k, v in found.items()} | {tag: b"OTHER"}
        found[b"96"] = sign(KEY, values)
    message = b"".join(key + b"=" + value + b"\x01" for key, value in found.items())
    assert policy.refusal(message, "192.0.2.1:1") == REFUSED


@pytest.mark.parametrize("time", ["20270115-07:59:29.000", "20270115-08:00:32.000", "20270115-07:59:59.999", "x", ""])
def test_a_time_that_is_far_or_before_the_start_is_refused(tmp_path: Path, time: str):
    moment = Moment()
    policy = signed_policy(tmp_path, moment)
    moment.now_ns += 10**9
    assert "SendingTime(52) of a signed Logon" in policy.refusal(signed(time), "192.0.2.1:1")


def test_no_signature_another_key_and_a_password_in_its_place_are_refused_alike(tmp_path: Path):
    policy = signed_policy(tmp_path, Moment())
    other = Ed25519PrivateKey.generate()
    for message in (logon(t52="20270115-08:00:01.000"), signed(key=other), signed()[:-30] + b"\x01"):
        assert policy.refusal(message, "192.0.2.1:1") == REFUSED


def test_a_session_with_both_needs_both(tmp_path: Path):
    policy = signed_policy(tmp_path, Moment(), with_password=True)
    assert policy.refusal(signed(), "192.0.2.1:1") == REFUSED
    assert policy.refusal(signed() + b"554=" + PASSWORD.encode() + b"\x01", "192.0.2.1:1") == ""


def test_a_key_is_read(tmp_path: Path):
    assert public_key(PUBLIC).public_bytes(Encoding.Raw, PublicFormat.Raw) == base64.b64decode(PUBLIC)
    for bad in ("AAAA", "not base64!"):
        with pytest.raises(ConfigError, match="public_key must be an Ed25519 key, 32 bytes in base64"):
            changed_policy(tmp_path, (SESSION, f'public_key = "{bad}", {SESSION}'))


# ---- new passwords ----

NEW = "battery staple 9".replace(" ", "-")


def test_a_new_password_is_in_force_from_its_logon_on(tmp_path: Path):
    policy = changed_policy(tmp_path)
    assert policy.decide(logon(t925=NEW), "p:1") == Decision("", "1", known=True)
    assert policy.refusal(logon(), "p:1") == REFUSED
    assert policy.refusal(logon(t554=NEW), "p:1") == ""
    assert changed_policy(tmp_path).refusal(logon(t554=NEW), "p:1") == "", "after a start too"


@pytest.mark.parametrize(
    ("new", "text"),
    [
        ("short-1", "must have 12 to 128"),
        ("with blanks in it", "without blanks"),
        ("x" * 129, "must have 12 to 128"),
        ("aaaaaaaaaaaab", "5 different characters"),
        ("my-Alpha-word-1", "must not hold the user name"),
    ],
)
def test_a_new_password_that_does_not_comply(tmp_path: Path, new: str, text: str):
    decision = changed_policy(tmp_path).decide(logon(t925=new), "p:1")
    assert text in decision.refusal and decision.status == "3"
    assert changed_policy(tmp_path).refusal(logon(), "p:1") == "", "the old one stays"


def test_a_new_password_is_not_one_of_the_last(tmp_path: Path):
    policy = changed_policy(tmp_path)
    assert policy.decide(logon(t925=NEW), "p:1").status == "1"
    assert policy.decide(logon(t554=NEW, t925=NEW), "p:1") == Decision(
        "NewPassword(925) was used before", "3", known=True
    )


def test_a_wrong_password_changes_nothing(tmp_path: Path):
    policy = changed_policy(tmp_path)
    assert policy.refusal(logon(t554="wrong", t925=NEW), "p:1") == REFUSED
    assert policy.refusal(logon(), "p:1") == ""


def test_an_old_password_must_be_changed(tmp_path: Path):
    moment = Moment()
    aged = ("[fix]", "[logon]\npassword_days_max = 30\n[fix]")
    changed_policy(tmp_path, aged, now_ns=moment).credentials.remember()
    moment.now_ns += 31 * 86_400 * 10**9
    policy = changed_policy(tmp_path, aged, now_ns=moment)
    expired = policy.decide(logon(), "p:1")
    assert expired.refusal == "the password is older than 30 days; log on with a NewPassword(925)"
    assert expired.status == "8"
    assert policy.decide(logon(t925=NEW), "p:1") == Decision("", "1", known=True)
    assert policy.refusal(logon(t554=NEW), "p:1") == ""


def test_outside_the_hours(tmp_path: Path):
    moment = Moment()
    hours = ("[fix]", '[schedule]\nstart = "09:00"\nend = "17:00"\n[fix]')
    policy = changed_policy(tmp_path, hours, now_ns=moment)
    assert policy.refusal(logon(), "p:1").startswith("outside the session's hours; it opens at Friday 2027-01-15 09:00")
    assert policy.refusal(logon(t554="wrong"), "p:1") == REFUSED, "a stranger learns no hours"
    moment.now_ns += 3_600 * 10**9
    assert policy.refusal(logon(), "p:1") == ""
