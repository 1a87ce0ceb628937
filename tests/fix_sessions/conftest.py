"""Fixtures: a venue with either application."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fix_sessions.certification_rig import Whole
from tests.fix_sessions.rig import Venue


@pytest.fixture(params=["native", "python"])
def application(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def venue(application: str, tmp_path: Path) -> Iterator[Venue]:
    found = Venue(tmp_path, application)
    yield found
    found.close()


@pytest.fixture(scope="module", params=["native", "python"])
def shared_venue(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Venue]:
    """One venue for all tests of a module that leave nothing behind; use `fresh` brokers."""
    found = Venue(tmp_path_factory.mktemp("venue"), str(request.param))
    yield found
    found.close()


@pytest.fixture
def make_venue(tmp_path: Path) -> Iterator[Callable[..., Venue]]:
    made: list[Venue] = []

    def make(*arguments: Any, folder: str = "venue", **fields: Any) -> Venue:
        (tmp_path / folder).mkdir(exist_ok=True)
        made.append(Venue(tmp_path / folder, *arguments, **fields))
        return made[-1]

    yield make
    for found in made:
        found.close()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    """A venue with all its gateways, whose answers a test spoils on their way."""
    found = Whole(tmp_path_factory.mktemp("whole"), spoilt=True)
    yield found
    found.close()
