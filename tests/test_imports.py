"""The blueprint's import rules, executed: who may import whom, and which part owns which outside system."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent
PARTS = ("cores", "venue", "fix_sessions", "proving", "settlement")

ALLOWED = {
    "cores": set(),
    "venue": {"cores"},
    "fix_sessions": {"cores", "venue"},
    "proving": {"cores"},
    "settlement": {"cores", "venue", "proving"},
}
COMPOSERS = {f"venue/{name}.py" for name in ("cli", "processes", "operate", "demo", "demo_day", "demo_brokers")}
OWNERS = {
    "quickfix": {"fix_sessions"},
    "simplefix": {"fix_sessions"},
    "psycopg": {"settlement"},
    "web3": {"settlement"},
    "eth_tester": {"settlement"},
    "pyarrow": {"venue"},
    "sortedcontainers": {"cores"},
    "ziglang": {"proving"},
}


def imported(path: Path) -> set[str]:
    """Top-level names of everything the file imports, at any depth."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


def files(part: str) -> list[Path]:
    return sorted(path for path in (ROOT / part).rglob("*.py"))


def test_every_part_has_files():
    assert all(files(part) for part in PARTS)


def test_imports_go_one_way():
    breaks = [
        f"{path.relative_to(ROOT)} imports {name}"
        for part in PARTS
        for path in files(part)
        if str(path.relative_to(ROOT)) not in COMPOSERS
        for name in sorted(imported(path) & set(PARTS) - ALLOWED[part] - {part})
    ]
    assert breaks == []


def test_each_outside_system_has_one_importer():
    breaks = [
        f"{path.relative_to(ROOT)} imports {name}"
        for part in PARTS
        for path in files(part)
        for name in sorted(imported(path) & set(OWNERS))
        if part not in OWNERS[name]
    ]
    assert breaks == []


def test_the_core_knows_no_clock_and_no_chance():
    breaks = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files("cores")
        for name in sorted(imported(path) & {"time", "datetime", "random", "secrets", "uuid", "socket", "threading"})
    ]
    assert breaks == []


def test_the_rule_finds_a_break(tmp_path):
    path = tmp_path / "broken.py"
    path.write_text("def f():\n    from settlement.chain import connect\n    import quickfix\n")
    assert imported(path) == {"settlement", "quickfix"}
