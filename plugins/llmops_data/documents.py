"""Reads documents, each file one row with its text: plain text, Markdown, HTML and PDF."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath
from typing import IO

from llmops_core.errors import DataError
from llmops_data.entries import Broken, Record
from llmops_data.opening import LONGEST_LINE

SILENT = frozenset({"script", "style", "noscript", "template", "head", "svg", "iframe", "object"})
FURNITURE = frozenset({"nav", "footer", "aside", "form", "button", "header", "menu"})
LINES = "address article blockquote br dd div dl dt figure hr li main ol p pre section table td th tr ul"
BLOCKS = frozenset([*LINES.split(), "h1", "h2", "h3", "h4", "h5", "h6"])
VOID = frozenset(
    {"br", "hr", "img", "input", "link", "meta", "source", "wbr", "area", "base", "col", "embed", "track"}
)
FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
SPACES = re.compile(r"\s+")
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)


def read_text(file: IO[bytes], title: str, encoding: str, kind: str) -> Iterator[Record | Broken]:
    """A whole file as one text; `kind` is "text", "markdown" or "html"."""
    content = file.read(LONGEST_LINE + 1)
    quote = content[:200].decode("utf-8", "replace")
    if len(content) > LONGEST_LINE:
        yield Broken(title, f"it is longer than {LONGEST_LINE / 1e6:,.0f} MB", quote)
        return
    try:
        text = content.decode(encoding).removeprefix("\ufeff").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        yield Broken(title, f"it is not {encoding.upper()} (byte {error.start:,})", quote)
        return
    name = PurePosixPath(title).name
    if kind == "html":
        text, name = visible(text, name)
    elif kind == "markdown":
        text = FRONT_MATTER.sub("", text)
        name = found.group(1) if (found := HEADING.search(text)) else name
    yield Record(title, {"text": text, "title": name}, quote)


class Page(HTMLParser):
    """Collects what a reader of a page sees, without its furniture (navigation, forms, footers)."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self.title = ""
        self._hidden: list[str] = []
        self._in_title = False
        self._preformatted = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See HTMLParser."""
        self._in_title = tag == "title"
        self._preformatted += tag == "pre"
        hides = tag in SILENT or tag in FURNITURE or "hidden" in dict(attrs)
        if tag not in VOID and (hides or self._hidden):
            self._hidden.append(tag)
        elif tag in BLOCKS:
            self.pieces.append("\n")

    def handle_endtag(self, tag: str) -> None:
        """See HTMLParser."""
        self._in_title = False
        self._preformatted -= tag == "pre" and self._preformatted > 0
        if tag in self._hidden:
            # whatever was left open inside ends with it
            while self._hidden.pop() != tag:
                pass
        elif not self._hidden and tag in BLOCKS:
            self.pieces.append("\n")

    def handle_data(self, data: str) -> None:
        """See HTMLParser."""
        if self._in_title:
            self.title += data
        elif not self._hidden:
            self.pieces.append(data if self._preformatted else SPACES.sub(" ", data))


def visible(markup: str, name: str = "") -> tuple[str, str]:
    """The text that a page shows, a block a line, and its title (else `name`)."""
    page = Page()
    page.feed(markup)
    page.close()
    lines = (" ".join(line.split()) for line in "".join(page.pieces).split("\n"))
    return "\n".join(line for line in lines if line), " ".join(page.title.split()) or name


def read_pdf(path: Path, title: str) -> Iterator[Record | Broken]:
    """The text of a PDF's pages; what cannot be read is broken. Raises DataError without pypdf."""
    import logging

    try:
        from pypdf import PdfReader
        from pypdf.errors import PyPdfError
    except ImportError as error:
        remedy = "Run: pip install 'llmops[data]'"
        raise DataError("reading PDF needs pypdf", where=title, remedy=remedy) from error

    # it tells every oddity of a file; what makes a file unreadable is told as an entry
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    try:
        reader = PdfReader(path)
        text = "\n\n".join(page.extract_text() for page in reader.pages)
        name = (reader.metadata.title if reader.metadata else None) or PurePosixPath(title).name
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        yield Broken(title, f"it is no readable PDF ({type(error).__name__}: {str(error)[:80]})")
        return
    if not text.strip():
        yield Broken(title, "it holds no text: scanned pages?")
        return
    yield Record(title, {"text": text, "title": str(name)}, text[:200])
