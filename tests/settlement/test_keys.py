"""Keys: made only where asked, private to their owner, and refused with a reason when they are not keys."""

from __future__ import annotations

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
