"""The rules of engagement against the code: every message's table has the dictionary's fields, every refusal its words.

    python -m fix_sessions.engagement            says where page and code differ
    python -m fix_sessions.engagement --write    adds missing rows, drops stale ones, writes refusals and cases anew

The words of a row are written by people and are kept. A new row takes those of the same tag elsewhere on the page;
where there are none it stays empty, and an empty row is a difference. It must never invent what the venue does.
"""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fix_sessions.certification_cases import CASES
from fix_sessions.reasons import WORDS

HEADING = re.compile(r"^### (.+?)(?: \(([0-9A-Za-z]{1,3})\))?$")
RULE = re.compile(r"\*\*ROE-(\d+)\*\*")
NESTED = "› "
TOP = "| tag | field | req | values | what it does |\n|--:|---|:-:|---|---|\n"
REFUSALS_BEGIN, REFUSALS_END = "<!-- refusals: written from fix_sessions/reasons.py -->", "<!-- end of refusals -->"
CASES_BEGIN, CASES_END = "<!-- cases: written from fix_sessions/certification_cases.py -->", "<!-- end of cases -->"
VALUES_MAX = 8


@dataclass
class Row:
    """One field of a message; `depth` counts the groups it stands in."""

    depth: int
    tag: int
    name: str
    required: bool
    values: str = ""
    words: str = ""

    @property
    def place(self) -> tuple[int, int, str, bool]:
        """What the dictionary says of it."""
        return self.depth, self.tag, self.name, self.required

    def __str__(self) -> str:
        cells = (f"{NESTED * self.depth}{self.tag}", self.name, "Y" if self.required else "", self.values, self.words)
        return f"| {' | '.join(cells)} |"


Tables = dict[str, tuple[str, list[Row]]]


class Dictionary:
    """The dictionary's messages as tables: header and trailer by name, messages by their type."""

    def __init__(self, path: Path) -> None:
        self.root = ET.parse(path).getroot()
        self.fields = {str(field.get("name")): field for field in self.root.findall("fields/field")}
        self.tables: Tables = {}
        for part, title in (("header", "Standard header"), ("trailer", "Standard trailer")):
            element = self.root.find(part)
            assert element is not None, f"{path} has no {part}"
            self.tables[part] = (title, list(self._rows(element, 0)))
        for message in self.root.findall("messages/message"):
            self.tables[str(message.get("msgtype"))] = (str(message.get("name")), list(self._rows(message, 0)))

    def values(self, name: str) -> dict[str, str]:
        """A field's enumerated values and their descriptions; empty when any value is taken."""
        return {str(v.get("enum")): str(v.get("description")) for v in self.fields[name].findall("value")}

    def _rows(self, element: ET.Element, depth: int) -> Iterator[Row]:
        for child in element:
            if child.tag == "component":
                component = self.root.find(f"components/component[@name='{child.get('name')}']")
                assert component is not None, f"component {child.get('name')} is not defined"
                yield from self._rows(component, depth)
                continue
            name = str(child.get("name"))
            yield Row(depth, int(str(self.fields[name].get("number"))), name, child.get("required") == "Y")
            if child.tag == "group":
                yield from self._rows(child, depth + 1)


def page_tables(page: str) -> Tables:
    """The tables of a page, by message type, `header` or `trailer`."""
    tables: Tables = {}
    key = ""
    for line in page.splitlines():
        if line.startswith("#"):
            heading = HEADING.match(line)
            title = heading[1] if heading else ""
            key = {"Standard header": "header", "Standard trailer": "trailer"}.get(title, heading[2] if heading else "")
            if key:
                tables[key] = (title, [])
        elif key and re.match(r"\| (?:› )*\d+ \|", line):
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            depth = cells[0].count(NESTED.strip())
            tag = int(cells[0].replace(NESTED.strip(), ""))
            tables[key][1].append(Row(depth, tag, cells[1], cells[2] == "Y", cells[3], cells[4]))
    return tables


def refusals() -> str:
    """The table of all refusals and cancellations by the venue."""
    lines = ["| reason | 103 | 102 | Text(58) |", "|---|--:|--:|---|"]
    for reason, words in sorted(WORDS.items()):
        text = words.text.replace("|", "\\|")
        lines.append(f"| {reason.name} | {words.order_code} | {words.cancel_code} | {text} |")
    return "\n".join(lines)


def cases() -> str:
    """The table of all certification cases."""
    lines = ["| case | area | what | rules | needs |", "|---|---|---|---|---|"]
    for case in CASES:
        rules = ", ".join(f"ROE-{number}" for number in case.rules)
        lines.append(f"| {case.name} | {case.area} | {case.title} | {rules} | {', '.join(sorted(case.needs))} |")
    return "\n".join(lines)


