"""Loads pip's QuickFIX library so that the native application can use its C++ symbols.

The native extension links to nothing: `_quickfix` must be in the process first, with its symbols global. Any other
version than the one compiled against is refused, because a vtable that differs by one entry corrupts memory silently.
"""

from __future__ import annotations

import ctypes
import os
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType

from fix_sessions.build import QUICKFIX_VERSION


class LibraryError(ImportError):
    """QuickFIX is missing or is another release than the native application was compiled against."""


def load() -> ModuleType:
    """The module `fix_sessions._native`."""
    try:
        found = version("quickfix")
    except PackageNotFoundError as error:
        raise LibraryError(f"quickfix is not installed; pip install quickfix=={QUICKFIX_VERSION}") from error
    if found != QUICKFIX_VERSION:
        raise LibraryError(
            f"quickfix {found} is installed, the native application was compiled against {QUICKFIX_VERSION}; "
            f"pip install quickfix=={QUICKFIX_VERSION}"
        )
    library = import_module("_quickfix")
    # Whoever imported it first, its symbols are for the native application too from here on.
    ctypes.CDLL(str(library.__file__), os.RTLD_NOW | os.RTLD_GLOBAL)
    return import_module("fix_sessions._native")
