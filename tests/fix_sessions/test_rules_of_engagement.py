"""The rules of engagement say what the code does: tables, refusals, numbers, examples, a test for each rule."""

from __future__ import annotations

import ast
import re
import shlex
import time
from pathlib import Path

import pytest
import simplefix

from fix_sessions import acceptor, engagement
from fix_sessions.acceptor import Acceptor
from fix_sessions.area import TOO_LONG_TEXT
from fix_sessions.client import Broker
from tests.fix_sessions.rig import PASSWORD, Venue, settle
from venue import cli
from venue.config_sections import FixSection
from venue.records import ANNEX_BYTES_MAX, CLORDID_BYTES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "spec" / "rules_of_engagement.md").read_text()
RULES = engagement.RULE.findall(PAGE)
VARYING = {9, 10, 17, 19, 37, 52, 60, 122, 527}
HEADER = {8, 9, 10, 34, 35, 49, 52, 56}
BLOCK = re.compile(r"```fix\n(.*?)```", re.DOTALL)
Fields = list[tuple[int, str]]


@pytest.fixture(scope="module")
def dictionary() -> engagement.Dictionary:
    return engagement.Dictionary(acceptor.dictionary_path())


def test_tables_refusals_and_numbering_are_those_of_the_code(dictionary: engagement.Dictionary):
    """When this fails: python -m fix_sessions.engagement --write, then write the words of the new rows."""
    assert engagement.differences(PAGE, dictionary) == []


def test_writing_changes_nothing_that_is_right(dictionary: engagement.Dictionary):
    assert engagement.written(PAGE, dictionary) == PAGE


ROW = next(line for line in PAGE.splitlines() if line.startswith("| 38 | OrderQty | Y |"))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (ROW, "", "OrderQty(38) is missing"),
        (ROW, ROW.replace("| Y |", "|  |"), "OrderQty(38)"),
        (ROW, ROW.replace("OrderQty", "Quantity"), "Quantity(38) is not so"),
        (ROW, "| 38 | OrderQty | Y |  |  |", "OrderQty(38) has no words"),
        ("| `1` buy, `2` sell |", "| `1` buy, `Q` sell |", "Side(54) has no value Q"),
        ("### NewOrderSingle (D)", "### NewOrder (D)", "D is called NewOrder"),
        ("### NewOrderSingle (D)", "### NewOrderSingle (ZZ)", "NewOrderSingle (D) has no table"),
        ("Side(54) must be 1 (buy) or 2 (sell)", "Side(54) is odd", "the refusals are not those"),
        ("**ROE-2**", "**ROE-1**", "ROE-1 stands twice"),
    ],
)
def test_a_page_that_is_wrong_is_told(dictionary: engagement.Dictionary, old: str, new: str, told: str):
    assert old in PAGE
    found = engagement.differences(PAGE.replace(old, new, 1), dictionary)
    assert any(told in difference for difference in found), found


def test_what_is_missing_is_written_and_words_are_kept(dictionary: engagement.Dictionary):
    section = engagement._section(PAGE, "OrderCancelReject (9)")
    assert section is not None
    cut = PAGE[: section[0]] + PAGE[section[1] :] + "\n"
    page = engagement.written(
        cut.replace("### NewOrderSingle (D)", "### NewOrderSingle (D)\n\nWords of a person."), dictionary
    )
    assert "Words of a person." in page
    found = engagement.page_tables(page)["9"][1]
    assert [row.place for row in found] == [row.place for row in dictionary.tables["9"][1]]
    assert {row.tag for row in found if not row.words} == {102, 434}, "whose words stand nowhere else"


def test_a_message_that_is_no_more_is_dropped(dictionary: engagement.Dictionary):
    page = PAGE.replace("\n## Refusals and", "\n### Gone (zz)\n\n| 1 | Account |  |  | x |\n\n## Refusals and")
    assert "Gone (zz) is not in the dictionary" in engagement.differences(page, dictionary)
    assert "### Gone" not in engagement.written(page, dictionary)


# ---- each rule has a test ----


def named() -> set[str]:
    """Rules named in docstrings of tests, in decorators, and by certification cases, each of which is run as a test."""
    found: set[str] = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                texts = [ast.get_docstring(node) or "", *(ast.unparse(decorator) for decorator in node.decorator_list)]
                found.update(re.findall(r"\bROE-(\d+)\b", " ".join(texts)))
    return found


def test_every_rule_is_named_by_a_test_and_every_name_is_a_rule():
    assert [int(number) for number in RULES] == list(range(1, len(RULES) + 1)), "numbered in order"
    assert sorted(set(RULES) - named(), key=int) == []
    assert sorted(named() - set(RULES), key=int) == []
    assert set(re.findall(r"\bROE-(\d+)\b", PAGE)) == set(RULES)


# ---- numbers ----


def source(name: str) -> str:
    return (ROOT / "fix_sessions" / name).read_text()


def constant(name: str, file: str) -> int:
    found = re.search(rf"{name} = (\d+)", source(file))
    assert found, f"{name} is not in {file} any more"
    return int(found[1])


