"""The receipt of one execution: proof that an event stands in a sealed batch, in a file of a few kilobytes.

It holds the event's 64 bytes, the value that blinds its leaf, the sibling hashes up to the batch's `event_root` and
the batch record that the chain commits to. Whoever has it can check it with nothing else (`verify_receipt`), and find
the record's hash in the tree that the anchor contract keeps.

The blind opens this one event: sibling hashes are blinded by values that it does not reveal, so a receipt says nothing
of anybody else's orders. The command and its annex are left out for that reason: a fill's command is the aggressor's,
and its annex digest would open both sides.

A fill's receipt says what happened, and stays true when the trade is busted; each side of the bust has its own.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from cores import EVENT, EventFlag, EventKind, Reason, Side, roots
from venue import archive_roots
from venue.archive import ArchiveReader
from venue.archive_file import ArchiveError, BatchFile
from venue.archive_records import SEQ_BITS, ColumnsError, Records
from venue.batches import BatchRecord, RecordError, leaf_hash

FORMAT = "fix-venue receipt 1"
PATH_MAX = 64
EXIT_FAILED = 1
EXIT_USAGE = 2
_EXEC_ID = re.compile(r"([1-9]\d{0,12})-(\d{1,8})")
_STATED = (
    *("event_time", "book", "isin", "currency", "limit_price", "last_price", "last_qty", "leaves_qty", "fee"),
    *("trade_id", "exec_ref_id"),
)
_ANCHORED = (
    "record_sha256 = SHA-256(0x00 || record) is a leaf of the RFC 6962 tree whose root the anchor contract stored for "
    "the range that holds this batch_id; assurance and finality of that range stand in the contract."
)


class ReceiptError(ValueError):
    """No receipt can be made: the text says why."""


@dataclass
class Verdict:
    """What a check found. `reasons` is empty exactly when the receipt holds."""

    exec_id: str = ""
    batch_id: int | None = None
    reasons: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.reasons


def make_receipt(archive: str | Path | ArchiveReader, exec_id: str) -> dict[str, Any]:
    """The receipt of the event with this ExecID (`seq-index`). Raises ReceiptError or ArchiveError."""
    match = _EXEC_ID.fullmatch(exec_id.strip())
    if match is None:
        raise ReceiptError(f"ExecID {exec_id!r} is not of the form SEQ-INDEX, for example 1042-1")
    seq, index = int(match[1]), int(match[2])
    reader = archive if isinstance(archive, ArchiveReader) else ArchiveReader(archive)
    batch_id = reader.find_seq(seq)
    batch, record = reader.batch(batch_id), reader.record(batch_id)
    try:
        records = batch.records()
    except ColumnsError as error:
        raise ArchiveError(f"{batch.name}: {error}") from error
    command = seq - record.first_seq
    first, end = int(records.first_rows()[command]), int(records.event_ends[command])
    row = first + index
    if row >= end:
        raise ReceiptError(f"command {seq} has {end - first} events: the last ExecID is {seq}-{end - first - 1}")
    digests = archive_roots.annex_digests(records)
    leaves = archive_roots.event_leaves(records, digests)
    blind = archive_roots.event_blind(digests[command], index)
    return _receipt(record, batch, records, row, blind, roots.tree_path(leaves, row))


def verify_receipt(receipt: object) -> Verdict:
    """Check a receipt with no other file. Never raises for what it holds."""
    verdict = Verdict()
    try:
        _verify(receipt, verdict)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        what = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) and error.args else str(error)
        verdict.reasons.append(f"malformed: {what}")
    return verdict


def run_make(archive: str, exec_id: str, output: Path | None = None) -> int:
    """The verb `venue receipt`: 0 written, 1 the archive is damaged, 2 there is no such execution."""
    console = Console(stderr=True)
    try:
        receipt = make_receipt(archive, exec_id)
        text = json.dumps(receipt, indent=2) + "\n"
        if output is None:
            sys.stdout.write(text)
        else:
            output.write_text(text, encoding="utf-8")
            console.print(f"{output} written: {len(text):,} bytes", highlight=False, soft_wrap=True)
    except ReceiptError as error:
        console.print(f"venue receipt: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        return EXIT_USAGE
    except (ArchiveError, OSError) as error:
        console.print(f"venue receipt: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        return EXIT_FAILED
    return 0


def run_verify(file: Path) -> int:
    """The verb `venue verify-receipt`: 0 it holds, 1 it does not, 2 the file cannot be read."""
    console = Console()
    try:
        receipt = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        console.print(f"{file}: not a receipt: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        return EXIT_USAGE
    verdict = verify_receipt(receipt)
    for reason in verdict.reasons:
        console.print(f"{file}: {reason}", style="red", markup=False, highlight=False, soft_wrap=True)
    if not verdict.ok:
        return EXIT_FAILED
    console.print(
        f"{file}: execution {verdict.exec_id} stands in batch {verdict.batch_id} as written. Compare record_sha256 "
        "with the anchor contract to see that this batch is the one on the chain.",
        style="green",
        highlight=False,
        soft_wrap=True,
    )
    return 0


def _receipt(
    record: BatchRecord, batch: BatchFile, records: Records, row: int, blind: bytes, path: list[bytes]
) -> dict[str, Any]:
    event = records.events[row].tobytes()
    stated = {name: batch.table[name][row].as_py() for name in _STATED if name != "event_time"}
    time_ns = int(batch.table["event_time"][row].value)
    return {
        "format": FORMAT,
        "exec_id": _exec_id(event),
        "event": {"record": event.hex(), **_fields(event)},
        "leaf": {"blind": blind.hex(), "index": row, "path": [sibling.hex() for sibling in path]},
        "batch": {
            "record": record.to_bytes().hex(),
            "batch_id": record.batch_id,
            "event_count": record.event_count,
            "event_root": record.event_root.hex(),
            "record_sha256": leaf_hash(record.to_bytes()).hex(),
        },
        "anchored": _ANCHORED,
        "stated": {
            "note": "for reading only: the venue's own words, not covered by the hashes above",
            "venue": batch.static.venue,
            "mic": batch.static.mic,
            "time_ns": time_ns,
            **{name: None if value is None else str(value) for name, value in stated.items()},
        },
    }


def _exec_id(event: bytes) -> str:
    exec_id = int.from_bytes(event[8:16], "little")
    return f"{exec_id >> SEQ_BITS}-{exec_id & ((1 << SEQ_BITS) - 1)}"


def _fields(event: bytes) -> dict[str, Any]:
    """The event's own numbers, with names for its codes."""
    values = np.frombuffer(event, EVENT)[0]
    kind, reason, side = int(values["kind"]), int(values["reason"]), int(values["side"])
    return {
        "kind": EventKind(kind).name if kind in set(EventKind) else str(kind),
        "reason": Reason(reason).name if reason in set(Reason) else str(reason),
        "side": Side(side).name if side in set(Side) else str(side),
        "aggressor": bool(int(values["flags"]) & EventFlag.AGGRESSOR),
        "auction": kind == EventKind.FILL and bool(int(values["flags"]) & EventFlag.AUCTION),
        **{name: int(values[name]) for name in ("symbol", "account", "session", "asset")},
        **{name: int(values[name]) for name in ("order_id", "price_ticks", "qty_lots", "leaves_lots", "aux")},
    }


