"""Keys: made only where asked, private to their owner, and refused with a reason when they are not keys."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from settlement.errors import SettlementConfigError
from settlement.keys import load_keys


def test_made_once_and_private(tmp_path: Path) -> None:
    keys = load_keys(tmp_path / "keys", make_missing=True)
    assert load_keys(tmp_path / "keys", make_missing=False) == keys
    assert len({keys.owner, keys.committer, keys.prover, keys.verifier}) == 4
    for file in (tmp_path / "keys").iterdir():
        assert file.stat().st_mode & 0o077 == 0
    assert keys.owner.hex() not in repr(keys)


def test_two_processes_make_the_same_keys(tmp_path: Path) -> None:
    """Chain and settlement start at the same time on a new folder and must agree on whom the chain funds."""
    script = f"from settlement.keys import load_keys; from pathlib import Path; k = load_keys(Path({str(tmp_path)!r}), "
    script += "make_missing=True); print((k.owner + k.committer + k.prover + k.verifier).hex())"
    root = Path(__file__).parent.parent.parent
    command = [sys.executable, "-c", script]
    started = [subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE) for _ in range(6)]
    printed = {process.communicate(timeout=120)[0] for process in started}
    assert len(printed) == 1 and len(printed.pop()) == 257
    assert not list(tmp_path.glob("*.part"))


def test_a_key_that_appears_meanwhile_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_keys(tmp_path, make_missing=True)
    exists = Path.exists
    monkeypatch.setattr(Path, "exists", lambda path: path.suffix != ".key" and exists(path))
    assert load_keys(tmp_path, make_missing=True) == first


def test_missing_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettlementConfigError, match=r"owner\.key is missing"):
        load_keys(tmp_path, make_missing=False)


def test_readable_by_others(tmp_path: Path) -> None:
    load_keys(tmp_path, make_missing=True)
    (tmp_path / "prover.key").chmod(0o644)
    with pytest.raises(SettlementConfigError, match=r"chmod 600 .*prover\.key"):
        load_keys(tmp_path, make_missing=True)


@pytest.mark.parametrize("text", ["", "no key at all", "00" * 32, "ff" * 32, "11" * 31, "11" * 33])
def test_not_a_key(tmp_path: Path, text: str) -> None:
    load_keys(tmp_path, make_missing=True)
    (tmp_path / "verifier.key").write_text(text)
    with pytest.raises(SettlementConfigError, match=r"verifier\.key: is not a private key") as error:
        load_keys(tmp_path, make_missing=True)
    assert not text or text not in str(error.value)
