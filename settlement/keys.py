"""Private keys of the roles: one file each, readable by the owner of the process only.

Roles are separate keys because they are separate powers: the owner changes contracts, the committer and the prover only
send what the contract checks anyway, the verifier signs attestations. A key is never logged and never in the ledger.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from dataclasses import dataclass, fields
from pathlib import Path

from settlement.errors import SettlementConfigError

_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


@dataclass(frozen=True, repr=False)
class Keys:
    """The four keys, 32 bytes each."""

    owner: bytes
    committer: bytes
    prover: bytes
    verifier: bytes


def load_keys(folder: Path, *, make_missing: bool) -> Keys:
    """Read `<role>.key` files (64 hex digits); on a development chain missing ones are made."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return Keys(**{field.name: _load(folder / f"{field.name}.key", make_missing) for field in fields(Keys)})


def _load(path: Path, make_missing: bool) -> bytes:
    if not path.exists():
        if not make_missing:
            raise SettlementConfigError(
                f"{path} is missing: write 64 hex digits of a funded account's private key into it, mode 0600"
            )
        _write(path, secrets.randbelow(_ORDER - 1) + 1)
    if path.stat().st_mode & 0o077:
        raise SettlementConfigError(f"{path} can be read by others: chmod 600 {path}")
    text = path.read_text().strip().removeprefix("0x")
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != 32 or not 0 < int.from_bytes(key, "big") < _ORDER:
        raise SettlementConfigError(f"{path}: is not a private key; expected 64 hex digits")
    return key


def _write(path: Path, number: int) -> None:
    """Make the file, unless another process just has: both then use the one that is there."""
    part = path.with_suffix(f".{os.getpid()}.{secrets.token_hex(4)}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{number:064x}\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(part, path)
    finally:
        part.unlink()
