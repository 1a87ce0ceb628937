"""Fixtures of the settlement tests: one PostgreSQL for all of them, a fresh database and a fresh chain for each."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from settlement import postgres
from settlement.ledger import Ledger

_numbers = itertools.count()


def _open_folder() -> Path:
    """A folder that PostgreSQL's own user can reach when the tests run as root: pytest closes its folders to others,
    and does so again whenever another run of pytest begins."""
    folder = Path(tempfile.mkdtemp(prefix="fix-venue-"))
    folder.chmod(0o755)
    return folder


@pytest.fixture
def open_folder() -> Iterator[Path]:
    folder = _open_folder()
    yield folder
    postgres.stop(folder / "ledger")
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    parent = _open_folder()
    folder = parent / "data"
    url = postgres.start(folder)
    with psycopg.connect(url, autocommit=True) as connection:
        # These databases live for seconds; what a crash does to them is tested on a server of its own.
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("SELECT pg_reload_conf()")
    yield url
    postgres.stop(folder)
    shutil.rmtree(parent)


@pytest.fixture
def ledger_url(postgres_url: str) -> str:
    name = f"t{next(_numbers)}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return postgres_url.replace("/postgres?", f"/{name}?")


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    opened = Ledger.open(ledger_url)
    yield opened
    opened.close()


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    folder = tmp_path / "archive"
    folder.mkdir()
    return folder
