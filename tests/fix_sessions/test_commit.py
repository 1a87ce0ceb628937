"""sync = commit over FIX: nobody is told of an order that is not on disk, whichever thread has synced it."""

from __future__ import annotations

import errno
import subprocess
from pathlib import Path

import pytest

from fix_sessions.client import Broker
from tests.fix_sessions.rig import PASSWORD, USERS, Venue, ask, spawn, tags

FAULTS = Path(__file__).parent.parent / "venue" / "disk_faults.c"


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = tmp_path_factory.mktemp("faults") / "disk_faults.so"
    subprocess.run(["gcc", "-O1", "-shared", "-fPIC", str(FAULTS), "-o", str(library), "-ldl"], check=True)
    return library


@pytest.mark.parametrize("at_once", [1, 40], ids=["one at a time", "many in a turn"])
def test_a_failing_sync_is_followed_by_no_report(
    tmp_path: Path, application: str, faults: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
):
    """ROE-17"""
    with monkeypatch.context() as patch:
        patch.setenv("LD_PRELOAD", str(faults))
        for name, value in {"CALL": "fdatasync", "ERRNO": str(errno.EIO), "AFTER": "30"}.items():
            patch.setenv(f"FAULT_{name}", value)
        process = spawn(["-m", "tests.fix_sessions.venue_process", str(tmp_path), application, "commit"])
    assert process.stdout is not None
    broker = Broker("127.0.0.1", int(process.stdout.readline()), "BRAVO1", USERS["BRAVO1"], PASSWORD)
    broker.log_on()
    sent = 0
    while not any(m.get(35) == b"j" for m in broker.inbox):
        assert sent < 4_000, "the disk never failed"
        assert broker.socket is not None
        for _ in range(at_once):
            broker.order("ACME", "buy", 1, "99.50", t11=f"o{sent}")
            sent += 1
        broker.poll(0.2)
    broker.poll(0.2)
    told = [tags(m)[11] for m in broker.inbox if m.get(35) == b"8"]
    refused = [tags(m) for m in broker.inbox if m.get(35) == b"j"]
    process.kill()
    process.wait()
    assert told == [f"o{n}" for n in range(len(told))], "in order, none twice"
    assert refused[0][380] == "4" and "takes no orders now" in refused[0][58]
    lost = int(refused[0][379][1:]) - len(told)
    assert lost >= 1, "the orders whose sync failed get no report"
    assert at_once > 1 or lost <= 5, "and hardly any others"


def test_alone_and_among_many(make_venue, application: str):
    """One order at a time is synced by the gateway's thread, a burst by the committer's; both answer in order."""
    venue: Venue = make_venue(application, sync="commit")
    broker, other = venue.logged_on("BRAVO1"), venue.logged_on("ALPHA2")
    for index in range(20):
        assert ask(broker, lambda index=index: broker.order("ACME", "buy", 1, "99", t11=f"a{index}"))[11] == f"a{index}"  # type: ignore[misc]
        assert venue.engine.durable_seq == venue.engine.last_seq
    for index in range(200):
        broker.order("ACME", "buy", 1, "99", t11=f"b{index}")
        other.order("ACME", "buy", 1, "98", t11=f"c{index}")
    broker.wait_for(lambda: len(broker.inbox) == 220)
    other.wait_for(lambda: len(other.inbox) == 200)
    assert [tags(m)[11] for m in broker.inbox[20:]] == [f"b{n}" for n in range(200)]
    assert [tags(m)[11] for m in other.inbox] == [f"c{n}" for n in range(200)]
    assert all(m.get(150) == b"0" for m in [*broker.inbox, *other.inbox])
    venue.engine.check()
