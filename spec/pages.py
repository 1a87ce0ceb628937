"""`make docs`: the pages of spec/ as HTML, the rules of engagement as PDF too, the dictionary beside them.

    python spec/pages.py FOLDER

What a broker's developer is handed: pages that stand alone (no script, nothing from elsewhere) and link to each other.
It must never show what the Markdown does not say.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from html import escape
from pathlib import Path

from fpdf import FPDF
from markdown_it import MarkdownIt
from markdown_it.token import Token

SPEC = Path(__file__).parent
DICTIONARY = "FIX44.xml"
RULES = "rules_of_engagement"
STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 58em; margin: 0 auto 4em; padding: 0 1.2em; }
nav { padding: 1em 0; border-bottom: 1px solid #8884; margin-bottom: 2em; } nav a { margin-right: 1.2em; }
table { border-collapse: collapse; display: block; overflow-x: auto; margin: 1em 0; }
th, td { text-align: left; vertical-align: top; padding: .3em .7em; border-bottom: 1px solid #8884; }
pre, code { font: .88em/1.5 ui-monospace, monospace; background: #8882; border-radius: 3px; }
code { padding: .1em .3em; } pre { padding: .8em 1em; overflow-x: auto; } pre code { background: none; padding: 0; }
h2, h3 { margin-top: 2em; } a { color: #0b63c4; }
"""
LATIN = str.maketrans(
    {"›": ">", "—": "-", "–": "-", "→": "->", "≥": ">=", "≤": "<=", "…": "...", "’": "'", "“": '"', "”": '"', "‖": "||"}
)
MARGIN_MM, LINE_MM = 18, 5.2
SIZES = {"h1": 18, "h2": 14, "h3": 11}


def markdown() -> MarkdownIt:
    return MarkdownIt("commonmark").enable("table")


def slug(title: str) -> str:
    """A heading's anchor, as it is in the Markdown's own links."""
    return re.sub(r"[^a-z0-9 _-]", "", title.lower()).replace(" ", "-")


def title_of(text: str) -> str:
    return text.partition("\n")[0].removeprefix("# ").strip()


# ---- HTML ----


def html(text: str, others: dict[str, str]) -> str:
    """One page; `others` are all pages' names and titles."""
    reader = markdown()
    tokens = reader.parse(text)
    for at, token in enumerate(tokens):
        if token.type == "heading_open":
            token.attrSet("id", slug(tokens[at + 1].content))
        for child in token.children or ():
            if child.type == "link_open":
                child.attrSet("href", re.sub(r"^([a-z_]+)\.md(?=#|$)", r"\1.html", str(child.attrGet("href"))))
    links = "".join(f'<a href="{name}.html">{escape(title)}</a> ' for name, title in others.items())
    downloads = f'<a href="{DICTIONARY}" download>FIX dictionary</a> <a href="{RULES}.pdf">rules of engagement, PDF</a>'
    head = f"<!doctype html>\n<html lang=en><meta charset=utf-8><title>{escape(title_of(text))}</title>"
    body = reader.renderer.render(tokens, reader.options, {})
    return f"{head}<style>{STYLE}</style>\n<nav>{links}{downloads}</nav>\n<main>\n{body}</main></html>\n"


# ---- PDF ----


