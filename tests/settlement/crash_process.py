"""A settlement process that ends, without any clean-up, the n-th time it reaches a point between two steps.

python -m tests.settlement.crash_process CONFIG.json POINT N
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from settlement.service import Settlement, SettlementConfig
from tests.settlement.samples import HashProver

EXIT_CODE = 77


def crash_at(point: str, times: int) -> None:
    seen = [0]

    def checkpoint(name: str) -> None:
        if name == point:
            seen[0] += 1
            if seen[0] == times:
                os._exit(EXIT_CODE)

    config = SettlementConfig.from_mapping(json.loads(Path(sys.argv[1]).read_text()))
    prover = HashProver(Path(config.data_dir))
    settlement = Settlement(config, prover, prover.verify, checkpoint)
    for _ in range(40):
        settlement.follower.step()
        settlement.follower.prove_step()


def write_config(config: SettlementConfig, path: Path) -> Path:
    path.write_text(json.dumps(asdict(config)))
    return path


if __name__ == "__main__":
    crash_at(sys.argv[2], int(sys.argv[3]))
