"""Fixtures: the venue of the session tests, with either application."""

from tests.fix_sessions.conftest import application, venue

__all__ = ["application", "venue"]
