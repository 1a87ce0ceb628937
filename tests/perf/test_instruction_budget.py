"""A command costs no more zkVM instructions than was agreed, to 5%: the executor counts the same everywhere.

After a change that is worth its price: python perf/instructions.py --write, and the reason in the commit.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from perf import instructions

SLACK = 1.05


@pytest.mark.prover
@pytest.mark.timeout(2_400)
def test_no_kind_of_command_has_grown(tmp_path: Path) -> None:
    from proving.sp1 import build

    build.build()
    found, budget = instructions.measure(), instructions.budget()
    assert set(found) == set(budget), "a kind without a figure: python perf/instructions.py --write"
    grown = {
        kind: f"{count:.1f} instructions, {budget[kind]:.1f} agreed"
        for kind, count in found.items()
        if count > budget[kind] * SLACK
    }
    assert grown == {}, "python perf/instructions.py prints the table; --write renews it"


@pytest.mark.parametrize("kind", instructions.KINDS)
def test_a_batch_of_one_kind_is_that_kind(kind: str) -> None:
    guest_input, count = instructions.batch_of(kind)
    assert count >= len(instructions.MEMBERS)
    assert len(guest_input) > 64 * count
