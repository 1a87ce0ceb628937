"""Two thousand mutilated messages: the venue answers or ends the session in words, and stays whole."""

from __future__ import annotations

import random
import time

import pytest

from fix_sessions.client import Broker, SessionLost
from tests.fix_sessions.rig import Venue, ask, tags

MESSAGES = 1_000
SOH = b"\x01"


def valid(chance: random.Random, broker: Broker, index: int) -> bytes:
    """Any message of a session, with its right number."""
    now = time.strftime("%Y%m%d-%H:%M:%S", time.gmtime())
    kind = chance.choice("DDDDFGHq01245A3")
    body = {
        "D": f"11=f{index}|55=ACME|54={chance.choice('12')}|38={chance.choice('1234')}|40=2|44=9{index % 10}|60={now}|",
        "F": f"41=f{index - 1}|11=f{index}|55=ACME|54=1|60={now}|",
        "G": f"41=f{index - 1}|11=f{index}|55=ACME|54=1|38=4|40=2|44=95|60={now}|",
        "H": f"11=f{index - 1}|55=ACME|54=1|",
        "q": f"11=f{index}|530=7|60={now}|",
        "1": "112=x|",
        "2": f"7={chance.randint(0, 5)}|16=0|",
        "4": f"123=Y|36={broker.next_out + 1}|",
        "A": "98=0|108=30|",
        "3": "45=1|",
    }.get(kind, "")
    head = f"35={kind}|49={broker.comp_id}|56={broker.venue}|34={broker.next_out}|52={now}|"
    return framed((head + body).replace("|", "\x01").encode())


def framed(inner: bytes) -> bytes:
    data = b"8=FIX.4.4\x019=%d\x01" % len(inner) + inner
    return data + b"10=%03d\x01" % (sum(data) % 256)


def mutate(chance: random.Random, data: bytes) -> bytes:
    """One to three wounds; half of the time the frame is made whole again around them."""
    start, end = data.index(b"35="), data.rindex(b"10=")
    inner = bytearray(data[start:end])
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(inner)) if inner else 0
        wound = chance.randrange(7)
        if wound == 0 and inner:
            inner[at] = chance.randrange(256)
        elif wound == 1:
            del inner[at : at + chance.randint(1, 6)]
        elif wound == 2:
            inner[at:at] = bytes(chance.randrange(256) for _ in range(chance.randint(1, 5)))
        elif wound == 3:
            inner += inner[at : at + 20]
        elif wound == 4:
            inner[at:at] = chance.choice(
                [SOH, b"=", b"\x0110=000\x01", b"8=FIX.4.4\x01", b"9" * 30, b"\x00", b"\xff" * 3]
            )
        elif wound == 5:
            fields = bytes(inner).split(SOH)
            chance.shuffle(fields)
            inner = bytearray(SOH.join(fields))
        else:
            inner = (
                inner.replace(b"=", b"=-", 1)
                if chance.random() < 0.5
                else inner.replace(b"38=", b"38=99999999999999999")
            )
    if chance.random() < 0.6:
        return framed(bytes(inner))
    whole = data[:start] + bytes(inner) + data[end:]
    return whole[: chance.randrange(1, len(whole))] if chance.random() < 0.1 else whole


@pytest.mark.parametrize("seed", [11])
def test_mutilated_messages(make_venue, application: str, seed: int):
    venue: Venue = make_venue(application)
    chance = random.Random(seed)
    broker = venue.fresh("ALPHA1")
    lost = 0
    for index in range(MESSAGES):
        data = valid(chance, broker, index)
        try:
            assert broker.socket is not None
            broker.socket.sendall(data if chance.random() < 0.2 else mutate(chance, data))
            broker.next_out += 1
            broker.poll(0.002)
        except (SessionLost, OSError):
            lost += 1
            broker = back(venue, seed)
    assert 0 < lost < MESSAGES / 2, f"seed {seed}: {lost} sessions ended"
    other = venue.fresh("BRAVO1")
    assert ask(other, lambda: other.order("ACME", "buy", 1, "99"))[150] == "0", f"seed {seed}"
    other.cancel(tags(other.inbox[-1])[11], "ACME", "buy")
    venue.engine.check()


def back(venue: Venue, seed: int) -> Broker:
    """Logs on again with the numbers that the venue expects."""
    end = time.monotonic() + 10
    while True:
        try:
            return venue.fresh("ALPHA1")
        except (SessionLost, OSError) as error:
            assert time.monotonic() < end, f"seed {seed}: the session cannot log on again: {error}"
