"""Every test that takes `make` runs on both implementations of the core."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.cores.fix_cores import CORES


@pytest.fixture(params=sorted(CORES))
def make(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Makes a core of either implementation: every test that takes it runs on both."""
    return CORES[request.param]
