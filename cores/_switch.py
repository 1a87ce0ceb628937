"""Chooses the implementation of the core: compiled by default, VENUE_CORE=reference the Python one."""

from __future__ import annotations

import os

IMPLEMENTATION = os.environ.get("VENUE_CORE", "c")

if IMPLEMENTATION == "c":
    from cores._core import Core as Core
elif IMPLEMENTATION == "reference":
    from cores.reference import Core as Core
else:
    raise ImportError(f"VENUE_CORE={IMPLEMENTATION!r}: must be 'c' or 'reference'")
