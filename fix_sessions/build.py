"""How the native FIX application is compiled: against the headers of the very quickfix release that is installed.

pip builds quickfix from its sdist and installs no headers. They are taken from that same sdist, pinned by its hash, and
kept in the user's cache; nothing of quickfix is copied into this tree and nothing is linked: at run time the symbols
come from the installed library (`library.py`). The version is the contract, because vtables are.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from setuptools import Extension

QUICKFIX_VERSION = "1.16.0"
QUICKFIX_SDIST_SHA256 = "825aceb72cfd69c30fbbf5b380b66f464abe1fe3188374f13d8c9987dd8eb4e9"
FLAGS = ["-std=c++17", "-O3", "-g0"]
WARNINGS = ["-Wall", "-Wextra"]


class HeadersError(OSError):
    """The headers could not be had; the text says why and how to mend it."""


def cache_dir() -> Path:
    """Where downloads and compiled tools of the venue are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "fix-venue"


def headers_dir() -> Path:
    """The folder of quickfix's C++ headers; downloads the sdist the first time."""
    folder = cache_dir() / f"quickfix-{QUICKFIX_VERSION}"
    include = folder / "C++"
    if not (include / "Session.h").exists():
        _fetch(folder)
    return include


def _fetch(folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "quickfix"]
        command += ["--no-build-isolation", f"quickfix=={QUICKFIX_VERSION}", "--dest", temporary]
        answer = subprocess.run(command, capture_output=True, text=True)
        sdist = Path(temporary) / f"quickfix-{QUICKFIX_VERSION}.tar.gz"
        if answer.returncode != 0 or not sdist.exists():
            tail = "\n".join(answer.stderr.strip().splitlines()[-3:])
            raise HeadersError(f"quickfix {QUICKFIX_VERSION} could not be downloaded; check the network:\n{tail}")
        _unpack(sdist, Path(temporary))
        (Path(temporary) / f"quickfix-{QUICKFIX_VERSION}").replace(folder)


def _unpack(sdist: Path, target: Path) -> None:
    digest = hashlib.sha256(sdist.read_bytes()).hexdigest()
    if digest != QUICKFIX_SDIST_SHA256:
        raise HeadersError(
            f"{sdist.name}: SHA-256 is {digest}, expected {QUICKFIX_SDIST_SHA256}; "
            "the download is damaged or was replaced: clear pip's cache and try again"
        )
    with tarfile.open(sdist) as archive:
        archive.extractall(target, filter="data")


def native_extension() -> list[Extension]:
    """What setup.py adds: the extension `fix_sessions._native`."""
    from setuptools import Extension

    folder = Path(__file__).parent
    root = folder.parent
    sources = sorted(path for path in folder.glob("*.cpp") if not path.name.startswith("_"))
    return [
        Extension(
            "fix_sessions._native",
            [_relative(path, root) for path in [folder / "_native.pyx", *sources]],
            include_dirs=["fix_sessions", "cores", "venue"],
            extra_compile_args=[*FLAGS, *WARNINGS, "-isystem", str(headers_dir())],
            language="c++",
            depends=[_relative(path, root) for path in [*folder.glob("*.h"), root / "venue/engine.h"]],
        )
    ]


def _relative(path: Path, root: Path) -> str:
    return str(path.relative_to(root))
