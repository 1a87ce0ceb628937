"""spec/archive.md says what the archive does: its tables name every column, its program runs and agrees."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from cores import roots
from tests.cores import poseidon_model
from tests.venue.archive_market import sealed
from venue import archive_roots
from venue.archive import ArchiveReader
from venue.columns import FIELDS, PEOPLE_FIELDS

SPEC = (Path(__file__).parent.parent.parent / "spec" / "archive.md").read_text()


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sealed(tmp_path_factory.mktemp("venue"), commands=200, commands_per_batch=70).archive_dir


def test_every_column_is_described() -> None:
    missing = [field.name for field in FIELDS if not re.search(rf"\b{field.name}\b", SPEC)]
    assert missing == []
    for field in PEOPLE_FIELDS:
        if not field.metadata:
            continue
        (line,) = [line for line in SPEC.splitlines() if line.startswith(f"| {field.name} |")]
        assert f"| {field.metadata[b'rts24'].decode()} |" in line
        kind = str(field.type).replace("tz=", "").replace("timestamp[ns, UTC]", "timestamp[ns, UTC]")
        kind = {"date32[day]": "date32"}.get(kind, kind)
        assert f"| {'dictionary' if kind.startswith('dictionary') else kind} |" in line, field


def test_the_program_in_it_rebuilds_the_records(archive: Path, tmp_path: Path) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", SPEC, re.DOTALL)
    path = tmp_path / "by_hand.py"
    path.write_text(program)
    reader = ArchiveReader(archive)
    for batch_id in reader.batch_ids:
        name = archive / f"batch-{batch_id:010}.arrow"
        done = subprocess.run([sys.executable, str(path), str(name)], capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        records = reader.batch(batch_id).records()
        digests = archive_roots.annex_digests(records)
        data = records.commands.tobytes() + digests.tobytes() + records.events.tobytes()
        assert done.stdout.strip() == hashlib.sha256(data).hexdigest()


def test_the_record_ends_with_the_hash_of_the_file(archive: Path) -> None:
    for path in archive.glob("*.arrow"):
        record = path.with_suffix(".record").read_bytes()
        assert record[-32:] == hashlib.sha256(path.read_bytes()).digest()


def test_the_roots_are_those_of_an_independent_model(archive: Path) -> None:
    """The whole way with other code: leaves, trees, deposits and withdrawals of one batch."""
    reader = ArchiveReader(archive)
    batch = reader.batch(2)
    records = batch.records()
    starts = [0, *records.annex_ends.tolist()]
    annexes = [poseidon_model.annex_digest(records.annex[start:end].tobytes()) for start, end in pairwise(starts)]
    leaves = [
        poseidon_model.command_leaf(annex, command)
        for annex, command in zip(annexes, records.commands.tolist(), strict=True)
    ]
    assert poseidon_model.to_bytes(poseidon_model.tree_root(leaves)) == batch.record.command_root
    owners, first = records.row_commands().tolist(), records.first_rows().tolist()
    event_leaves = [
        poseidon_model.event_leaf(annexes[owner], row - first[owner], event)
        for row, (owner, event) in enumerate(zip(owners, records.events.tolist(), strict=True))
    ]
    assert poseidon_model.to_bytes(poseidon_model.tree_root(event_leaves)) == batch.record.event_root
    for row in (0, 17, len(event_leaves) - 1):
        path = [poseidon_model.to_bytes(digest) for digest in poseidon_model.tree_path(event_leaves, row)]
        leaf = poseidon_model.to_bytes(event_leaves[row])
        assert roots.path_root(leaf, row, len(event_leaves), path) == batch.record.event_root
