"""`make docs`: every page, its links and anchors, the PDF's words, the dictionary as it is."""

from __future__ import annotations

import importlib.util
import re
import zlib
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
SPEC = ROOT / "spec"


def load() -> ModuleType:
    found = importlib.util.spec_from_file_location("pages", SPEC / "pages.py")
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


PAGES = load()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("docs")
    assert PAGES.main([str(made)]) == 0
    return made


class Seen(HTMLParser):
    """A page's links, anchors and words; asserts that its elements are closed in order."""

    VOID = frozenset({"meta", "br", "hr", "img"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.words = ""
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        assert tag not in ("script", "link", "iframe"), "pages stand alone"
        if tag == "a":
            self.links.append(str(found["href"]))
        if found.get("id"):
            self.anchors.add(str(found["id"]))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def test_every_page_is_there_and_every_link_leads_somewhere(folder: Path):
    names = {path.stem for path in SPEC.glob("*.md")}
    assert {path.stem for path in folder.glob("*.html")} == names | {"index"}
    pages = {path.name: Seen(path.read_text()) for path in folder.glob("*.html")}
    for name, page in pages.items():
        assert len(page.links) >= len(names)
        for link in page.links:
            file, _, anchor = link.partition("#")
            if link.startswith("http") or file.startswith("../"):
                continue
            assert (folder / (file or name)).exists(), f"{name}: {link}"
            assert not anchor or anchor in pages[file or name].anchors, f"{name}: {link}"


def test_pages_say_what_the_markdown_says(folder: Path):
    for path in SPEC.glob("*.md"):
        page = Seen((folder / f"{path.stem}.html").read_text())
        assert len(page.words) > 0.7 * len(re.sub(r"[|`*#-]", "", path.read_text())), path.name
        for heading in re.findall(r"(?m)^#+ (.+)$", re.sub(r"(?s)```.*?```", "", path.read_text())):
            assert heading.replace("`", "") in page.words, f"{path.name}: {heading}"


def shown(data: bytes) -> str:
    """The words of a PDF that embeds no fonts."""
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", data, re.DOTALL)
    text = b"".join(zlib.decompress(stream) for stream in streams)
    found = re.findall(rb"\(((?:[^()\\]|\\.)*)\) ?Tj", text, re.DOTALL)
    return re.sub(rb"\\(.)", rb"\1", b" ".join(found)).decode("latin-1")


def test_the_pdf_has_every_rule_message_and_refusal(folder: Path):
    data = (folder / "rules_of_engagement.pdf").read_bytes()
    assert data.startswith(b"%PDF-")
    page, text = (SPEC / "rules_of_engagement.md").read_text(), "".join(shown(data).split())
    for rule in re.findall(r"\*\*(ROE-\d+)\*\*", page):
        assert rule in text, rule
    for title in re.findall(r"(?m)^### (.+)$", page):
        assert title.split(" ")[0] in text, title
    for reason in re.findall(r"(?m)^\| ((?:REJECT|CANCEL)_\w+)", page):
        assert reason in text, reason
    assert data.count(b"/Type /Page\n") > 5


def test_a_character_that_the_pdf_cannot_show_is_told():
    with pytest.raises(ValueError, match="add it to LATIN"):
        PAGES.pdf("# Title\n\nsnow ☃\n")


def test_the_dictionary_is_as_it_is(folder: Path):
    assert (folder / "FIX44.xml").read_bytes() == (SPEC / "FIX44.xml").read_bytes()


def test_wrong_use():
    assert PAGES.main([]) == 2