def differences(page: str, dictionary: Dictionary) -> list[str]:
    """Where the page does not say what the code does."""
    found: list[str] = []
    shown = page_tables(page)
    for key, (name, rows) in dictionary.tables.items():
        if key not in shown:
            found.append(f"{name} ({key}) has no table")
            continue
        title, told = shown[key]
        if title != name:
            found.append(f"{key} is called {title}, the dictionary says {name}")
        if [row.place for row in rows] != [row.place for row in told]:
            found += [f"{name} ({key}): {difference}" for difference in _row_differences(rows, told)]
        found += [f"{name} ({key}): {row.name}({row.tag}) has no words" for row in told if not row.words]
        for row in told:
            found += [f"{name} ({key}): {fault}" for fault in _value_faults(row, dictionary)]
    found += [
        f"{name} ({key}) is not in the dictionary" for key, (name, _) in shown.items() if key not in dictionary.tables
    ]
    if refusals() not in page:
        found.append("the refusals are not those of fix_sessions/reasons.py")
    if cases() not in page:
        found.append("the cases are not those of fix_sessions/certification_cases.py")
    numbers = [int(number) for number in RULE.findall(page)]
    found += [f"ROE-{number} stands twice" for number in sorted({n for n in numbers if numbers.count(n) > 1})]
    return found


def _row_differences(rows: list[Row], told: list[Row]) -> list[str]:
    expected, shown = {row.place for row in rows}, {row.place for row in told}
    found = [f"{name}({tag}) is missing, or stands elsewhere" for _, tag, name, _ in sorted(expected - shown)]
    found += [f"{name}({tag}) is not so in the dictionary" for _, tag, name, _ in sorted(shown - expected)]
    return found or ["the fields stand in another order"]


def _value_faults(row: Row, dictionary: Dictionary) -> list[str]:
    """Values in backticks must be the dictionary's, where it lists any."""
    known = dictionary.values(row.name) if row.name in dictionary.fields else {}
    told = re.findall(r"`([^`]+)`", row.values) if known else []
    return [f"{row.name}({row.tag}) has no value {value}" for value in told if value not in known]


def written(page: str, dictionary: Dictionary) -> str:
    """The page with the dictionary's tables and the code's refusals; people's words are kept."""
    shown = page_tables(page)
    words: dict[int, tuple[str, str]] = {}
    for _, told in shown.values():
        for row in told:
            if row.words:
                words.setdefault(row.tag, (row.values, row.words))
    page = _without_stale(page, dictionary)
    for key, (name, rows) in dictionary.tables.items():
        own = {(row.depth, row.tag): (row.values, row.words) for row in shown.get(key, ("", []))[1]}
        for row in rows:
            row.values, row.words = (
                own.get((row.depth, row.tag)) or words.get(row.tag) or (_enumerated(row, dictionary), "")
            )
        page = _with_table(page, name if key in ("header", "trailer") else f"{name} ({key})", rows)
    for first, last, table in ((REFUSALS_BEGIN, REFUSALS_END, refusals()), (CASES_BEGIN, CASES_END, cases())):
        begin, end = page.index(first), page.index(last)
        page = page[:begin] + f"{first}\n\n{table}\n\n" + page[end:]
    return page


def _enumerated(row: Row, dictionary: Dictionary) -> str:
    values = dictionary.values(row.name)
    if not 0 < len(values) <= VALUES_MAX:
        return ""
    return ", ".join(f"`{value}` {text.lower().replace('_', ' ')}" for value, text in values.items())


def _section(page: str, title: str) -> tuple[int, int] | None:
    """Where the section with this heading begins and ends."""
    begin = page.find(f"\n### {title}\n")
    if begin < 0:
        return None
    end = re.compile(r"\n##").search(page, begin + 4)
    return begin + 1, end.start() + 1 if end else len(page)


def _without_stale(page: str, dictionary: Dictionary) -> str:
    for key, (title, _) in page_tables(page).items():
        name = dictionary.tables.get(key, ("", []))[0]
        place = _section(page, f"{title} ({key})")
        if name != title and place:
            page = page[: place[0]] + page[place[1] :]
    return page


def _with_table(page: str, title: str, rows: list[Row]) -> str:
    table = TOP + "".join(f"{row}\n" for row in rows) if rows else ""
    place = _section(page, title)
    if place is None:  # a new message stands last
        at = page.index("\n## Refusals and")
        return page[:at] + f"\n### {title}\n\n{table}" + page[at:]
    section = page[place[0] : place[1]]
    old = re.search(r"(?m)^\|.*\n(?:\|.*\n)*", section)
    if old is None:
        return page[: place[0]] + section.rstrip("\n") + f"\n\n{table}\n" + page[place[1] :]
    return page[: place[0]] + section[: old.start()] + table + section[old.end() :] + page[place[1] :]


def main(arguments: list[str]) -> int:
    """Compares or writes; 1 when page and code differ."""
    from fix_sessions.acceptor import dictionary_path

    path, dictionary = Path(__file__).parents[1] / "spec" / "rules_of_engagement.md", Dictionary(dictionary_path())
    if "--write" in arguments:
        path.write_text(written(path.read_text(), dictionary))
    found = differences(path.read_text(), dictionary)
    print("\n".join(found) or f"{path.name} says what the code does")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
