"""The command line: each mistake ends with one clear line and its exit code, never a traceback."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from venue import cli


def venue(*arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    """Runs the real command in a process of its own."""
    return subprocess.run([sys.executable, "-m", "venue", *arguments], capture_output=True, text=True, input=text)


def test_every_verb_has_help(capsys):
    actions = cli.parser()._subparsers._group_actions[0]  # type: ignore[union-attr]
    for name in actions.choices:
        with pytest.raises(SystemExit) as end:
            cli.main([name, "--help"])
        assert end.value.code == 0
    assert "--config" in capsys.readouterr().out


def test_init_writes_once(tmp_path, capsys):
    assert cli.main(["init", str(tmp_path / "mine")]) == 0
    out = capsys.readouterr().out
    assert "ALPHA" in out and "venue run --config" in out
    assert cli.main(["init", str(tmp_path / "mine")]) == 2
    assert "exists already" in capsys.readouterr().err


def test_run_without_configuration_says_how_to_make_one(tmp_path):
    answer = venue("run", "--config", str(tmp_path / "absent.toml"))
    assert answer.returncode == 2
    assert "venue init" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_typo_in_the_configuration_is_named(tmp_path, capsys):
    cli.main(["init", str(tmp_path)])
    path = tmp_path / "venue.toml"
    path.write_text(path.read_text().replace("interval_ms", "intervall_ms"))
    assert cli.main(["run", "--config", str(path)]) == 2
    assert "unknown key 'intervall_ms'; did you mean 'interval_ms'?" in capsys.readouterr().err


def test_hash_password_makes_an_argon2_hash():
    from argon2 import PasswordHasher

    answer = venue("hash-password", text="secret\n")
    assert answer.returncode == 0
    assert PasswordHasher().verify(answer.stdout.strip(), "secret")
    assert venue("hash-password", text="\n").returncode == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["replay", "absent-journal"], "absent-journal"),
        (["verify", "absent.arrow"], "absent.arrow"),
        (["verify-receipt", "absent.json"], "absent.json"),
        (["receipt", "1-0", "--archive", "absent-archive"], "absent-archive"),
        (["export", "--archive", "absent-archive", "--from", "yesterday", "--to", "2030-01-01"], "yesterday"),
        (["sandbox", "--port", "0", "--keep", "/dev/null/x"], "/dev/null/x"),
        (["demo", "--prover", "replay", "--keep", "/dev/null"], "/dev/null: Not a directory"),
        (["demo", "--prover", "replay", "--report", "absent/x.json"], "make it first"),
        (["sandbox", "--port", "70000"], "must be from 0 to 65535"),
        (["sandbox", "--rate", "nan"], "must be a number, is 'nan'"),
        (["admin", "deposit", "--account", "x", "--asset", "USD", "--amount", "1"], "must be a whole number, is 'x'"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_missing_files_and_bad_values_are_named(tmp_path, arguments, message):
    answer = subprocess.run([sys.executable, "-m", "venue", *arguments], capture_output=True, text=True, cwd=tmp_path)
    assert answer.returncode in (1, 2)
    assert message in answer.stderr + answer.stdout
    assert "Traceback" not in answer.stderr


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    cli.main(["init", str(tmp_path)])
    path = tmp_path / "venue.toml"
    path.write_text(path.read_text().replace('data_dir = "data"', 'data_dir = "venue.toml/data"'))
    for process in ("run", "engine", "archive"):
        answer = venue(process, "--config", str(path))
        assert answer.returncode == 2 and "Traceback" not in answer.stderr
        assert f"{path}/data: cannot be made: " in answer.stderr and "choose another venue.data_dir" in answer.stderr


def test_a_port_that_is_taken_is_named(tmp_path):
    """Also that of metrics, which is an alarm and no end."""
    cli.main(["init", str(tmp_path)])
    path = tmp_path / "venue.toml"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text = path.read_text().replace("port = 5001", f"port = {port}")
        head, metrics = text.split("[metrics]")
        path.write_text(f"{head}[metrics]{metrics.replace('port = 0', f'port = {port}', 1)}")
        answer = venue("engine", "--config", str(path))
    assert answer.returncode == 1 and "Traceback" not in answer.stderr
    assert f"fix: cannot listen at 127.0.0.1:{port}" in answer.stderr and "choose another fix.host" in answer.stderr
    assert f"metrics: cannot listen at 127.0.0.1:{port}" in answer.stderr


def test_nobody_to_ask_for_a_password(tmp_path):
    cli.main(["init", str(tmp_path)])
    command = [sys.executable, "-m", "venue", "order", "--config", str(tmp_path / "venue.toml"), "--session", "ALPHA1"]
    answer = subprocess.run(
        [*command, "buy", "10", "ACME"], capture_output=True, text=True, input="", start_new_session=True
    )
    assert answer.returncode == 2 and "give --password" in answer.stderr and "Traceback" not in answer.stderr


def test_admin_without_a_running_venue_says_so(tmp_path):
    cli.main(["init", str(tmp_path)])
    answer = venue("admin", "--config", str(tmp_path / "venue.toml"), "status")
    assert answer.returncode == 1
    assert "is the venue running?" in answer.stdout


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        (["--asset", "EUR", "--amount", "5"], "asset 'EUR' is unknown; this venue has USD"),
        (["--asset", "USD", "--amount", "five"], "amount 'five' is not a decimal number"),
        (["--asset", "USD", "--amount", "0.00001"], "at most 4 decimals for USD"),
        (["--asset", "USD", "--amount", "-1"], "must be positive"),
        (["--asset", "USD", "--amount", "inf"], "must be positive"),
        (["--asset", "USD", "--amount", "1e999999999"], "is too large: at most 461168601842738.7903 USD"),
        (["--asset", "USD", "--amount", "461168601842738.7904"], "is too large"),
    ],
)
def test_amounts_are_exact_or_refused(tmp_path, rest, message):
    from venue import operate, sample
    from venue.config import ConfigError, load

    sample.write(tmp_path)
    config = load(Path(tmp_path) / "venue.toml")
    asset, amount = rest[1], rest[3]
    with pytest.raises(ConfigError, match=message):
        operate.units(operate.asset_named(config, asset), amount)


def test_addresses_have_twenty_bytes():
    from venue import operate
    from venue.config import ConfigError

    assert operate.address("0x" + "ab" * 20) == b"\xab" * 20
    for text in ("0x12", "zz" * 20, ""):
        with pytest.raises(ConfigError, match="40 hexadecimal digits"):
            operate.address(text)