def _verify(receipt: object, verdict: Verdict) -> None:
    if not isinstance(receipt, dict):
        raise ValueError("a receipt is a JSON object")
    if receipt.get("format") != FORMAT:
        raise ValueError(f"format is {receipt.get('format')!r}, must be {FORMAT!r}")
    event = _bytes(receipt["event"]["record"], 64, "event.record")
    blind = _bytes(receipt["leaf"]["blind"], 32, "leaf.blind")
    path = [_bytes(sibling, 32, "leaf.path") for sibling in _list(receipt["leaf"]["path"])]
    index = _number(receipt["leaf"]["index"], "leaf.index")
    try:
        record = BatchRecord.from_bytes(_bytes(receipt["batch"]["record"], 304, "batch.record"))
    except RecordError as error:
        raise ValueError(f"batch.record: {error}") from error
    verdict.exec_id, verdict.batch_id = _exec_id(event), record.batch_id
    for name, said, found in _said(receipt, event, record):
        if type(said) is not type(found) or said != found:
            verdict.reasons.append(f"{name} says {said!r}, the bytes beside it say {found!r}")
    seq = int.from_bytes(event[8:16], "little") >> SEQ_BITS
    if not record.first_seq <= seq <= record.last_seq:
        verdict.reasons.append(
            f"execution {verdict.exec_id} is not of the batch's commands {record.first_seq}..{record.last_seq}"
        )
    try:
        root = roots.path_root(archive_roots.event_leaf(event, blind), index, record.event_count, path)
    except ValueError as error:
        verdict.reasons.append(f"leaf: {error}")
        return
    if root != record.event_root:
        verdict.reasons.append(
            f"the event, its blind and the path lead to {root.hex()}, but the batch's event_root is "
            f"{record.event_root.hex()}: one of them was changed"
        )


def _said(receipt: dict[str, Any], event: bytes, record: BatchRecord) -> list[tuple[str, object, object]]:
    """Everything that the receipt says in words, with what its bytes say."""
    said = [("exec_id", receipt["exec_id"], _exec_id(event)), ("anchored", receipt["anchored"], _ANCHORED)]
    said += [(f"event.{name}", receipt["event"][name], value) for name, value in _fields(event).items()]
    batch = {
        "batch_id": record.batch_id,
        "event_count": record.event_count,
        "event_root": record.event_root.hex(),
        "record_sha256": leaf_hash(record.to_bytes()).hex(),
    }
    return said + [(f"batch.{name}", receipt["batch"][name], value) for name, value in batch.items()]


def _bytes(value: object, length: int, name: str) -> bytes:
    if not isinstance(value, str) or not re.fullmatch(r"[0-9a-f]*", value) or len(value) != 2 * length:
        raise ValueError(f"{name} must be {length} bytes in lower-case hexadecimal")
    return bytes.fromhex(value)


def _list(value: object) -> list[object]:
    if not isinstance(value, list) or len(value) > PATH_MAX:
        raise ValueError(f"leaf.path must be a list of at most {PATH_MAX} hashes")
    return value


def _number(value: object, name: str) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError(f"{name} must be a whole number")
    return value
