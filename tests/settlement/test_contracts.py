"""The committed artifacts come from the sources, and a difference is noticed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from settlement import contracts
from settlement.errors import ArtifactError


def test_artifacts_reproduce_from_source() -> None:
    assert contracts.main(["--check"]) == 0


def test_artifact_holds_what_deploying_needs() -> None:
    for name in contracts.CONTRACTS:
        artifact = contracts.load(name)
        assert artifact.deployed_bytecode[:1000] in artifact.bytecode
        assert len(artifact.deployed_bytecode) <= 24_576, "EIP-170"
        assert {"verifyProof", "commit"} & {entry.get("name") for entry in artifact.abi}


@pytest.fixture
def copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Sources and artifacts that a test may damage."""
    for file in contracts.SOURCES.glob("*.vy"):
        (tmp_path / file.name).write_text(file.read_text())
    (tmp_path / "artifacts").mkdir()
    for file in contracts.ARTIFACTS.glob("*.json"):
        (tmp_path / "artifacts" / file.name).write_text(file.read_text())
    monkeypatch.setattr(contracts, "SOURCES", tmp_path)
    monkeypatch.setattr(contracts, "ARTIFACTS", tmp_path / "artifacts")
    # One contract shows it; compiling the other as well only takes time.
    monkeypatch.setattr(contracts, "CONTRACTS", ("AttestedVerifier",))
    return tmp_path


def test_changed_source_is_noticed(copies: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also in the module that both import, and before anything is deployed."""
    source = copies / "two_step_owner.vy"
    source.write_text(source.read_text().replace('"not the owner"', '"no owner"'))
    with pytest.raises(ArtifactError, match=r"made from another two_step_owner\.vy"):
        contracts.load("AttestedVerifier")
    assert contracts.main(["--check"]) == 1
    assert "AttestedVerifier: sources_sha256, bytecode, deployed_bytecode differ" in capsys.readouterr().err
    assert contracts.main(["--write"]) == 0
    assert contracts.load("AttestedVerifier").bytecode


def test_changed_artifact_is_noticed(copies: Path) -> None:
    path = copies / "artifacts" / "AttestedVerifier.json"
    data = json.loads(path.read_text())
    data["bytecode"] = data["bytecode"][:-2] + "00"
    path.write_text(contracts.render(data))
    assert contracts.differences() == ["AttestedVerifier: bytecode differ"]
    path.unlink()
    with pytest.raises(ArtifactError, match="--write"):
        contracts.load("AttestedVerifier")
