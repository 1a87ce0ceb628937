"""A sealer's own memory of where it stood: the core's state and the open orders' commands after a batch.

Kept so that a restart need not replay the whole archive. It is a cache: one that is damaged, of another batch or of
another state root is passed over, and everything is made again from the archive's files. Never a source of truth.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from cores import Core, StateError
from venue.archive import write_durably
from venue.open_orders import Carried

KEEP = 2
_MAGIC = b"FVCHECK2"
_HEAD = struct.Struct("<8sQQQ")  # magic, batch_id, bytes of the snapshot, bytes of the orders
_NAME = re.compile(r"checkpoint-(\d{10})\.state")
_WORDS = pa.binary(64)
_FACTS = pa.binary(24)


@dataclass
class Checkpoint:
    """The state right after a batch."""

    batch_id: int
    core: Core
    carried: Carried


def save(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint and remove all but the last few."""
    codec = pa.Codec("zstd", 1)
    snapshot, orders = checkpoint.core.snapshot(), _orders_to_bytes(checkpoint.carried)
    packed = bytes(codec.compress(snapshot))
    head = _HEAD.pack(_MAGIC, checkpoint.batch_id, len(snapshot), len(orders))
    body = head + packed + orders
    path = folder / f"checkpoint-{checkpoint.batch_id:010}.state"
    write_durably(path, body + hashlib.sha256(body).digest())
    for old in sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))[:-KEEP]:
        old.unlink()


def candidates(folder: Path, batch_id_max: int) -> Iterator[Checkpoint]:
    """Readable checkpoints of batches up to `batch_id_max`, the newest first."""
    names = sorted((path for path in folder.iterdir() if _NAME.fullmatch(path.name)), reverse=True)
    for path in names:
        checkpoint = _load(path)
        if checkpoint is not None and checkpoint.batch_id <= batch_id_max:
            yield checkpoint


def _load(path: Path) -> Checkpoint | None:
    data = path.read_bytes()
    body, digest = data[:-32], data[-32:]
    if len(body) < _HEAD.size or hashlib.sha256(body).digest() != digest:
        return None
    magic, batch_id, snapshot_bytes, orders_bytes = _HEAD.unpack_from(body)
    if magic != _MAGIC:
        return None
    split = len(body) - orders_bytes
    try:
        snapshot = bytes(pa.Codec("zstd").decompress(body[_HEAD.size : split], snapshot_bytes))
        return Checkpoint(batch_id, Core.restore(snapshot), _orders_from_bytes(body[split:]))
    except (StateError, pa.ArrowException, OSError, ValueError):
        return None


def _orders_to_bytes(carried: Carried) -> bytes:
    def records(words: np.ndarray) -> pa.Array:
        return pa.Array.from_buffers(_WORDS, len(words), [None, pa.py_buffer(np.ascontiguousarray(words))])

    columns = {
        "order_id": pa.array(carried.order_ids),
        "entry": records(carried.entries),
        "entry_annex": carried.entry_annexes,
        "terms": records(carried.terms),
        "terms_annex": carried.terms_annexes,
        "facts": pa.Array.from_buffers(_FACTS, len(carried.facts), [None, pa.py_buffer(carried.facts.tobytes())]),
    }
    sink = pa.BufferOutputStream()
    table = pa.table(columns)
    with pa.ipc.new_file(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def _orders_from_bytes(data: bytes) -> Carried:
    with pa.ipc.open_file(pa.BufferReader(data)) as reader:
        table = reader.read_all().combine_chunks()

    def column(name: str) -> pa.Array:
        return table[name].combine_chunks()

    def words(name: str, width: int = 8) -> np.ndarray:
        array = column(name)
        whole = np.frombuffer(array.buffers()[1] or b"", np.uint64).reshape(-1, width)
        return whole[array.offset : array.offset + len(array)]

    carried = Carried(
        column("order_id").to_numpy(),
        words("entry"),
        column("entry_annex"),
        words("terms"),
        column("terms_annex"),
        words("facts", 3),
    )
    carried.check()
    return carried
