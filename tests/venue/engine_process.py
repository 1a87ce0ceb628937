"""An engine in a process of its own, for tests that kill it or break its disk: `python -m tests.venue.engine_process`.

Arguments: folder, seed, number of commands, sync mode, commands between snapshots. It appends each report's exec id,
session and the durable sequence number to the folder's `told` as soon as the sink has it (the sessions' store, so to
say), and ends with EXIT_JOURNAL_FAILED when the journal failed.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import Any

from tests.venue.engine_flow import endow, flow, opened
from venue.engine import EXIT_JOURNAL_FAILED


def main(folder: Path, seed: int, count: int, sync: str, snapshot_commands: int) -> int:
    reasons: list[str] = []
    told_why = threading.Event()
    told = os.open(folder / "told", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def sink(reports: Any) -> None:
        lines = [f"{r['event']['exec_id']} {r['session']} {engine.durable_seq}\n" for r in reports]
        os.write(told, "".join(lines).encode())

    def on_fatal(reason: str) -> None:
        reasons.append(reason)
        told_why.set()

    engine = opened(folder, sync=sync, snapshot_commands=snapshot_commands, on_fatal=on_fatal)
    engine.set_sink(sink)
    print("open", engine.last_seq, engine.epoch, flush=True)
    if engine.last_seq == 0:
        endow(engine)
    for fields in flow(seed, count):
        if engine.submit(**fields)[0] == 2:
            break
    engine.drain()
    if engine.stopped:
        assert told_why.wait(20) and reasons == [engine.stopped]
        print("failed", engine.stopped, flush=True)
        return EXIT_JOURNAL_FAILED
    engine.close()
    return 0


if __name__ == "__main__":
    # Past the interpreter's own ending: an engine that failed is not closed.
    code = main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], int(sys.argv[5]))
    sys.stdout.flush()
    os._exit(code)
