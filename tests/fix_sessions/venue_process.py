"""A venue in a process of its own, to be killed: prints its port, then runs until the end comes.

venue_process.py FOLDER APPLICATION SYNC             a venue
venue_process.py FOLDER unreported                   an engine alone that makes executions durable and dies at once
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from cores import CommandKind, OrdType, Side
from tests.fix_sessions.rig import Venue, make_config
from venue.engine import Engine


def die_unreported(folder: Path) -> None:
    """Two orders of session 4 that trade with one of session 2; nobody is told."""
    config = make_config(folder)
    sizes = config.limits
    from cores import CoreConfig

    core = CoreConfig(sizes.symbols, sizes.accounts, sizes.assets, sizes.orders, sizes.levels)
    engine = Engine.open(folder, core, sync="commit")
    for session, account, side, name in ((4, 1, Side.BUY, b"u1"), (4, 1, Side.BUY, b"u2"), (2, 2, Side.SELL, b"u3")):
        terms = {
            "kind": CommandKind.NEW,
            "ord_type": OrdType.LIMIT,
            "price_ticks": 9_900,
            "qty_lots": 5 if session == 4 else 10,
        }
        engine.call(clordid=name, session=session, account=account, side=side, **terms)
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    folder = Path(sys.argv[1])
    if sys.argv[2] == "unreported":
        die_unreported(folder)
    venue = Venue(folder, sys.argv[2], sys.argv[3])
    print(venue.acceptor.port, flush=True)
    time.sleep(600)


if __name__ == "__main__":
    main()
