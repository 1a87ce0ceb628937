"""Passwords that were changed at logon: one JSON file in the venue's data folder, replaced whole and synced.

The configuration says the first password's hash; a change through NewPassword(925) writes a later one here, which
counts as long as the configuration still has the hash it replaced: an operator who writes a new hash there has the last
word. The file also knows since when a hash is in use, so that passwords can age. Must never hold a password, and never
answer that a password was changed before it is on disk.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PREVIOUS_MAX = 3
"""So many earlier hashes are kept, to refuse their passwords."""


class CredentialsError(OSError):
    """The file cannot be read or written; the text says which and why."""


class Credentials:
    """What the file says, by CompID. Used by one thread."""

    def __init__(self, path: Path, configured: dict[str, str], now: Callable[[], float] = time.time) -> None:
        """`configured`: the hash that the configuration has for each CompID. Raises CredentialsError."""
        self._path, self._configured, self._now = path, configured, now
        self._entries: dict[str, dict[str, Any]] = self._read()
        fresh = {comp_id: hashed for comp_id, hashed in configured.items() if not self._holds(comp_id)}
        for comp_id, hashed in fresh.items():
            self._entries[comp_id] = {"configured": hashed, "hash": hashed, "since": self._now(), "previous": []}
        self._stale = bool(fresh)

    def hash_of(self, comp_id: str) -> str:
        """The hash in force."""
        return str(self._entries[comp_id]["hash"])

    def previous(self, comp_id: str) -> list[str]:
        """Hashes whose passwords must not come back, the newest first."""
        return [self.hash_of(comp_id), *self._entries[comp_id]["previous"]]

    def age_days(self, comp_id: str) -> float:
        return float((self._now() - self._entries[comp_id]["since"]) / 86_400)

    def remember(self) -> None:
        """Writes down since when the configured hashes are in use, when that is new. Raises CredentialsError."""
        if self._stale:
            self._write()

    def change(self, comp_id: str, hashed: str) -> None:
        """A new hash, in force once it is on disk. Raises CredentialsError; then the old one stays in force."""
        old = self._entries[comp_id]
        previous = [old["hash"], *old["previous"]][:PREVIOUS_MAX]
        self._entries[comp_id] = {**old, "hash": hashed, "since": self._now(), "previous": previous}
        try:
            self._write()
        except CredentialsError:
            self._entries[comp_id] = old
            raise

    def check(self) -> None:
        """Asserts that every session with a password has one entry, of its own configured hash."""
        assert all(self._holds(comp_id) for comp_id in self._configured)

    def _holds(self, comp_id: str) -> bool:
        return self._entries.get(comp_id, {}).get("configured") == self._configured[comp_id]

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            found = json.loads(self._path.read_text())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise CredentialsError(f"{self._path}: cannot be read: {error}; restore it, or move it away") from error
        keys = {"configured", "hash", "since", "previous"}
        if not isinstance(found, dict) or not all(isinstance(e, dict) and keys <= set(e) for e in found.values()):
            raise CredentialsError(f"{self._path}: is no file of credentials; restore it, or move it away")
        return found

    def _write(self) -> None:
        part = self._path.with_name(self._path.name + ".part")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with open(descriptor, "w") as file:  # noqa: PTH123 - a descriptor with its mode
                json.dump(self._entries, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            part.replace(self._path)
            folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            with contextlib.suppress(OSError):
                part.unlink()
            raise CredentialsError(f"{self._path}: cannot be written: {error}") from error
        self._stale = False
