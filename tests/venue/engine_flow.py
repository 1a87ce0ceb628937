"""What the engine's tests share: a small venue, a seeded flow of orders, crash images, the journal's format by hand.

The format is written down here a second time, from the words of journal.h: a change of the bytes on disk fails a test.
"""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from venue._engine import checksum

from cores import COMMAND, CommandKind, CoreConfig, OrdType, Side, Tif
from cores.records import Phase
from venue.engine import Engine

LIMITS = CoreConfig(symbols=3, accounts=6, assets=3, orders=256, levels=1024)
SEGMENT_BYTES = 65_536
SESSIONS = (1, 2, 3)
FUNDS = 10**15
SEGMENT_HEAD = struct.Struct("<8sIIQQ5I8xI")
ENTRY_HEAD = struct.Struct("<IIIIQ")


def opened(folder: Path, **options: Any) -> Engine:
    """An engine on `folder` with small segments and, unless asked for, no snapshots."""
    options = {"segment_bytes": SEGMENT_BYTES, "snapshot_commands": 0, **options}
    return Engine.open(folder, LIMITS, **options)


def endow(engine: Engine) -> None:
    """Two symbols, accounts 1..5 with money in every asset."""
    for symbol in range(2):
        fields = {"symbol": symbol, "account": symbol + 1, "session": 0, "order_id": 1, "aux": 1}
        accepted(engine.call(kind=CommandKind.INSTRUMENT, price_ticks=100, qty_lots=1000, **fields))
    for account in range(1, LIMITS.accounts):
        group = {"order_id": account, "price_ticks": account % 5}
        accepted(engine.call(kind=CommandKind.ACCOUNT, account=account, aux=10 | 20 << 32, **group))
        for asset in range(LIMITS.assets):
            body = b"verb=deposit\x01actor=test\x01ref=%d\x01" % asset
            accepted(engine.call(kind=CommandKind.DEPOSIT, account=account, asset=asset, qty_lots=FUNDS, body=body))


def accepted(answer: tuple[int, int, Any]) -> None:
    status, seq, events = answer
    assert status == 0 and events["kind"][0] != 15, (status, seq, events)


def limit(account: int, side: Side, price: int, lots: int, clordid: str, **more: Any) -> dict[str, Any]:
    """Submit's arguments for a good-till-cancel limit order in symbol 0 by session `account`."""
    fields = {"kind": CommandKind.NEW, "side": side, "ord_type": OrdType.LIMIT, "tif": Tif.GTC, "account": account}
    return {**fields, "session": account, "price_ticks": price, "qty_lots": lots, "clordid": clordid, **more}


def cancel(account: int, clordid: str, orig: str, **more: Any) -> dict[str, Any]:
    fields = {"kind": CommandKind.CANCEL, "account": account, "session": account, "side": 0}
    return {**fields, "clordid": clordid, "orig_clordid": orig, **more}


def replace(account: int, price: int, lots: int, clordid: str, orig: str, **more: Any) -> dict[str, Any]:
    return cancel(account, clordid, orig, kind=CommandKind.REPLACE, price_ticks=price, qty_lots=lots, **more)


def body_of(kind: int, clordid: str, orig: str = "", **tags: Any) -> bytes:
    """An annex body as the FIX sessions make it."""
    fields = [f"35={'?DFG'[kind]}", f"11={clordid}", *([f"41={orig}"] if orig else [])]
    return "".join(f"{field}\x01" for field in [*fields, *(f"{tag}={value}" for tag, value in tags.items())]).encode()


def terms(random: Random, lots: int) -> dict[str, int]:
    """Type, validity, stop price or displayed quantity, expiry and instructions of an order; mostly a plain limit's."""
    ord_type = random.choices(list(OrdType), (1, 12, 2, 2, 1))[0]
    tifs = {OrdType.LIMIT: (*Tif, Tif.GTC, Tif.GTC, Tif.GTC, Tif.DAY), OrdType.MARKET: (Tif.DAY, Tif.IOC, Tif.AT_OPEN)}
    found = {"ord_type": ord_type, "tif": random.choice(tifs.get(ord_type, (Tif.DAY, Tif.GTC, Tif.GTD)))}
    if found["tif"] == Tif.GTD:
        found["aux"] = 1 << 62
    if ord_type in (OrdType.STOP, OrdType.STOP_LIMIT):
        found["order_id"] = random.randint(485, 515)
    elif ord_type == OrdType.LIMIT and random.random() < 0.2:
        found["order_id"] = (lots + 3) // 4
    if random.random() < 0.1:
        found["flags"] = random.choice((1, 3, 4, 1 << 4, 3 << 4, 4 << 4))
    return found


PHASES = (Phase.PRE_OPEN, Phase.VOLATILITY, Phase.CLOSE_CALL, *[Phase.CONTINUOUS] * 6)


