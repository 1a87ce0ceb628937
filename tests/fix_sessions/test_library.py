"""The native application is compiled against, and loaded with, one release of QuickFIX only."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from fix_sessions import build, library


def test_it_loads_whoever_imported_quickfix_before():
    program = "import quickfix; from fix_sessions import library; print(library.load().Gateway.__name__)"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert answer.stdout.strip() == "Gateway", answer.stderr


def test_another_version_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(library, "version", lambda name: "1.15.1")
    with pytest.raises(library.LibraryError, match=r"quickfix 1\.15\.1 is installed.*pip install quickfix==1\.16\.0"):
        library.load()


def test_the_version_is_the_installed_one():
    assert version("quickfix") == build.QUICKFIX_VERSION


def test_a_changed_sdist_is_refused(tmp_path: Path):
    path = tmp_path / "quickfix-1.16.0.tar.gz"
    path.write_bytes(b"something else")
    with pytest.raises(build.HeadersError, match=r"SHA-256 is .*, expected 825aceb7.*try again"):
        build._unpack(path, tmp_path)


def test_the_headers_are_there():
    assert (build.headers_dir() / "Session.h").exists()
