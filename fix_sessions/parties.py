"""The party block: who stands behind an order, PartyIDs, their roles, the order's attributes, as RTS 24 records them.

It is kept in the annex as received and read from there by the archive, so what could not be read there is refused here,
in words. The readable twin of `parties.cpp`; one suite compares the two.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from fix_sessions import messages

PARTIES_MAX = 10
PARTY_ID_BYTES_MAX = 50
SOURCES = (b"C", b"D", b"N", b"P")
LEI = b"N"
CLIENT, EXECUTING_TRADER, DECISION_MAKER = b"3", b"12", b"122"
QUALIFIERS = {CLIENT: (b"23", b"24"), EXECUTING_TRADER: (b"22", b"24"), DECISION_MAKER: (b"22", b"24")}
QUALIFIERS_TEXT = (
    b"PartyRoleQualifier(2376) is 22 or 24 with PartyRole(452) 12 and 122, 23 or 24 with 3, and none with others"
)
AGGREGATED, PENDING = b"0", b"1"


@dataclass
class Block:
    """The party block while it is read; `fault` is the first thing that is wrong."""

    fault: bytes = b""
    roles: set[bytes] = field(default_factory=set)
    attributes: dict[bytes, bytes] = field(default_factory=dict)
    count: int = 0
    before: int = 0  # the tag of the field before
    party_id: bytes = b""
    role: bytes = b""
    attribute: bytes = b""

    def take(self, tag: int, value: bytes) -> None:
        """The next field of the order."""
        if tag == 448:
            self._party(value)
        elif tag == 447:
            self._source(value)
        elif tag == 452:
            self._role(value)
        elif tag == 2376:
            self._qualifier(value)
        elif tag == 2594:
            self.attribute = value
            self._expect(value not in self.attributes, b"OrderAttributeType(2594) " + value + b" is there twice")
        elif tag == 2595:
            self._expect(self.before == 2594, b"OrderAttributeValue(2595) belongs behind OrderAttributeType(2594)")
            self._expect(value in (b"Y", b"N"), b"OrderAttributeValue(2595) must be Y or N")
            self.attributes[self.attribute] = value
        self.before = tag

    def end(self) -> bytes:
        """What is wrong with the whole; empty when nothing is."""
        both = [self.attributes.get(kind) == b"Y" for kind in (AGGREGATED, PENDING)]
        self._expect(not all(both), b"OrderAttributeType(2594) 0 (aggregated) and 1 (pending) exclude each other")
        named = CLIENT in self.roles
        text = b"OrderAttributeType(2594) 0 or 1 stands for the client: leave PartyRole(452) 3 out"
        self._expect(not (named and any(both)), text)
        return self.fault

    def _expect(self, good: bool, text: bytes) -> None:
        if not good and not self.fault:
            self.fault = text

    def _party(self, value: bytes) -> None:
        self.count += 1
        self.party_id = value
        self._expect(self.count <= PARTIES_MAX, b"NoPartyIDs(453) is at most 10")
        self._expect(len(value) <= PARTY_ID_BYTES_MAX, b"PartyID(448) is longer than 50 characters")

    def _source(self, value: bytes) -> None:
        self._expect(self.before == 448, b"PartyIDSource(447) belongs directly behind PartyID(448)")
        self._expect(value in SOURCES, b"PartyIDSource(447) must be C, D, N (LEI) or P")
        self._expect(value != LEI or is_lei(self.party_id), b"PartyID(448) of PartyIDSource(447) N is no LEI: check it")

    def _role(self, value: bytes) -> None:
        self.role = value
        self._expect(self.before in (448, 447), b"PartyRole(452) belongs behind PartyID(448) and PartyIDSource(447)")
        self._expect(value not in self.roles, b"PartyRole(452) " + value + b" is there twice; one party has each role")
        self.roles.add(value)

    def _qualifier(self, value: bytes) -> None:
        self._expect(self.before == 452, b"PartyRoleQualifier(2376) belongs directly behind PartyRole(452)")
        allowed = QUALIFIERS.get(self.role, ())
        self._expect(value in allowed, QUALIFIERS_TEXT)


def fault(body: bytes) -> bytes:
    """What is wrong with an order's party block; empty when nothing is, or there is none."""
    if b"\x01453=" not in body and b"\x012593=" not in body:
        return b""
    block = Block()
    for tag, value in messages.fields(body):
        block.take(tag, value)
    return block.end()


def is_lei(text: bytes) -> bool:
    """ISO 17442: 18 characters and two check digits, 1 modulo 97 when letters count from 10 on."""
    good = len(text) == 20 and all(c in b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ" for c in text) and text[18:].isdigit()
    return good and int("".join(str(int(chr(c), 36)) for c in text)) % 97 == 1
