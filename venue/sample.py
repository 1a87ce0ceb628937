"""The commented sample configuration that `venue init` writes and the demo runs on."""

from __future__ import annotations

import secrets
from importlib import resources
from pathlib import Path

MEMBERS = ("ALPHA", "BRAVO", "CAROL")


def write(folder: Path) -> dict[str, str]:
    """Writes `folder`/venue.toml with fresh passwords; returns them by member. Refuses to overwrite.

    Raises FileExistsError. The file holds argon2 hashes only: the passwords exist nowhere else.
    """
    from argon2 import PasswordHasher

    path = folder / "venue.toml"
    if path.exists():
        raise FileExistsError(f"{path} exists already; choose another folder or edit that file")
    folder.mkdir(parents=True, exist_ok=True)
    text = resources.files("venue").joinpath("sample.toml").read_text(encoding="utf-8")
    passwords = {member: secrets.token_urlsafe(12) for member in MEMBERS}
    for member, password in passwords.items():
        text = text.replace(f"@{member}@", PasswordHasher().hash(password))
    path.write_text(text, encoding="utf-8")
    return passwords
