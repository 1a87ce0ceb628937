"""Receipts: every event has one, it stands alone, and nothing in it can be changed."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cores import roots
from tests.cores import poseidon_model
from tests.venue.archive_market import sealed
from venue import archive_roots
from venue.archive import ArchiveReader
from venue.archive_file import ArchiveError
from venue.receipt import ReceiptError, make_receipt, run_make, run_verify, verify_receipt


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sealed(tmp_path_factory.mktemp("venue"), commands=300, commands_per_batch=70).archive_dir


@pytest.fixture(scope="module")
def fill(archive: Path) -> dict[str, Any]:
    """The receipt of the first fill's resting side, read back from JSON."""
    reader = ArchiveReader(archive)
    for batch_id in reader.batch_ids:
        for row in reader.batch(batch_id).table.select(["kind", "seq", "event_index"]).to_pylist():
            if row["kind"] == "FILL":
                receipt: dict[str, Any] = json.loads(
                    json.dumps(make_receipt(archive, f"{row['seq']}-{row['event_index']}"))
                )
                return receipt
    raise AssertionError("the market traded nothing")


def test_every_event_has_a_receipt_that_holds(archive: Path) -> None:
    reader = ArchiveReader(archive)
    chosen = random.Random(5)
    for batch_id in reader.batch_ids:
        table = reader.batch(batch_id).table
        exec_ids = list(zip(table["seq"].to_pylist(), table["event_index"].to_pylist(), strict=True))
        for row in {0, len(exec_ids) - 1, *chosen.sample(range(len(exec_ids)), 12)}:
            seq, index = exec_ids[row]
            receipt = make_receipt(reader, f"{seq}-{index}")
            assert receipt["event"]["kind"] == table["kind"][row].as_py()
            assert receipt["leaf"]["index"] == row
            verdict = verify_receipt(json.loads(json.dumps(receipt)))
            assert verdict.ok, verdict.reasons
            assert verdict.exec_id == f"{seq}-{index}" and verdict.batch_id == batch_id


def test_a_bust_has_receipts_and_the_fills_keep_theirs(archive: Path) -> None:
    """Of both sides; joined by the trade's number, which the hashes cover, and by ExecIDs, which they do not."""
    reader = ArchiveReader(archive)
    columns = ["kind", "seq", "event_index", "order_id", "trade_id", "exec_ref_id", "account", "fee", "side"]
    rows = [row for number in reader.batch_ids for row in reader.batch(number).table.select(columns).to_pylist()]
    busted = [row for row in rows if row["kind"] == "BUSTED"]
    assert len(busted) >= 4
    fills = {(row["trade_id"], row["side"]): row for row in rows if row["kind"] == "FILL"}
    for row in busted:
        fill = fills[row["trade_id"], row["side"]]
        of_bust, of_fill = (make_receipt(reader, f"{r['seq']}-{r['event_index']}") for r in (row, fill))
        for receipt in (of_bust, of_fill):
            assert verify_receipt(json.loads(json.dumps(receipt))).ok
            assert receipt["stated"]["trade_id"] == row["trade_id"]
        assert of_bust["event"]["kind"] == "BUSTED" and of_fill["event"]["kind"] == "FILL"
        for name in ("price_ticks", "qty_lots", "account", "session", "symbol", "side", "aux"):
            assert of_bust["event"][name] == of_fill["event"][name]
        number = of_bust["event"]["order_id"]
        assert f"{number >> 24}-{number & 0xFFFFFF}" == row["trade_id"]
        assert of_bust["stated"]["exec_ref_id"] == of_fill["exec_id"] and of_fill["stated"]["exec_ref_id"] is None


def test_leaf_and_blind_are_those_of_the_batch_and_of_an_independent_model(archive: Path) -> None:
    records = ArchiveReader(archive).batch(2).records()
    digests = archive_roots.annex_digests(records)
    leaves = archive_roots.event_leaves(records, digests)
    owners, first = records.row_commands(), records.first_rows()
    for row in range(0, len(records.events), 7):
        command = int(owners[row])
        index = row - int(first[command])
        blind = archive_roots.event_blind(digests[command], index)
        leaf = archive_roots.event_leaf(records.events[row].tobytes(), blind)
        assert leaf == roots.digest_bytes(leaves[row])
        model = poseidon_model.event_leaf(digests[command].tolist(), index, records.events[row].tolist())
        assert leaf == np.array(model, "<u8").tobytes()