def test_numbers_are_those_of_the_code():
    """ROE-3 ROE-4 ROE-11 ROE-19 ROE-28 ROE-37"""
    fix = FixSection()
    body_bytes = ANNEX_BYTES_MAX - 16
    assert str(body_bytes) in TOO_LONG_TEXT.decode()
    for words in (
        f"from {fix.heartbeat_seconds_min} to {fix.heartbeat_seconds_max} seconds",
        f"after {Acceptor.logon_ms_max // 1000} seconds is closed",
        f"{constant('GAP_MESSAGES_MAX', 'gateway_messages.cpp'):,} later messages",
        f"{fix.queue_bytes_max >> 20} MiB",
        f"at most {CLORDID_BYTES - 1} characters",
        f"at most {constant('MESSAGE_BYTES_MAX', 'frame.h'):,} bytes",
        f"at most {body_bytes:,}.",
    ):
        assert words in PAGE.replace("\n  ", " "), words


def test_links_lead_somewhere():
    headings = {re.sub(r"[^a-z0-9 -]", "", h.lower()).replace(" ", "-") for h in re.findall(r"(?m)^#+ (.+)$", PAGE)}
    for target in re.findall(r"\]\(([^)]+)\)", PAGE):
        file, _, anchor = target.partition("#")
        assert not file or (ROOT / "spec" / file).exists(), target
        assert not anchor or anchor in headings, target


# ---- worked examples ----


def fields_of(line: str) -> Fields:
    return [(int(tag), value) for tag, _, value in (part.partition("=") for part in line[2:].split("|")) if tag]


class Replay:
    """Plays the lines of one example on a venue; what came is kept by CompID."""

    def __init__(self, venue: Venue) -> None:
        self.venue = venue
        self.brokers: dict[str, Broker] = {}
        self.came: dict[str, list[Fields]] = {}

    def send(self, line: str) -> None:
        fields = fields_of(line)
        found = dict(fields)
        broker = self.brokers.get(found[49]) or self.connect(found[49])
        assert found[56] == broker.venue
        if found[35] == "A":
            broker.username, broker.password, broker.heartbeat_seconds = found[553], found[554], int(found[108])
            broker.log_on()
            return
        number = int(found[34])
        broker.next_out = number
        broker.send(found[35], [pair for pair in fields if pair[0] not in HEADER])

    def operate(self, line: str) -> None:
        """What an operator types; the trade that it names is the last one here."""
        parsed = cli.parser().parse_args(shlex.split(line[2:])[1:])
        assert parsed.action == "bust"
        asked = {"verb": "bust", "actor": "ann", "approver": parsed.approver, "text": parsed.reason}
        trade = next(
            dict(fields)[527] for came in self.came.values() for fields in reversed(came) if 527 in dict(fields)
        )
        self.venue.acceptor.operate(asked | {"trade": trade})

    def connect(self, comp_id: str) -> Broker:
        broker = self.brokers[comp_id] = self.venue.broker(comp_id, password=PASSWORD)
        broker.answer_resend = lambda begin, end: None  # type: ignore[method-assign]  # the example answers it
        take, came = broker.on_message, self.came.setdefault(comp_id, [])

        def keep(message: simplefix.FixMessage) -> None:
            came.append([(int(tag), value.decode()) for tag, value in message.pairs])
            take(message)

        broker.on_message = keep  # type: ignore[method-assign]
        return broker

    def wait(self, counts: dict[str, int], seconds: float = 10.0) -> None:
        end = time.monotonic() + seconds
        while any(len(self.came.get(comp_id, [])) < count for comp_id, count in counts.items()):
            assert time.monotonic() < end, f"awaited {counts}, came {self.came}"
            for broker in self.brokers.values():
                broker.poll(0.01)


def examples() -> list[str]:
    return BLOCK.findall(PAGE)


@pytest.mark.parametrize("number", range(len(examples())))
def test_worked_example(venue: Venue, number: int):
    """ROE-2 ROE-11 ROE-24 ROE-25 ROE-31 ROE-33 ROE-58 ROE-59"""
    replay, told = Replay(venue), {}
    for line in examples()[number].splitlines():
        if line.startswith(("> ", "* ")):
            replay.wait({comp_id: len(lines) for comp_id, lines in told.items()})
            (replay.send if line.startswith("> ") else replay.operate)(line)
        else:
            assert line.startswith("< "), line
            fields = fields_of(line)
            told.setdefault(dict(fields)[56], []).append(fields)
    replay.wait({comp_id: len(lines) for comp_id, lines in told.items()})
    for broker in replay.brokers.values():
        settle(broker)
    for comp_id, lines in told.items():
        came = [fields for fields in replay.came[comp_id] if not dict(fields).get(112, "").startswith("settle")]
        assert [fixed(fields) for fields in came] == [fixed(fields) for fields in lines]


def fixed(fields: Fields) -> Fields:
    """What must be equal; a BusinessMessageReject's text lists all that is served, which grows."""
    varying = VARYING | {58} if dict(fields)[35] == "j" else VARYING
    return [(tag, "" if tag in varying else value) for tag, value in fields]


def test_there_are_examples_of_what_brokers_ask_first():
    kinds = {dict(fields_of(line))[35] for block in examples() for line in block.splitlines() if line[0] != "*"}
    assert kinds >= {"A", "D", "F", "G", "q", "8", "9", "r", "3", "2", "4", "j"}
