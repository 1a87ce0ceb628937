"""Commands made of a fuzzer's bytes: the core keeps what core.h promises, under the sanitizers.

FUZZ_SECONDS says how long to look for something new; `make fuzz` and the checks before a change lands give it a minute.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.cores import fuzzing
from tests.cores.fuzzing import CORPUS, CORPUS_FILE_BYTES, Finding, Fuzzer

SECONDS = int(os.environ.get("FUZZ_SECONDS", "5"))


@pytest.fixture(scope="module")
def fuzzer() -> Fuzzer:
    return Fuzzer()


def corpus_files() -> list[Path]:
    return sorted(path for path in CORPUS.iterdir() if path.is_file())


def test_the_corpus_breaks_nothing(fuzzer: Fuzzer) -> None:
    files = corpus_files()
    assert 12 <= len(files) <= 64
    assert all(path.stat().st_size <= CORPUS_FILE_BYTES for path in files)
    fuzzer.run_files(files)


def test_nothing_new_breaks(fuzzer: Fuzzer) -> None:
    seed = int(os.environ.get("FUZZ_SEED", random.randrange(1, 1 << 31)))
    print(f"{fuzzer.description}, seed {seed}")
    ended = fuzzer.fuzz(SECONDS, seed)
    if isinstance(ended, Finding):
        raise AssertionError(fuzzing.report(ended, fuzzing.keep(ended)))
    print(ended)


def test_the_other_engine_drives_the_same_target(fuzzer: Fuzzer) -> None:
    """gcc's own driver keeps working where libFuzzer is the engine, so that it works where there is none."""
    if fuzzer.engine == "gcc":
        pytest.skip("it is the engine already")
    other = Fuzzer("gcc")
    ended = other.fuzz(2, 1)
    assert isinstance(ended, str), fuzzing.report(ended, fuzzing.keep(ended))
    runs, features, *_ = (int(word) for word in ended.replace(",", "").split() if word.isdigit())
    assert runs > len(corpus_files()) and features > 500


@pytest.mark.parametrize("engine", [None, "gcc"], ids=["default", "gcc"])
def test_a_fault_is_found_and_shrunk(engine: str | None) -> None:
    """A core that misreports a fill now and then: found, and told in a few commands."""
    spoiled = Fuzzer(engine, spoiled=True)
    finding = spoiled.fuzz(60, 7, length=400)
    assert isinstance(finding, Finding), finding
    assert "events of a" in finding.message
    assert len(finding.shrunk) <= len(finding.found)
    orders = [line for line in finding.script.splitlines() if " NEW(" in line]
    assert 2 <= len(orders) <= 8, finding.script
    assert "FILL" in finding.script


def test_leaving_out_steps_keeps_what_breaks() -> None:
    steps = [bytes([number] * 8) for number in range(1, 60)]
    head = bytes(8)
    shrunk = fuzzing.shrink(head + b"".join(steps), lambda data: steps[4] in data and steps[40] in data)
    assert shrunk == head + steps[4] + steps[40]
