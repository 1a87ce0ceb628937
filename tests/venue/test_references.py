"""A reference moves money once: lost answers, new starts, snapshots, refusals, two operators at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from cores import Reason
from tests.venue.engine_flow import endow, flow, opened, segment_paths
from venue import references
from venue.control import CommandRefused, ControlClient, ControlError, ControlLost, ControlServer, ReferenceUsed
from venue.engine import Engine

ADDRESS = bytes(range(20))
OTHER = bytes(20)


class Started:
    """An engine with its control socket, which can be started anew."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / "control.sock"
        self.engine: Engine = opened(folder)
        endow(self.engine)
        self.serve()

    def serve(self) -> None:
        self.server = ControlServer(self.engine, self.path)

    def again(self, between: Callable[[], None] = lambda: None) -> None:
        self.close()
        between()
        self.engine = opened(self.folder)
        self.serve()

    def balance(self) -> int:
        return int(self.engine.balance(1, 0)[0])

    def client(self) -> ControlClient:
        return ControlClient(self.path, actor="alice")

    def close(self) -> None:
        self.server.check()
        self.server.close()
        self.engine.check()
        self.engine.close()


@pytest.fixture
def venue(tmp_path: Path) -> Iterator[Started]:
    venue = Started(tmp_path / "data")
    yield venue
    venue.close()


def test_a_reference_is_good_for_one_deposit_and_one_withdrawal(venue: Started):
    before = venue.balance()
    with venue.client() as client:
        first = client.deposit(1, 0, 250, "wire 7")
        with pytest.raises(ReferenceUsed, match=f"made already, by command {first}, with the reference 'wire 7'") as e:
            client.deposit(1, 0, 250, "wire 7")
        assert e.value.seq == first
        for other in ((2, 0, 250), (1, 1, 250), (1, 0, 251)):
            with pytest.raises(
                ReferenceUsed, match=f"used by another deposit, command {first} .account 1, other terms"
            ):
                client.deposit(*other, "wire 7")
        taken = client.withdraw(1, 0, 50, ADDRESS, "wire 7")
        with pytest.raises(ReferenceUsed, match=f"this withdrawal was made already, by command {taken}"):
            client.withdraw(1, 0, 50, ADDRESS, "wire 7")
        with pytest.raises(ReferenceUsed, match="used by another withdrawal"):
            client.withdraw(1, 0, 50, OTHER, "wire 7")
        assert venue.engine.last_seq == taken, "what is refused here is not journaled"
        assert client.deposit(1, 0, 250, "wire 8") == taken + 1, "the connection is still good"
        assert [client.deposit(1, 0, 1) for _ in range(2)] == [taken + 2, taken + 3], "none needs none"
    assert venue.balance() == before + 250 - 50 + 250 + 2


def test_a_retry_after_a_lost_answer_moves_nothing(venue: Started, monkeypatch: pytest.MonkeyPatch):
    """The first is still under way when its operator gives up and asks again."""
    before, call, slow = venue.balance(), venue.engine.call, threading.Event()

    def delayed(*arguments: Any, **options: Any) -> Any:
        assert slow.wait(20)
        return call(*arguments, **options)

    monkeypatch.setattr(venue.engine, "call", delayed)
    with (
        ControlClient(venue.path, timeout_seconds=0.2) as impatient,
        pytest.raises(ControlLost, match="before the rep"),
    ):
        impatient.deposit(1, 0, 250, "wire 9")
    threading.Timer(0.2, slow.set).start()
    with venue.client() as client, pytest.raises(ReferenceUsed, match="made already"):
        client.deposit(1, 0, 250, "wire 9")
    assert venue.balance() == before + 250


