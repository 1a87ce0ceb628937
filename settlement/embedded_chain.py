"""A small Ethereum chain for one machine, whose blocks survive the process.

eth-tester keeps its chain in memory: a settlement process that is restarted would find its contracts gone. Here every
block is appended to a file and flushed before its transaction counts as sent, and imported again (re-executed and
checked by py-evm) at the next start: same genesis, same hashes, same contracts. It is a development chain: one node,
no consensus, no finality, and whoever owns the folder can rewrite it. It must never pretend to be more.

    DIR/genesis.json    time, a random mark that makes the genesis hash unique, funded addresses
    DIR/blocks.log      length u32 | CRC-32 u32 | RLP of the block, one after the other
    DIR/lock            held while a process runs the chain
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import secrets
import struct
import time
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

import rlp  # type: ignore[import-untyped]
from eth_tester import EthereumTester, PyEVMBackend

from settlement.errors import SettlementConfigError

log = logging.getLogger("venue.settlement.chain")

FUNDS_WEI = 10**24
_HEAD = struct.Struct(">II")


class BlockLog:
    """The file of blocks: append, read, cut. Only the last block can be torn, and then nobody was told of it."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("a+b")
        self._path = path
        self._ends: list[int] = []

    def read(self) -> list[bytes]:
        """All whole blocks; a torn tail is cut off and logged, damage before it is an error."""
        self._file.seek(0)
        data = self._file.read()
        blocks, at = [], 0
        while at < len(data):
            body = data[at + _HEAD.size :]
            length, crc = _HEAD.unpack_from(data.ljust(at + _HEAD.size, b"\0"), at)
            if len(body) < length or zlib.crc32(body[:length]) != crc or length == 0:
                if 0 < length < len(body):
                    raise SettlementConfigError(
                        f"{self._path}: damaged block at offset {at}; restore the folder from a copy, or delete it "
                        "to begin a new chain (everything is then anchored again)"
                    )
                log.warning("%s: torn block at offset %d cut off; it was never confirmed", self._path, at)
                self._cut(at)
                break
            blocks.append(body[:length])
            at += _HEAD.size + length
            self._ends.append(at)
        return blocks

    def append(self, block: bytes) -> None:
        """Write one block through to the disk."""
        self._file.write(_HEAD.pack(len(block), zlib.crc32(block)) + block)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._ends.append(self._file.seek(0, os.SEEK_END))

    def keep(self, count: int) -> None:
        """Forget every block after the first `count`: the chain was taken back."""
        assert 0 <= count <= len(self._ends)
        del self._ends[count:]
        self._cut(self._ends[-1] if self._ends else 0)

    def _cut(self, size: int) -> None:
        self._file.truncate(size)
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


class DurableBackend(PyEVMBackend):  # type: ignore[misc]
    """py-evm with its blocks on disk."""

    def __init__(self, folder: Path, genesis: dict[str, Any]) -> None:
        overrides = {"timestamp": genesis["timestamp"], "extra_data": bytes.fromhex(genesis["mark"])}
        account = {"balance": FUNDS_WEI, "nonce": 0, "code": b"", "storage": {}}
        super().__init__(
            genesis_parameters=self.generate_genesis_params(overrides=overrides),
            genesis_state={bytes.fromhex(address): account for address in genesis["funded"]},
        )
        self._log: BlockLog | None = None
        blocks = BlockLog(folder / "blocks.log")
        for data in blocks.read():
            self.chain.import_block(rlp.decode(data, sedes=self.chain.get_vm().get_block_class()))
        self._log = blocks

    def mine_blocks(self, num_blocks: int = 1, coinbase: bytes = bytes(20)) -> tuple[bytes, ...]:
        """Mine, and write what was mined before anybody hears of it."""
        hashes: tuple[bytes, ...] = super().mine_blocks(num_blocks, coinbase)
        assert self._log is not None
        for block_hash in hashes:
            self._log.append(rlp.encode(self.chain.get_block_by_hash(block_hash)))
        return hashes

    def revert_to_snapshot(self, snapshot: bytes) -> None:
        """Take blocks back, on disk as well."""
        super().revert_to_snapshot(snapshot)
        assert self._log is not None
        self._log.keep(self.chain.get_block().number - 1)

    def close(self) -> None:
        assert self._log is not None
        self._log.close()


class EmbeddedChain:
    """The chain of one folder, held by this process until `close`."""

    def __init__(self, folder: Path, funded: Iterable[bytes] = ()) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = (folder / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SettlementConfigError(f"{folder}: another process runs this chain; stop it first") from None
        self.backend = DurableBackend(folder, _genesis(folder / "genesis.json", funded))
        self.tester = EthereumTester(self.backend)

    def close(self) -> None:
        """Let go of the folder."""
        self.backend.close()
        self._lock.close()


def _genesis(path: Path, funded: Iterable[bytes]) -> dict[str, Any]:
    """Read the genesis of a folder; a new folder gets one."""
    if path.exists():
        genesis: dict[str, Any] = json.loads(path.read_text())
        missing = [address.hex() for address in funded if address.hex() not in genesis["funded"]]
        if missing:
            log.warning("%s: %s were not funded when this chain began", path, ", ".join(missing))
        return genesis
    genesis = {
        "timestamp": int(time.time()),
        "mark": secrets.token_hex(32),
        "funded": [address.hex() for address in funded],
    }
    part = path.with_suffix(".part")
    with part.open("w") as file:
        json.dump(genesis, file)
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)
    return genesis