def leaves_of(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths to every scalar of a JSON value."""
    if isinstance(value, dict):
        return [leaf for key, inner in value.items() for leaf in leaves_of(inner, (*path, key))]
    if isinstance(value, list):
        return [leaf for key, inner in enumerate(value) for leaf in leaves_of(inner, (*path, key))]
    return [path]


def changed(receipt: dict[str, Any], path: tuple[Any, ...], new: Any) -> dict[str, Any]:
    result = copy.deepcopy(receipt)
    at: Any = result
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = new
    return result


def other(value: Any, chosen: random.Random) -> Any:
    """A value of the same look that says something else."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, str) and len(value) >= 64 and set(value) <= set("0123456789abcdef"):
        at = chosen.randrange(len(value))
        return value[:at] + ("0" if value[at] != "0" else "1") + value[at + 1 :]
    return f"{value}x"


def test_no_field_can_be_changed(fill: dict[str, Any]) -> None:
    chosen = random.Random(9)
    for path in leaves_of(fill):
        if path[0] == "stated":  # said by the venue, and said to be no part of the proof
            continue
        for _ in range(8):
            at: Any = fill
            for key in path:
                at = at[key]
            verdict = verify_receipt(changed(fill, path, other(at, chosen)))
            assert not verdict.ok, path
            assert all(reason for reason in verdict.reasons)


def test_no_bit_of_the_bytes_can_be_changed(fill: dict[str, Any]) -> None:
    """Each bit of the event and each byte of blind, path and record, the words beside them made to fit."""
    for path in (("event", "record"), ("leaf", "blind"), ("leaf", "path", 0), ("batch", "record")):
        at: Any = fill
        for key in path:
            at = at[key]
        for bit in range(0, len(at) * 4, 1 if path[0] == "event" else 8):
            data = bytearray.fromhex(at)
            data[bit // 8] ^= 1 << (bit % 8)
            assert not verify_receipt(changed(fill, path, data.hex())).ok, (path, bit)


def test_a_path_of_another_length_is_refused(fill: dict[str, Any]) -> None:
    path = fill["leaf"]["path"]
    for wrong in ([], path[:-1], path[1:], [*path, path[0]], path * 9, list(reversed(path))):
        assert not verify_receipt(changed(fill, ("leaf", "path"), wrong)).ok
    for index in (fill["leaf"]["index"] + 1, -1, 2**63, 10**30, 1.5, True, "3", None):
        assert not verify_receipt(changed(fill, ("leaf", "index"), index)).ok


@pytest.mark.parametrize("wrong", [None, 1, "x", [], {}, {"format": "fix-venue receipt 2"}, [[]], {"format": None}])
def test_what_is_no_receipt_is_called_malformed(wrong: object) -> None:
    verdict = verify_receipt(wrong)
    assert not verdict.ok and verdict.reasons[0].startswith("malformed: ")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats(allow_nan=False) | st.just("ff" * 32),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=300)
@given(st.data())
def test_any_change_of_shape_is_answered_not_raised(fill: dict[str, Any], data: st.DataObject) -> None:
    sections = [(key,) for key in fill] + leaves_of(fill)
    path = data.draw(st.sampled_from([p for p in sections if p[0] != "stated"]))
    at: Any = fill
    for key in path:
        at = at[key]
    new = data.draw(JSON.filter(lambda value: type(value) is not type(at) or value != at))
    assert not verify_receipt(changed(fill, path, new)).ok


def test_a_removed_field_is_named(fill: dict[str, Any]) -> None:
    for path in leaves_of(fill):
        if path[0] == "stated" or isinstance(path[-1], int):
            continue
        result = copy.deepcopy(fill)
        at: Any = result
        for key in path[:-1]:
            at = at[key]
        del at[path[-1]]
        verdict = verify_receipt(result)
        assert not verdict.ok and (path[-1] in verdict.reasons[0] or path[-1] == "format")


def test_a_receipt_shows_nothing_of_the_counterparty(archive: Path, fill: dict[str, Any]) -> None:
    """No byte of the other side's event, of the command or of its annex digest is in a fill's receipt."""
    seq, index = map(int, fill["exec_id"].split("-"))
    reader = ArchiveReader(archive)
    batch = reader.batch(fill["batch"]["batch_id"])
    records = batch.records()
    command = seq - records.first_seq
    text = json.dumps(fill)
    start, end = int(records.first_rows()[command]), int(records.event_ends[command])
    assert end - start > 2
    digest = archive_roots.annex_digests(records)[command]
    assert roots.digest_bytes(digest).hex() not in text
    for row in range(start, end):
        if row - start == index:
            continue
        other_event = records.events[row]
        assert other_event.tobytes().hex() not in text
        assert archive_roots.event_blind(digest, row - start).hex() not in text
    clordid = batch.table["request_clordid"][start].as_py()
    assert f'"{clordid}"' not in text


@pytest.mark.parametrize(
    "exec_id", ["", "x", "1", "1-", "-1", "0-0", "1-0-0", "1-0 x", "99999999999999999999-0", "\u0661-0"]
)
def test_a_malformed_exec_id_is_refused(archive: Path, exec_id: str) -> None:
    with pytest.raises(ReceiptError, match="SEQ-INDEX"):
        make_receipt(archive, exec_id)


def test_an_exec_id_that_is_not_there(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="the last sealed is 312"):
        make_receipt(archive, "99999-0")
    with pytest.raises(ReceiptError, match="the last ExecID is 1-0"):
        make_receipt(archive, "1-5")
    with pytest.raises(ArchiveError, match="no sealed batch"):
        make_receipt(tmp_path, "1-0")
    with pytest.raises(ArchiveError, match="not a readable archive folder"):
        make_receipt(tmp_path / "absent", "1-0")


def test_the_verbs(archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "receipt.json"
    assert run_make(str(archive), "18-0", path) == 0
    assert run_verify(path) == 0
    assert "execution 18-0 stands in batch 1" in capsys.readouterr().out
    assert run_make(str(archive), "18-0") == 0
    assert json.loads(capsys.readouterr().out) == json.loads(path.read_text())
    path.write_text(path.read_text().replace('"aggressor": false', '"aggressor": true'))
    assert run_verify(path) == 1
    path.write_bytes(b"\xff{")
    assert run_verify(path) == 2
    assert run_make(str(archive), "nonsense") == 2
    assert run_make(str(tmp_path), "1-0") == 1