@pytest.mark.parametrize("snapshot", [False, True])
def test_references_outlive_starts(venue: Started, snapshot: bool):
    """Also one that begins from a snapshot, and when the order flow around them is long."""
    seed = 20261122
    print(f"seed {seed}")
    used: dict[str, int] = {}
    for round_ in range(3):
        with venue.client() as client:
            for number in range(5):
                used[f"{round_} {number}"] = client.deposit(1, 0, 1 + number, f"{round_} {number}")
                for order in flow(seed + 5 * round_ + number, 300):
                    venue.engine.submit(**order)
            if snapshot:
                client.snapshot()
        venue.again()
        assert (venue.engine.snapshot_seq > 0) is snapshot
        with venue.client() as client:
            for ref, seq in Random(seed).sample(sorted(used.items()), len(used)):
                with pytest.raises(ReferenceUsed) as caught:
                    client.deposit(1, 0, 1, ref)
                assert caught.value.seq == seq
            assert client.withdraw(1, 0, 1, ADDRESS, f"{round_} 0") > max(used.values()), "another kind"


def test_a_refused_movement_has_not_used_its_reference(venue: Started):
    def refused() -> None:
        with venue.client() as client:
            with pytest.raises(CommandRefused, match="REJECT_UNKNOWN_ACCOUNT") as caught:
                client.deposit(77, 0, 5, "wire 10")
            assert caught.value.reason == Reason.REJECT_UNKNOWN_ACCOUNT
            with pytest.raises(CommandRefused, match="REJECT_INSUFFICIENT_FUNDS"):
                client.withdraw(1, 0, 1 << 61, ADDRESS, "wire 10")

    refused()
    refused()
    venue.again()
    with venue.client() as client:
        seq = client.deposit(1, 0, 5, "wire 10")
        assert client.withdraw(1, 0, 5, ADDRESS, "wire 10") == seq + 1


def test_of_many_who_ask_at_once_one_moves_the_money(venue: Started):
    venue.again()
    before, done, refused = venue.balance(), [], []

    def work() -> None:
        with venue.client() as client:
            for number in range(10):
                try:
                    done.append(client.deposit(1, 0, 3, f"wire {number}"))
                except ReferenceUsed as error:
                    refused.append(error.seq)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 10 and len(refused) == 30 and set(refused) == set(done)
    assert venue.balance() == before + 30


def test_a_long_journal_is_read_on_at_the_next_question(venue: Started, monkeypatch: pytest.MonkeyPatch):
    with venue.client() as client:
        seq = client.deposit(1, 0, 5, "wire 11")
    for order in flow(1, 500):
        venue.engine.submit(**order)
    venue.again()
    last = venue.engine.last_seq
    monkeypatch.setattr(references, "SLICE_COMMANDS", 200)
    monkeypatch.setattr(references, "READ_SECONDS_MAX", 0.0)
    with venue.client() as client:
        with pytest.raises(ControlError, match=f"read up to command 0 of {last} by now.*ask again"):
            client.deposit(1, 0, 5, "wire 11")
        assert venue.engine.last_seq == last, "nothing is done before all is known"
        assert client.deposit(1, 0, 5) == last + 1, "what has no reference needs no reading"
        monkeypatch.setattr(references, "READ_SECONDS_MAX", 20.0)
        with pytest.raises(ReferenceUsed) as caught:
            client.deposit(1, 0, 5, "wire 11")
        assert caught.value.seq == seq


def test_a_journal_that_cannot_be_read_moves_nothing(venue: Started):
    """A segment that is only needed to read from the beginning, since the start was from a snapshot."""
    for order in flow(1, 1500):
        venue.engine.submit(**order)
    with venue.client() as client:
        seq = client.deposit(1, 0, 5, "wire 12")
        client.snapshot()
    first, kept = segment_paths(venue.folder)[0], venue.folder / "kept"
    venue.again(lambda: first.rename(kept))
    before = venue.engine.last_seq
    with venue.client() as client:
        with pytest.raises(
            ControlError, match=r"which references were used cannot be read: .*no segment holds entry 1"
        ):
            client.deposit(1, 0, 5, "wire 12")
        assert venue.engine.last_seq == before
        kept.rename(first)
        with pytest.raises(ReferenceUsed) as caught:
            client.deposit(1, 0, 5, "wire 12")
        assert caught.value.seq == seq
