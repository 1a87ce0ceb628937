"""The whole way: sealed batches become final on the embedded chain, across restarts and losses."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest

from settlement.__main__ import main
from settlement.errors import SettlementConfigError
from settlement.keys import load_keys
from settlement.service import Settlement, SettlementConfig
from tests.settlement.samples import PROGRAM, HashProver, config, linked, seal, settle, the_anchor


def test_batches_become_final(tmp_path: Path, archive: Path, ledger_url: str) -> None:
    prover = HashProver(tmp_path)
    settlement = Settlement(config(tmp_path, archive, ledger_url, range_batches=4), prover, prover.verify)
    assert settlement.follower.step() is False
    seal(archive, linked(10))
    settle(settlement)
    states = settlement.ledger.batch_states()
    assert [state.batch_id for state in states] == list(range(1, 11))
    assert {(state.state, state.assurance) for state in states} == {("final", "attested")}
    assert [state.range_id for state in states] == [1, 1, 1, 1, 2, 2, 2, 2, 3, 3]
    head = the_anchor(settlement).contract.read("head")
    assert (head.range_count, head.final_count, head.next_batch_id) == (3, 3, 11)
    settlement.close()


def test_restart_goes_on(tmp_path: Path, archive: Path, ledger_url: str) -> None:
    """A new process finds its chain, its contracts and its ledger."""
    prover = HashProver(tmp_path)
    batches = linked(6)
    for count in (2, 4, 6):
        settlement = Settlement(config(tmp_path, archive, ledger_url), prover, prover.verify)
        seal(archive, batches[:count])
        settle(settlement)
        address = the_anchor(settlement).deployment.anchor
        settlement.close()
    settlement = Settlement(config(tmp_path, archive, ledger_url), prover, prover.verify)
    assert the_anchor(settlement).deployment.anchor == address
    assert the_anchor(settlement).contract.read("head").final_count == 3
    settlement.close()


def test_deleted_chain_is_anchored_again(
    tmp_path: Path, archive: Path, ledger_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The embedded chain may vanish; that is said, and everything is anchored on a new deployment."""
    prover = HashProver(tmp_path)
    seal(archive, linked(3))
    settlement = Settlement(config(tmp_path, archive, ledger_url), prover, prover.verify)
    settle(settlement)
    old = the_anchor(settlement).deployment
    settlement.close()
    shutil.rmtree(tmp_path / "settlement" / "chain")
    settlement = Settlement(config(tmp_path, archive, ledger_url), prover, prover.verify)
    settle(settlement)
    new = the_anchor(settlement).deployment
    assert new.id > old.id and new.genesis_hash != old.genesis_hash
    assert "anchored again on a new deployment" in caplog.text
    assert prover.calls == [1, 2, 3], "proofs are still good; only signatures are for another contract"
    settlement.close()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"chian": "x"}, "settlement.chian: no such setting"),
        ({"program_id": "1234"}, "settlement.program_id: must be 32 bytes"),
        ({"program_id": "00" * 32}, "settlement.program_id: must be 32 bytes"),
        ({"data_dir": ""}, "settlement.data_dir: must be given"),
        ({"range_batches": "8"}, "settlement.range_batches: must be int"),
        ({"range_batches": True}, "settlement.range_batches: must be int"),
        ({"range_batches": 0}, "settlement.range_batches: must be 1..32"),
        ({"range_batches": 33}, "settlement.range_batches: must be 1..32"),
        ({"range_seconds": None}, "settlement.range_seconds: must be float"),
        ({"deploy": 1}, "settlement.deploy: must be bool"),
        ({"poll_seconds": 0.0}, "settlement.poll_seconds: must be above 0"),
        ({"simulated_finality_blocks": -1}, "simulated_finality_blocks: must be 0"),
    ],
)
def test_settings_are_checked(changed: dict[str, object], words: str) -> None:
    settings = {"data_dir": "/nowhere", "archive_dir": "/nowhere", "program_id": PROGRAM.hex()}
    with pytest.raises(SettlementConfigError, match=words.replace(".", r"\.")):
        SettlementConfig.from_mapping({**settings, **changed})


def test_a_real_chain_is_never_deployed_to_unasked(tmp_path: Path, archive: Path, ledger_url: str) -> None:
    load_keys(tmp_path / "settlement" / "keys", make_missing=True)
    settlement = Settlement(config(tmp_path, archive, ledger_url, chain="http://127.0.0.1:1"))
    settlement.chain.identity = lambda: (1, bytes(32))  # type: ignore[method-assign]
    with pytest.raises(SettlementConfigError, match=r"no contracts are known .* settlement\.deploy"):
        settlement.anchor()
    settlement.close()


def test_a_real_chain_needs_its_keys(tmp_path: Path, archive: Path, ledger_url: str) -> None:
    with pytest.raises(SettlementConfigError, match=r"owner\.key is missing"):
        Settlement(config(tmp_path, archive, ledger_url, chain="http://127.0.0.1:1"))


def test_command_line(tmp_path: Path, archive: Path, ledger_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    prover = HashProver(tmp_path)
    settings = config(tmp_path, archive, ledger_url)
    seal(archive, linked(2))
    settlement = Settlement(settings, prover, prover.verify)
    settle(settlement)
    settlement.ledger.halt("look at this")
    settlement.close()
    file = tmp_path / "settlement.json"
    file.write_text(json.dumps(asdict(settings)))
    assert main(["--config", str(file), "status"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert status["halted"] == "look at this"
    assert [(batch["state"], batch["assurance"]) for batch in status["batches"]] == [("final", "attested")] * 2
    assert main(["--config", str(file), "resume"]) == 0
    assert "1 halts cleared" in capsys.readouterr().out
    assert main(["--config", str(file), "accept-revert"]) == 0
    assert "0 transactions" in capsys.readouterr().out
    file.write_text('{"chain": 1}')
    assert main(["--config", str(file), "status"]) == 2
    assert "settlement.data_dir: must be given" in capsys.readouterr().err
    assert main(["--config", str(tmp_path / "nowhere.json")]) == 2
