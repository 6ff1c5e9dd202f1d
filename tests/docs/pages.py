"""Reads the fenced blocks of a page: what they are written in, what they say beside that, and their text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block. "```bash status=2" has the language bash and says {"status": "2"}."""

    language: str
    says: dict[str, str]
    text: str


def blocks(page: str) -> Iterator[Block]:
    """The blocks of a page of docs/, in order."""
    for language, words, text in FENCE.findall((ROOT / "docs" / page).read_text(encoding="utf-8")):
        yield Block(language, dict(word.split("=", 1) for word in words.split()), text)


def write_files(page: str, folder: Path) -> list[Path]:
    """Write every block that says file=PATH below a folder; gives what was written."""
    written = []
    for block in blocks(page):
        if "file" in block.says:
            written.append(folder / block.says["file"])
            written[-1].parent.mkdir(parents=True, exist_ok=True)
            written[-1].write_text(block.text, encoding="utf-8")
    return written
