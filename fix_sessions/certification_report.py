"""The certification report for the member's file: one HTML page and one JSON file with the same facts.

The page stands alone (no script, nothing from elsewhere) and shows of each case the verdict, why, and the messages.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

from fix_sessions.certification import FAILED, PASSED, SKIPPED, Result

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62em; margin: 2em auto; padding: 0 1em; color: #222; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .3em .6em; border-bottom: 1px solid #ddd; }
pre { background: #f6f6f6; padding: .8em; overflow-x: auto; font-size: 12px; } summary { cursor: pointer; }
.passed { color: #176f2c; } .failed { color: #b3261e; font-weight: bold; } .not-run { color: #777; }
"""


@dataclass
class Report:
    """Who was certified, where, how, and what became of each case."""

    member: str
    session: str
    target: str
    mode: str
    results: list[Result]
    began: datetime = field(default_factory=lambda: datetime.now(UTC))

    def count(self, verdict: str) -> int:
        return self.counts()[verdict]

    def counts(self, area: str = "") -> dict[str, int]:
        """How many cases have each verdict; of all areas or of one."""
        results = [result for result in self.results if not area or result.case.area == area]
        return {verdict: sum(result.verdict == verdict for result in results) for verdict in (PASSED, FAILED, SKIPPED)}

    def areas(self) -> dict[str, dict[str, int]]:
        """The counts of each area that is in the report."""
        return {area: self.counts(area) for area in dict.fromkeys(result.case.area for result in self.results) if area}

    @property
    def passed(self) -> bool:
        """Nothing failed, and something was played."""
        return self.count(FAILED) == 0 and self.count(PASSED) > 0

    def facts(self) -> dict[str, Any]:
        """The report as JSON fields."""
        cases = [
            {
                "case": result.case.name,
                "area": result.case.area,
                "title": result.case.title,
                "rules": [f"ROE-{number}" for number in result.case.rules],
                "verdict": result.verdict,
                "text": result.text,
                "seconds": round(result.seconds, 3),
                "messages": result.evidence,
            }
            for result in self.results
        ]
        head = {"member": self.member, "session": self.session, "target": self.target, "mode": self.mode}
        areas = {area: {**_keys(counts), "certified": _certified(counts)} for area, counts in self.areas().items()}
        return {
            **head,
            "began": self.began.isoformat(timespec="seconds"),
            "green": self.passed,
            **_keys(self.counts()),
            "areas": areas,
            "cases": cases,
        }

    def page(self) -> str:
        """The report as one HTML page."""
        facts = self.facts()
        rows = "".join(_row(case) for case in facts["cases"])
        details = "".join(_detail(case) for case in facts["cases"])
        title = f"Certification of {self.member}, session {self.session}"
        counts = said(self.counts())
        head = f"<p>{escape(self.mode)} {escape(self.target)}, {facts['began']} (UTC): <b>{counts}</b>.</p>"
        areas = "".join(_area(name, counts) for name, counts in facts["areas"].items())
        head += f"<table><tr><th>area<th>certified<th>passed<th>failed<th>not run</tr>{areas}</table>" if areas else ""
        table = f"<h2>Cases</h2><table><tr><th>case<th>area<th><th>rules<th>verdict<th>why</tr>{rows}</table>"
        return (
            f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(title)}</title><style>{STYLE}</style>"
            f"<h1>{escape(title)}</h1>{head}{table}<h2>Messages</h2>{details}</html>\n"
        )

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Writes both files into the folder; returns their paths, page first."""
        folder.mkdir(parents=True, exist_ok=True)
        name = f"certification-{self.member}-{self.session}"
        page, facts = folder / f"{name}.html", folder / f"{name}.json"
        page.write_text(self.page())
        facts.write_text(json.dumps(self.facts(), indent=2) + "\n")
        return page, facts


def said(counts: dict[str, int]) -> str:
    """Counts in words."""
    return ", ".join(f"{counts[verdict]} {verdict}" for verdict in (PASSED, FAILED, SKIPPED))


def _keys(counts: dict[str, int]) -> dict[str, int]:
    """Counts as JSON fields: passed, failed, not_run."""
    return {verdict.replace(" ", "_"): count for verdict, count in counts.items()}


def _style(verdict: str) -> str:
    """The CSS class of a verdict."""
    return verdict.replace(" ", "-")


def _certified(counts: dict[str, int]) -> bool:
    """Whether every case of an area was played and passed."""
    return counts[PASSED] > 0 and counts[FAILED] == counts[SKIPPED] == 0


def _area(name: str, counts: dict[str, Any]) -> str:
    verdict = "yes" if counts["certified"] else "no"
    style = _style(PASSED if counts["certified"] else FAILED if counts[FAILED] else SKIPPED)
    cells = "".join(f"<td>{counts[each]}" for each in ("passed", "failed", "not_run"))
    return f'<tr><td>{escape(name)}<td class="{style}">{verdict}{cells}</tr>'


def _row(case: dict[str, Any]) -> str:
    cells = (case["area"], case["title"], ", ".join(case["rules"]))
    link = f'<a href="#{case["case"]}">{case["case"]}</a>'
    verdict = f'<td class="{_style(case["verdict"])}">{case["verdict"]}'
    return f"<tr><td>{link}{''.join(f'<td>{escape(cell)}' for cell in cells)}{verdict}<td>{escape(case['text'])}</tr>"


def _detail(case: dict[str, Any]) -> str:
    messages = escape("\n".join(case["messages"])) or "none"
    summary = (
        f'{case["case"]} {escape(case["title"])}: <span class="{_style(case["verdict"])}">{case["verdict"]}</span>'
    )
    return f'<details id="{case["case"]}"><summary>{summary}</summary><pre>{messages}</pre></details>'
