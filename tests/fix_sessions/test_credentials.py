"""Changed passwords: durable before they are in force, and the configuration's word is the last one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fix_sessions.credentials import PREVIOUS_MAX, Credentials, CredentialsError


def test_a_change_is_there_after_a_start(tmp_path: Path):
    path = tmp_path / "data" / "credentials.json"
    first = Credentials(path, {"A": "one", "B": "two"}, lambda: 0.0)
    assert not path.exists() and first.hash_of("A") == "one"
    first.change("A", "three")
    again = Credentials(path, {"A": "one", "B": "two"}, lambda: 86_400.0)
    again.check()
    assert (again.hash_of("A"), again.hash_of("B")) == ("three", "two")
    assert again.previous("A") == ["three", "one"] and again.age_days("A") == 1.0
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_new_hash_in_the_configuration_has_the_last_word(tmp_path: Path):
    path = tmp_path / "credentials.json"
    Credentials(path, {"A": "one"}).change("A", "two")
    assert Credentials(path, {"A": "reset by the operator"}).hash_of("A") == "reset by the operator"
    assert Credentials(path, {"A": "one"}).hash_of("A") == "two", "reading changes nothing"


def test_earlier_ones_are_bounded(tmp_path: Path):
    found = Credentials(tmp_path / "credentials.json", {"A": "h0"})
    for i in range(1, 8):
        found.change("A", f"h{i}")
    assert found.previous("A") == ["h7", "h6", "h5", "h4"] and PREVIOUS_MAX == 3


def test_what_cannot_be_written_is_not_in_force(tmp_path: Path):
    path = tmp_path / "credentials.json"
    found = Credentials(path, {"A": "one"})
    (tmp_path / "credentials.json.part").mkdir()
    with pytest.raises(CredentialsError, match="cannot be written"):
        found.change("A", "two")
    assert found.hash_of("A") == "one" and not path.exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"A": 5}', '{"A": {"hash": "x"}}'])
def test_a_damaged_file_stops_the_start(tmp_path: Path, text: str):
    path = tmp_path / "credentials.json"
    path.write_text(text)
    with pytest.raises(CredentialsError, match="move it away"):
        Credentials(path, {"A": "one"})


def test_an_age_begins_when_it_is_first_seen(tmp_path: Path):
    path = tmp_path / "credentials.json"
    Credentials(path, {"A": "one"}, lambda: 0.0).remember()
    assert json.loads(path.read_text())["A"]["since"] == 0.0
    assert Credentials(path, {"A": "one"}, lambda: 5 * 86_400.0).age_days("A") == 5.0
