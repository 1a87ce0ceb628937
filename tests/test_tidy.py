"""Rules of style that a tool can check, executed over the files git tracks."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LINES_MAX = 800
FUNCTION_LINES_MAX = 70
TEST_FUNCTION_LINES_MAX = 80
MARKS = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b|NotImplemented" r"Error|assert True\b")
TEXT = (".py", ".pyx", ".c", ".h", ".cpp", ".rs", ".md", ".toml", ".json", ".xml", ".vy", "Makefile")
BAD_NAMES = re.compile(r"(manager|helper|util)", re.IGNORECASE)


def tracked(*suffixes: str) -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    paths = [ROOT / name for name in listed.stdout.split("\n") if name.endswith(suffixes)]
    return [path for path in paths if path.exists()]


PYTHON = tracked(".py")


def test_files_are_found():
    assert len(PYTHON) > 20


@pytest.mark.parametrize("path", PYTHON, ids=lambda path: str(path.relative_to(ROOT)))
def test_python_file(path: Path):
    text = path.read_text()
    tree = ast.parse(text)
    assert text.count("\n") <= LINES_MAX
    assert not BAD_NAMES.search(path.name)
    if text.strip() and path.name != "setup.py":
        assert ast.get_docstring(tree), "a module starts with what it is and why it exists"
    limit = TEST_FUNCTION_LINES_MAX if "tests" in path.parts else FUNCTION_LINES_MAX
    long = [
        f"{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > limit
    ]
    assert long == []


def test_no_loose_ends():
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in tracked(".py", ".pyx", ".c", ".h", ".cpp", ".rs", ".vy", ".sql")
        if path != Path(__file__)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if MARKS.search(line)
    ]
    assert found == []


def test_the_core_has_no_float():
    found = [
        f"{path.name}:{number}"
        for path in (ROOT / "cores").glob("*.[ch]")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(r"^\s*[^/*]*\b(float|double)\b\s+\w", line.split("/*")[0])
    ]
    assert found == []


def test_no_machine_is_named():
    home = re.compile(r"/home/\w+/|/root/|/Users/\w+|" + re.escape("/" + "work" + "/"))
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in tracked(*TEXT)
        if path != Path(__file__)
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if home.search(line)
    ]
    assert found == []