def flow(seed: int, count: int) -> Iterator[dict[str, Any]]:
    """Submit's arguments for a mixed flow: orders, cancels, replaces, mass cancels; some of them wrong."""
    random = Random(seed)
    names: dict[int, list[str]] = {session: ["none"] for session in SESSIONS}
    for number in range(count):
        session = random.choice(SESSIONS)
        name = f"S{session}-{number}" if random.random() > 0.03 else random.choice(names[session])
        orig = random.choice(names[session][-12:])
        price, lots = random.randint(490, 510), random.randint(1, 20)
        symbol = random.randint(0, 1)
        choice = random.random()
        if choice < 0.6:
            side = random.choice([Side.BUY, Side.SELL])
            yield limit(session, side, price, lots, name, symbol=symbol, **terms(random, lots))
            names[session].append(name)
        elif choice < 0.8:
            yield cancel(session, name, orig, symbol=symbol)
        elif choice < 0.98:
            yield replace(session, price, lots, name, orig, symbol=symbol)
            names[session].append(name)
        elif choice < 0.99:
            yield {"kind": CommandKind.PHASE, "symbol": symbol, "ord_type": random.choice(PHASES)}
        else:
            yield {"kind": CommandKind.MASS_CANCEL, "account": session, "session": session, "symbol": symbol}


@dataclass
class Sink:
    """Keeps every report it was given."""

    arrays: list[Any]

    def __init__(self) -> None:
        self.arrays = []

    def __call__(self, reports: Any) -> None:
        self.arrays.append(reports)

    @property
    def reports(self) -> Any:
        return np.concatenate(self.arrays) if self.arrays else np.empty(0)


def crash_image(folder: Path, target: Path) -> Path:
    """What the disk holds while the engine runs on: the folder as a killed process leaves it."""
    for _ in range(100):
        try:
            return Path(shutil.copytree(folder, target, ignore=shutil.ignore_patterns("*.sock", "*.tmp")))
        except shutil.Error:  # A snapshot was replaced while it was copied: that is no moment of the disk.
            shutil.rmtree(target)
    raise AssertionError(f"{folder} is never still")


def segment_paths(folder: Path) -> list[Path]:
    return sorted((folder / "journal").glob("*.journal"))


def set_watermark(folder: Path, durable_seq: int) -> None:
    """What the watermark may say after a power cut: less than what is in the segments."""
    path = folder / "journal" / "watermark"
    data = bytearray(path.read_bytes())
    data[16:24] = durable_seq.to_bytes(8, "little")
    path.write_bytes(data)


def entry_bytes(command: Any, annex: bytes, epoch: int, group_first_seq: int) -> bytes:
    """One journal entry, by the words of journal.h."""
    length = (ENTRY_HEAD.size + 64 + len(annex) + 7) // 8 * 8
    rest = struct.pack("<IIQ", len(annex), epoch, group_first_seq) + command.tobytes() + annex
    rest += bytes(length - 8 - len(rest))
    prefix = struct.pack("<I", length)
    return prefix + struct.pack("<I", checksum(prefix + rest)) + rest


def head_bytes(first_seq: int, epoch: int, limits: CoreConfig = LIMITS) -> bytes:
    """A segment's head, by the words of journal.h."""
    head = SEGMENT_HEAD.pack(b"FVJOURNL", 1, epoch, first_seq, 0, *limits.words(), 0)[:-4]
    return head + struct.pack("<I", checksum(head))


def entries_of(path: Path) -> list[tuple[int, int, Any, bytes, int]]:
    """(offset, bytes, command, annex, group_first_seq) of every entry in a segment, read by the words of journal.h."""
    data = path.read_bytes()
    found, at = [], SEGMENT_HEAD.size
    while at + ENTRY_HEAD.size <= len(data):
        length, crc, annex_bytes, _, group = ENTRY_HEAD.unpack_from(data, at)
        if length == 0:
            break
        assert checksum(data[at : at + 4] + data[at + 8 : at + length]) == crc
        command = np.frombuffer(data, COMMAND, 1, at + ENTRY_HEAD.size)[0]
        start = at + ENTRY_HEAD.size + 64
        found.append((at, length, command, data[start : start + annex_bytes], group))
        at += length
    return found


def journal_by_hand(folder: Path, commands: list[tuple[dict[str, int], bytes]], group_firsts: list[int]) -> list[bytes]:
    """Writes a one-segment journal of these (command fields, body); returns the entries."""
    (folder / "journal").mkdir(parents=True)
    entries = []
    for number, (fields, body) in enumerate(commands, 1):
        record = np.zeros(1, COMMAND)
        for name, value in {"seq": number, "time_ns": number, **fields}.items():
            record[name] = value
        entries.append(entry_bytes(record, os.urandom(16) + body, 1, group_firsts[number - 1]))
    (folder / "journal" / f"{1:020d}.journal").write_bytes(head_bytes(1, 1) + b"".join(entries))
    return entries