class Pdf(FPDF):
    """A4 with page numbers; the fonts that every reader of PDF has, so nothing is fetched or embedded."""

    def __init__(self, title: str) -> None:
        super().__init__(format="A4")
        self.set_title(title)
        self.set_margin(MARGIN_MM)
        self.set_auto_page_break(True, MARGIN_MM)
        self.add_page()
        self.plain()

    def footer(self) -> None:
        self.set_y(-12)
        self.set_font("helvetica", size=8)
        self.cell(0, 5, str(self.page_no()), align="C")

    def plain(self, style: str = "") -> None:
        self.set_font("helvetica", style, 9.5)

    def heading(self, tag: str, text: str) -> None:
        self.ln(3 if tag == "h3" else 5)
        self.start_section(latin(text), int(tag[1]) - 1)
        self.set_font("helvetica", "B", SIZES[tag])
        self.multi_cell(0, SIZES[tag] * 0.5, latin(text), new_x="LMARGIN", new_y="NEXT")
        self.ln(1.5)
        self.plain()

    def inline(self, token: Token) -> None:
        """A paragraph's words with their styles."""
        for child in token.children or ():
            if child.type in ("strong_open", "strong_close"):
                self.plain("B" if child.type == "strong_open" else "")
            elif child.type == "code_inline":
                self.set_font("courier", size=9)
                self.write(LINE_MM, latin(child.content))
                self.plain()
            elif child.type in ("text", "softbreak"):
                self.write(LINE_MM, latin(child.content) if child.type == "text" else " ")
        self.ln(LINE_MM)

    def listing(self, text: str) -> None:
        """Raw messages: each breaks where the page ends."""
        self.set_font("courier", size=7)
        for line in text.rstrip("\n").split("\n"):
            self.multi_cell(0, 3.4, latin(line), new_x="LMARGIN", new_y="NEXT", wrapmode="CHAR")
            self.ln(0.8)
        self.ln(2)
        self.plain()

    def grid(self, rows: list[list[str]]) -> None:
        """A table whose columns are as wide as their words need."""
        widest = [max(min(len(row[column]), 60) for row in rows) + 4 for column in range(len(rows[0]))]
        self.set_font("helvetica", size=8)
        with self.table(
            col_widths=tuple(widest), line_height=4.2, borders_layout="HORIZONTAL_LINES", text_align="LEFT"
        ) as table:
            for row in rows:
                shown = table.row()
                for cell in row:
                    shown.cell(latin(cell))
        self.ln(2)
        self.plain()


def latin(text: str) -> str:
    """Text in the alphabet of the standard fonts. Raises ValueError for a character that is not in it."""
    plain = text.translate(LATIN)
    try:
        plain.encode("latin-1")
    except UnicodeEncodeError as error:
        raise ValueError(f"{plain[error.start]!r} is not in the PDF's fonts: add it to LATIN, or avoid it") from error
    return plain


def words(token: Token) -> str:
    """An inline token without its marks."""
    return "".join(
        child.content if child.content else " " * (child.type == "softbreak") for child in token.children or ()
    )


def tables(tokens: list[Token]) -> Iterator[tuple[int, list[list[str]]]]:
    """(index of its end, rows) of each table."""
    rows: list[list[str]] = []
    for at, token in enumerate(tokens):
        if token.type == "table_open":
            rows = []
        elif token.type == "tr_open":
            rows.append([])
        elif token.type in ("td_open", "th_open"):
            rows[-1].append(words(tokens[at + 1]))
        elif token.type == "table_close":
            yield at, rows


def pdf(text: str) -> bytes:
    """The page as PDF."""
    tokens = markdown().parse(text)
    grids = dict(tables(tokens))
    document = Pdf(title_of(text))
    in_table = in_heading = False
    for at, token in enumerate(tokens):
        if token.type in ("table_open", "table_close"):
            in_table = token.type == "table_open"
            if not in_table:
                document.grid(grids[at])
        elif token.type == "heading_open":
            document.heading(token.tag, words(tokens[at + 1]))
            in_heading = True
        elif token.type == "heading_close":
            in_heading = False
        elif token.type == "list_item_open":
            document.write(LINE_MM, "-  ")
        elif token.type == "inline" and not in_table and not in_heading:
            document.inline(token)
            document.ln(1)
        elif token.type in ("fence", "code_block"):
            document.listing(token.content)
    return bytes(document.output())


def main(arguments: list[str]) -> int:
    """Writes everything into the folder named."""
    if len(arguments) != 1:
        print("usage: pages.py FOLDER", file=sys.stderr)
        return 2
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    texts = {path.stem: path.read_text() for path in sorted(SPEC.glob("*.md"))}
    titles = {name: title_of(text) for name, text in texts.items()}
    for name, text in texts.items():
        (folder / f"{name}.html").write_text(html(text, titles))
    (folder / f"{RULES}.pdf").write_bytes(pdf(texts[RULES]))
    shutil.copyfile(SPEC / DICTIONARY, folder / DICTIONARY)
    shutil.copytree(SPEC / "vectors", folder / "vectors", dirs_exist_ok=True)
    index = "# Specifications\n\n" + "".join(f"- [{title}]({name}.md)\n" for name, title in titles.items())
    (folder / "index.html").write_text(html(index, titles))
    print(f"{len(texts)} pages, {RULES}.pdf and {DICTIONARY} are in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
