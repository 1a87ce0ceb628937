"""Messages grown from the venue's own dictionary, right ones and wrong ones: what the fuzz tests send.

`grown` follows spec/FIX44.xml: fields in order, groups with as many entries as they say, values of each field's type,
plausible where the venue trades. `wounded` then breaks the body in a way that a parser could stumble over, and leaves
the header whole, so that the session itself has no reason to end.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

SOH = b"\x01"
DICTIONARY = Path(__file__).parents[2] / "spec" / "FIX44.xml"
OPTIONAL_SHARE = 0.25
ENTRIES_MAX = 3

PLAUSIBLE = {
    "Symbol": (b"ACME", b"ACME", b"ACME", b"BOLT", b"NONE"),
    "Account": (b"1", b"1", b"3", b"2"),
    "Price": (b"99", b"100.00", b"101.5", b"0.01", b"99.999"),
    "StopPx": (b"98", b"102"),
    "OrderQty": (b"1", b"2", b"10", b"0.5", b"99999999999"),
    "Side": (b"1", b"2"),
    "OrdType": (b"1", b"2", b"2", b"2", b"3", b"4"),
    "TimeInForce": (b"0", b"1", b"3", b"4"),
}
BY_TYPE = {
    "PRICE": (b"1", b"100", b"-1", b"0", b"99.5"),
    "QTY": (b"1", b"0", b"-1", b"7"),
    "AMT": (b"1", b"0.5"),
    "INT": (b"0", b"1", b"-1", b"7"),
    "SEQNUM": (b"1", b"2"),
    "LENGTH": (b"3",),
    "CHAR": (b"A", b"1"),
    "BOOLEAN": (b"Y", b"N"),
    "UTCTIMESTAMP": (b"20301231-23:59:59", b"20260101-00:00:00.123"),
    "LOCALMKTDATE": (b"20301231",),
    "CURRENCY": (b"USD", b"EUR"),
}
WEIRD = (
    b"", b" ", b"\x00", b"\xff\xfe", b"-", b".", b"1e9", b"0x10", b"9" * 40, b"-" + b"9" * 40, b"NaN", b"1.2.3",
    b"=" * 5, b"\x0010=000", b"%s%n", b"A" * 300,
)  # fmt: skip


@dataclass(frozen=True)
class Node:
    """A field, or a group with what an entry holds."""

    number: int
    name: str
    kind: str
    values: tuple[bytes, ...]
    required: bool
    entries: tuple[Node, ...] = ()


@dataclass
class Grammar:
    """The dictionary's application messages, and the admin ones that a session survives."""

    path: Path = DICTIONARY
    messages: dict[bytes, tuple[Node, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        root = ElementTree.parse(self.path).getroot()
        self._fields = {f.get("name", ""): f for f in root.iterfind("fields/field")}
        self._components = {c.get("name", ""): c for c in root.iterfind("components/component")}
        for message in root.iterfind("messages/message"):
            if message.get("msgcat") == "app" or message.get("msgtype") in ("0", "1", "3"):
                self.messages[message.get("msgtype", "").encode()] = tuple(self._nodes(message))

    def grown(
        self, rng: Random, kind: bytes, given: dict[int, bytes], share: float = OPTIONAL_SHARE
    ) -> list[tuple[bytes, bytes]]:
        """The body of a message as (tag, value) pairs, with such a share of what is optional; `given`: some values."""
        return self._grow(rng, self.messages[kind], given, share)

    def _nodes(self, parent: ElementTree.Element, required: bool = True) -> list[Node]:
        found: list[Node] = []
        for child in parent:
            name, needed = child.get("name", ""), required and child.get("required") == "Y"
            if child.tag == "component":
                found += self._nodes(self._components[name], needed)
                continue
            declared = self._fields[name]
            values = tuple(v.get("enum", "").encode() for v in declared.iterfind("value"))
            entries = tuple(self._nodes(child)) if child.tag == "group" else ()
            found.append(
                Node(int(declared.get("number", "0")), name, declared.get("type", ""), values, needed, entries)
            )
        return found

    def _grow(
        self, rng: Random, nodes: tuple[Node, ...], given: dict[int, bytes], share: float
    ) -> list[tuple[bytes, bytes]]:
        pairs: list[tuple[bytes, bytes]] = []
        for node in nodes:
            if not node.required and rng.random() > share:
                continue
            tag = b"%d" % node.number
            if node.entries:
                count = rng.randint(1, ENTRIES_MAX)
                pairs.append((tag, b"%d" % count))
                first = node.entries[0]
                for _ in range(count):
                    entry = self._grow(rng, node.entries, given, share)
                    has_first = any(pair[0] == b"%d" % first.number for pair in entry)
                    pairs += ([] if has_first else [(b"%d" % first.number, value(rng, first))]) + entry
            else:
                pairs.append((tag, given[node.number] if node.number in given else value(rng, node)))
        return pairs


def value(rng: Random, node: Node) -> bytes:
    """A value that the field may have."""
    if node.name in PLAUSIBLE:
        return rng.choice(PLAUSIBLE[node.name])
    return rng.choice(node.values or BY_TYPE.get(node.kind, (b"x", b"abc", b"1")))


def wounded(rng: Random, pairs: list[tuple[bytes, bytes]]) -> bytes:
    """The body's bytes with one to three wounds."""
    pairs = list(pairs)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(pairs)) if pairs else 0
        wound = rng.randrange(9)
        if not pairs or wound == 0:
            pairs.insert(at, (b"%d" % rng.choice((1, 11, 38, 44, 55, 100, 453, 5001, 99999)), rng.choice(WEIRD)))
        elif wound == 1:
            del pairs[at]
        elif wound == 2:
            pairs.insert(rng.randrange(len(pairs) + 1), pairs[at])
        elif wound == 3:
            pairs[at] = (pairs[at][0], rng.choice(WEIRD))
        elif wound == 4:
            pairs[at] = (rng.choice((b"0", b"-1", b"x", b"", b"0055", b"9" * 20, b"4294967351")), pairs[at][1])
        elif wound == 5:
            pairs[at] = (pairs[at][0], b"%d" % rng.choice((0, 2, 9, 100, 4_000_000_000)))  # a count that is not true
        elif wound == 6:
            rng.shuffle(pairs)
        elif wound == 7:
            pairs[at] = (
                pairs[at][0],
                pairs[at][1] + SOH + rng.choice((b"", b"55", b"=", b"55=", b"10=000", b"8=FIX.4.4")),
            )
        else:
            pairs[at] = (pairs[at][0], pairs[at][1][: rng.randrange(len(pairs[at][1]) + 1)])
    return written(pairs)


def written(pairs: list[tuple[bytes, bytes]]) -> bytes:
    """As bytes, each field with its SOH."""
    return b"".join(tag + b"=" + text + SOH for tag, text in pairs)


def framed(inner: bytes) -> bytes:
    """With BeginString, BodyLength and CheckSum."""
    data = b"8=FIX.4.4\x019=%d\x01" % len(inner) + inner
    return data + b"10=%03d\x01" % (sum(data) % 256)
