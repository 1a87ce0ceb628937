"""No check of a certification case is idle: for each `tell` and `expect` of a case there is a venue that fails there.

The venue's answers are changed by what a clean play of the case has shown: after the table of spoilt answers, what the
checks look at, then every field of every message, messages that never come, and messages that come twice.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType

import pytest

import fix_sessions
from fix_sessions import certification
from fix_sessions.certification import PASSED, Case, Failed, Result, Stage
from fix_sessions.certification_cases import CASES
from tests.fix_sessions.certification_rig import (
    BY_NAME,
    MESSAGES_PER_SECOND,
    Spoil,
    Whole,
    kind_of,
    never,
    twice,
    untouched,
)
from tests.fix_sessions.test_certification_broken import SPOILT

pytestmark = [pytest.mark.slow]
Site = tuple[str, int]
"""Module and line of a check."""
FOLDER = Path(fix_sessions.__file__).parent
OTHER_WAYS = {"C02", "C03", "C04", "C05", "C78"}
"""Refused logons and the end of the hours: see the table of spoilt answers."""
HEADER = {8, 9, 10, 34, 35, 49, 52, 56, 115, 116, 122}
ANSWER_SECONDS = 2.5
LAST = 4
"""Of so many last messages of a type each field is changed alone."""
SESSION = {"0", "1", "2", "4", "A"}
CHECKS = {"tell", "expect"}


def sites() -> dict[Site, str]:
    """Every check in the modules of the cases, and the function that it is in."""
    found: dict[Site, str] = {}
    for path in sorted(FOLDER.glob("certification_*.py")):
        for function in ast.walk(ast.parse(path.read_text())):
            if not isinstance(function, ast.FunctionDef):
                continue
            for node in ast.walk(function):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CHECKS:
                    found.setdefault((path.stem, node.lineno), function.name)
    return found


def site_of(trace: TracebackType | None) -> Site | None:
    """The check in a case's module that raised."""
    found = None
    while trace is not None:
        path = Path(trace.tb_frame.f_code.co_filename)
        if path.parent == FOLDER and path.stem.startswith("certification_"):
            found = path.stem, trace.tb_lineno
        trace = trace.tb_next
    return found


class Survey:
    """Which checks a case comes to, with what values, and which of them have failed."""

    def __init__(self, whole: Whole, monkeypatch: pytest.MonkeyPatch) -> None:
        self.whole = whole
        self.failed: set[Site] = set()
        self.reached: set[Site] = set()
        self.wanted: list[tuple[str, str, str, str]] = []
        self.plays = 0
        tell, expect = certification.tell, certification.expect

        def seen() -> None:
            frame = inspect.currentframe()
            caller = frame.f_back.f_back if frame is not None and frame.f_back is not None else None
            if caller is not None:
                self.reached.add((Path(caller.f_code.co_filename).stem, caller.f_lineno))

        def telling(message: dict[int, str], wanted: dict[int, str]) -> None:
            seen()
            self.wanted += [(message.get(35, ""), message.get(56, ""), message.get(34, ""), str(tag)) for tag in wanted]
            tell(message, wanted)

        def expecting(condition: bool, text: str) -> None:
            seen()
            expect(condition, text)

        for name, module in list(sys.modules.items()):
            if name.startswith("fix_sessions.certification_"):
                if hasattr(module, "tell"):
                    monkeypatch.setattr(module, "tell", telling)
                if hasattr(module, "expect"):
                    monkeypatch.setattr(module, "expect", expecting)

    def play(self, case: Case, spoil: Spoil, throttle: int = MESSAGES_PER_SECOND) -> Result:
        """Plays it, spoilt."""
        self.plays += 1

        def watched(at: Stage) -> None:
            try:
                case.play(at)
            except Failed as failure:
                site = site_of(failure.__traceback__)
                if site is not None:
                    self.failed.add(site)
                raise

        return self.whole.play(replace(case, play=watched), spoil, throttle)

    def survey(self, case: Case) -> None:
        """Spoils a case until each check that it comes to has failed, or there is nothing left to spoil."""
        self.reached.clear()
        self.wanted.clear()
        clean = self.play(case, untouched)
        assert clean.verdict == PASSED, clean.text
        mine, wanted = set(self.reached), list(dict.fromkeys(self.wanted))
        for spoil in ways(wanted, clean.evidence):
            if mine <= self.failed:
                return
            self.play(case, spoil)


