"""Settlement by hand: `python -m settlement --config FILE.json [run | status | accept-revert | resume]`.

`run` follows the archive and commits (proving is wired up by the venue's own command line); `status` prints where every
batch stands; `accept-revert` agrees to ranges that the contract's owner took back; `resume` clears a halt.
"""

from __future__ import annotations

import argparse
import getpass
import json
import logging
import signal
import sys
import threading
from pathlib import Path

from settlement.errors import SettlementError
from settlement.service import Settlement, SettlementConfig, open_ledger, run


def main(arguments: list[str] | None = None) -> int:
    """Command line; exit code 2 for an error that a person must mend."""
    parser = argparse.ArgumentParser(prog="python -m settlement", description="Anchor sealed batches on a chain.")
    parser.add_argument("--config", type=Path, required=True, help="JSON file with the settlement settings")
    parser.add_argument("verb", nargs="?", default="run", choices=("run", "status", "accept-revert", "resume"))
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        mapping = json.loads(options.config.read_text())
        config = SettlementConfig.from_mapping(mapping)
        return _VERBS[options.verb](config, mapping)
    except (SettlementError, OSError, ValueError) as error:
        print(f"settlement: {error}", file=sys.stderr)
        return 2


def _run(config: SettlementConfig, mapping: dict[str, object]) -> int:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    run(mapping, stop)
    return 0


def _status(config: SettlementConfig, mapping: dict[str, object]) -> int:
    ledger = open_ledger(config)
    halted = ledger.halted()
    print(json.dumps({"halted": halted, "batches": ledger.summary()}, indent=1))
    ledger.close()
    return 0


def _accept_revert(config: SettlementConfig, mapping: dict[str, object]) -> int:
    settlement = Settlement(config)
    anchor = settlement.anchor()
    undone = anchor.accept_revert() if anchor is not None else 0
    settlement.ledger.clear_halts(getpass.getuser())
    settlement.close()
    print(f"{undone} transactions marked as taken back")
    return 0


def _resume(config: SettlementConfig, mapping: dict[str, object]) -> int:
    ledger = open_ledger(config)
    print(f"{ledger.clear_halts(getpass.getuser())} halts cleared")
    ledger.close()
    return 0


_VERBS = {"run": _run, "status": _status, "accept-revert": _accept_revert, "resume": _resume}

if __name__ == "__main__":
    sys.exit(main())
