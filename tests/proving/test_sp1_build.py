"""The build: what its key covers, and what it says when something is missing. The building itself is a fixture."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from proving.errors import BuildFailed, NotBuilt
from proving.sp1 import build


@pytest.fixture
def sources(tmp_path, monkeypatch) -> Path:
    """A copy of the Rust sources in the place of the real ones."""
    copy = tmp_path / "sp1"
    shutil.copytree(build.SOURCES, copy, ignore=shutil.ignore_patterns("target", "__pycache__"))
    monkeypatch.setattr(build, "SOURCES", copy)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return copy


def test_key_does_not_depend_on_the_place(sources, monkeypatch):
    here = build.build_key()
    monkeypatch.undo()
    assert build.build_key() == here


@pytest.mark.parametrize(
    "name",
    [
        "Cargo.lock",
        "Cargo.toml",
        ".cargo/config.toml",
        "runner/src/lib.rs",
        "prover/src/prove.rs",
        "verifier/src/chain.rs",
        "worker/Cargo.toml",
    ],
)
def test_key_covers_every_source(sources, name):
    before = build.build_key()
    path = sources / name
    path.write_bytes(path.read_bytes() + b"\n")
    assert build.build_key() != before


def test_key_covers_new_files(sources):
    before = build.build_key()
    (sources / "verifier" / "src" / "more.rs").write_text("")
    assert build.build_key() != before


def test_no_source_is_outside_the_lock_file_or_the_key():
    """Only patterns of the key may hold what cargo reads."""
    named = set(build._source_files())
    for path in build.SOURCES.rglob("*"):
        if path.suffix in (".rs", ".lock") or path.name == "Cargo.toml":
            assert path in named


def test_every_crate_of_the_proof_system_is_pinned():
    """The verifier's checks were written for one version of the machine; no other may slip in."""
    manifest = (build.SOURCES / "Cargo.toml").read_text()
    for line in manifest.splitlines():
        if line.startswith(("sp1-", "slop-")) and "path" not in line:
            assert '"=6.10.0"' in line, line
    lock = (build.SOURCES / "Cargo.lock").read_text()
    for entry in lock.split("[[package]]")[1:]:
        if 'name = "sp1-' in entry or 'name = "slop-' in entry:
            assert 'version = "6.10.0"' in entry
    assert 'name = "sp1-sdk"' not in lock


def test_cargo_is_missing(sources, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BuildFailed, match=r"cargo .* is not installed.*apt-get install"):
        build.build(announce=print)


def test_cargo_fails(sources, tmp_path, monkeypatch):
    """The end of cargo's own words is in the error."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "cargo").write_text("#!/bin/sh\necho 'error: no such crate'; exit 101\n")
    (tools / "cargo").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:/bin:/usr/bin")
    with pytest.raises(BuildFailed, match=r"cargo ended with 101(?s:.*)no such crate"):
        build.build(announce=lambda line: None)


def test_nothing_to_do(sources, monkeypatch):
    """Finished files are found without cargo."""
    build.build_dir().mkdir(parents=True)
    for name in (build.WORKER, build.VERIFIER):
        (build.build_dir() / name).write_text(name)
    monkeypatch.setenv("PATH", "")
    said: list[str] = []
    paths = build.build(announce=said.append)
    assert {name: path.read_text() for name, path in paths.items()} == {name: name for name in paths}
    assert said == []


def test_not_built(sources):
    with pytest.raises(NotBuilt, match=r"proving\.sp1\.build --verifier"):
        build.find(build.VERIFIER)


def test_command_line_says_what_is_missing(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "proving.sp1.build"],
        env={"PATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        cwd=Path(build.__file__).parents[2],
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: cargo")