def ways(wanted: list[tuple[str, str, str, str]], evidence: list[str]) -> Iterator[Spoil]:
    """What may be wrong with the messages of a case: first what its checks look at."""
    came = [
        dict(part.split("=", 1) for part in line[2:].split("|") if "=" in part) for line in evidence if line[0] == "<"
    ]
    for kind, session, number, tag in wanted:
        alike = [message["34"] for message in came if (message["35"], message["56"]) == (kind, session)]
        if number in alike and tag != "35":
            yield One(kind, tag, session, alike.index(number))
    kinds = [kind for kind in dict.fromkeys(message["35"] for message in came) if kind not in SESSION]
    for kind in kinds:
        for tag in dict.fromkeys(tag for message in came for tag in message if message["35"] == kind):
            if int(tag) not in HEADER:
                yield Every(kind, tag)
                yield Without(kind, tag)
        if kind not in ("3", "5"):
            yield twice(kind)
            yield never(kind)
    for kind in kinds:
        mine = [message for message in came if message["35"] == kind]
        for session in dict.fromkeys(message["56"] for message in mine):
            alike = [message for message in mine if message["56"] == session]
            for index in range(len(alike) - 1, max(-1, len(alike) - 1 - LAST), -1):
                for tag in alike[index]:
                    if int(tag) not in HEADER:
                        yield One(kind, tag, session, index)


def other(value: str) -> str:
    """Another value of the same form."""
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", value):
        return value[:-1] + str((int(value[-1]) + 1) % 10) if value != "9" else "8"
    return {"Y": "N", "N": "Y"}.get(value, value[:-1] + ("X" if value[-1:] != "X" else "Y"))


class Every:
    """A field of all messages of a type has another value."""

    def __init__(self, kind: str, tag: str) -> None:
        self.kind, self.tag = kind.encode(), tag.encode()

    def __call__(self, message: bytes) -> bytes:
        if kind_of(message) != self.kind:
            return message
        field = rb"(?<=\x01)" + self.tag + rb"=([^\x01]*)(?=\x01)"
        return re.sub(field, lambda m: self.tag + b"=" + other(m[1].decode("latin-1")).encode("latin-1"), message)


class One(Every):
    """A field of one message of a type to a session has another value."""

    def __init__(self, kind: str, tag: str, session: str, index: int) -> None:
        super().__init__(kind, tag)
        self.session, self.index = b"\x0156=" + session.encode() + b"\x01", index
        self.begin()

    def begin(self) -> None:
        self.count = 0

    def __call__(self, message: bytes) -> bytes:
        if kind_of(message) != self.kind or self.session not in message:
            return message
        self.count += 1
        return super().__call__(message) if self.count == self.index + 1 else message


class Without(Every):
    """A field of all messages of a type is missing."""

    def __call__(self, message: bytes) -> bytes:
        if kind_of(message) != self.kind:
            return message
        return re.sub(rb"(?<=\x01)" + self.tag + rb"=[^\x01]*\x01", b"", message)


@pytest.mark.timeout(3000)
def test_each_check_can_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(certification, "ANSWER_SECONDS_MAX", ANSWER_SECONDS)
    whole = Whole(tmp_path, spoilt=True)
    survey = Survey(whole, monkeypatch)
    try:
        for name, spoil, _ in SPOILT:
            if name != "C78":
                survey.play(BY_NAME[name], spoil)
        survey.play(BY_NAME["C74"], untouched, MESSAGES_PER_SECOND // 10)
        for case in CASES:
            if case.name not in OTHER_WAYS:
                before = survey.plays
                survey.survey(case)
                print(case.name, survey.plays - before, sorted(survey.reached - survey.failed), flush=True)
    finally:
        whole.close()
    idle = {site: name for site, name in sites().items() if site not in survey.failed}
    print(f"{survey.plays} plays; checks that did not fail: {idle}")
    assert idle == {}
