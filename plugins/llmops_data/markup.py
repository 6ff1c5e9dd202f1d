"""Takes the markup out of texts, and lines that stand in many of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np

from llmops_core.step import StepRun
from llmops_data.buckets import Buckets, buckets_for, by_digest
from llmops_data.config import Markup
from llmops_data.documents import visible
from llmops_data.rewriting import rewritten
from llmops_data.rows import Outcome, Row

TAG = re.compile(r"</?(?:[a-z][a-z0-9]*)(?:\s[^<>]*)?/?>|<!--", re.IGNORECASE)
LINK = re.compile(r"(?:https?://|www\.)[^\s<>\"')\]]+")
IMAGE_OR_LINK = re.compile(r"!?\[([^\]\n]*)\]\([^)\n]*\)")
MARKS = re.compile(r"^(?:#{1,6}[ \t]+|>\s?|[ \t]*[-*+][ \t]+(?=\S)|```\w*\s*$|-{3,}\s*$)", re.MULTILINE)
EMPHASIS = re.compile(r"(\*\*|__|\*|`)(?=\S)(.+?)(?<=\S)\1")
LINES_IN_ROW = 16
"""What is reckoned with; more only take more memory."""


def markup(config: Markup, run: StepRun, *, rows: Sequence[Row]) -> Outcome:
    """Clean every text; lines are counted over all rows first, where repeated ones go."""
    repeated = _repeated(rows, config.repeated_lines, run.scratch) if config.repeated_lines else frozenset()

    def cleaned(text: str) -> str:
        return bare(_without(text, repeated) if repeated else text, config)

    return rewritten(rows, cleaned, "freed of markup")


def bare(text: str, config: Markup) -> str:
    """A text without the markup that the config names."""
    if config.html and "<" in text and TAG.search(text):
        text = visible(text)[0]
    if config.markdown:
        text = EMPHASIS.sub(r"\2", MARKS.sub("", IMAGE_OR_LINK.sub(r"\1", text)))
    return LINK.sub("", text) if config.links else text


def _repeated(rows: Sequence[Row], least: int, folder: Path) -> frozenset[bytes]:
    """The digests of lines that stand in so many rows; they are counted on disk."""
    count = buckets_for(LINES_IN_ROW * len(rows))
    with Buckets(folder, count) as seen:
        for row in rows:
            lines = {
                _digest(line) for one in row.messages for line in one.content.split("\n") if line.strip()
            }
            digests = np.frombuffer(b"".join(lines), np.uint64)
            seen.add(by_digest(digests, count), digests)
        found: set[bytes] = set()
        for some in seen:
            each, counts = np.unique(some, return_counts=True)
            found.update(one.tobytes() for one in each[counts >= least])
    return frozenset(found)


def _without(text: str, repeated: frozenset[bytes]) -> str:
    lines = text.split("\n")
    return "\n".join(line for line in lines if not line.strip() or _digest(line) not in repeated)


def _digest(line: str) -> bytes:
    return blake2b(line.strip().encode("utf-8", "surrogatepass"), digest_size=8).digest()
