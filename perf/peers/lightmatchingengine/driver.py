"""Plays the workload of bench_core.c on lightmatchingengine: its order books alone, in Python.

It has limit orders, and cancels by its own order number. What it lacks is made of what it has: an immediate order is
added and its rest cancelled; a move is a cancel and a new order, which loses priority as it does everywhere; a
reduction, which keeps priority, lowers the order's quantities in place. Trades are then the same as everybody's.

Usage: driver.py FOLDER_OF_THE_PACKAGE PEER_FILE RUNS [COMMANDS]. The best of the runs counts, in processor time of this
thread.
"""

from __future__ import annotations

import json
import struct
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, sys.argv[1])

from lightmatchingengine.lightmatchingengine import LightMatchingEngine  # type: ignore[import-not-found]

NEW, CANCEL, MOVE, REDUCE = range(4)
MASK = (1 << 64) - 1
Operation = tuple[int, int, int, int, int, int, int, int]


def mix(value: int, word: int) -> int:
    value = (value ^ word) * 0x100000001B3 & MASK
    return value ^ value >> 29


class Player:
    """One engine, the workload's names of its orders, and the hash of its trades."""

    def __init__(self) -> None:
        self.engine = LightMatchingEngine()
        self.orders: dict[int, Any] = {}  # the workload's name: its order
        self.names: dict[int, int] = {}  # its number: the workload's name
        self.hash = self.trades = self.refused = 0

    def apply(self, operation: Operation) -> None:
        kind, symbol, name, _, price, lots, side, last = operation
        if kind == NEW:
            self.add(symbol, name, price, lots, side)
            if last and self.orders[name].leaves_qty:
                self.cancel(symbol, name)
        elif kind == CANCEL:
            self.cancel(symbol, name)
        elif kind == MOVE:
            leaves = self.orders[name].leaves_qty
            self.cancel(symbol, name)
            self.add(symbol, name, price, leaves, side)
        else:
            order = self.orders[name]
            order.leaves_qty -= lots
            order.qty -= lots
            self.refused += order.leaves_qty != last

    def add(self, symbol: int, name: int, price: int, lots: int, side: int) -> None:
        order, trades = self.engine.add_order(symbol, price, lots, side)
        self.orders[name] = order
        self.names[order.order_id] = name
        for trade in trades:
            if trade.order_id != order.order_id:  # the aggressor's own line sums a level up
                words = (self.names[trade.order_id], name, trade.trade_price, trade.trade_qty)
                for word in words:
                    self.hash = mix(self.hash, word)
                self.trades += 1

    def cancel(self, symbol: int, name: int) -> None:
        self.refused += self.engine.cancel_order(self.orders[name].order_id, symbol) is None


def main() -> None:
    words = Path(sys.argv[2]).read_bytes()
    _, _, prepare_count, timed_count = struct.unpack_from("<4Q", words)
    timed_count = min(timed_count, int(sys.argv[4]) if len(sys.argv) > 4 else timed_count)
    needed = words[32 : 32 + 64 * (prepare_count + timed_count)]
    operations: list[Operation] = list(struct.iter_unpack("<8Q", needed))  # type: ignore[arg-type]
    prepare, timed = operations[:prepare_count], operations[prepare_count:]

    def prepared() -> Player:
        player = Player()
        for operation in prepare:
            player.apply(operation)
        player.hash = player.trades = player.refused = 0
        return player

    best = 1 << 62
    for _ in range(int(sys.argv[3])):
        player = prepared()
        start = time.thread_time_ns()
        for operation in timed:
            player.apply(operation)
        best = min(best, time.thread_time_ns() - start)
    each = []
    again = prepared()
    for operation in timed:
        start = time.perf_counter_ns()
        again.apply(operation)
        each.append(time.perf_counter_ns() - start)
    each.sort()
    result = {"ns_per_op": best / len(timed), "p50_ns": each[len(each) // 2], "p99_ns": each[len(each) * 99 // 100]}
    result |= {"operations": len(timed), "trades": player.trades, "refused": player.refused}
    print(json.dumps(result | {"trade_hash": f"{player.hash:016x}"}))


main()
