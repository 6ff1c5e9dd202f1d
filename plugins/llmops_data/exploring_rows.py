"""The parts of a dataset's report that show rows: duplicates side by side, and what stands out."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from llmops_core import wording
from llmops_core.html.markup import Content, Markup, element
from llmops_data.exploring_tables import lead, part, plain_table
from llmops_data.versions import Version

EXAMPLES = 8
LONGEST = 600
COMPARED = 400
"""Words of two texts that are compared."""
PIECES = re.compile(r"\s+|\w+|[^\w\s]")


def duplicates(version: Version, numbers: Mapping[str, Any]) -> Iterator[Content]:
    """How many rows repeat others, what the steps left out, and what is still alike."""
    found, whole = numbers["duplicates"], sum(numbers["rows"].values())
    rows = [
        ("say the same as an earlier row", found["copies"]),
        ("stand in two splits", found["across_splits"]),
        ("ask what an earlier row asks", found["same_prompt"]),
    ]
    if numbers["shape"] == "text":
        del rows[2]
    alike = numbers["alike"]
    table: list[list[Content]] = [
        [what, wording.count(count), wording.share(count, whole)] for what, count in rows
    ]
    if alike:
        what = f"nearly repeat another, of {wording.count(alike['looked_at'])} looked at"
        table.append([what, wording.count(alike["rows"]), wording.share(alike["rows"], alike["looked_at"])])
    yield plain_table(("Rows of this dataset that", "Rows", "Share"), table) if whole else None
    if alike and alike["examples"]:
        yield part("Still in it, and nearly the same")
        threshold = f"similarity from {alike['threshold']:g}"
        yield lead(f"Rows that share most of their text ({threshold}); what differs is marked.")
        yield element("div", *(_left(one) for one in alike["examples"]))
    yield from _found_by_steps(version)


def _left(one: Mapping[str, Any]) -> Markup:
    titles = (f"{one[side]['row']}" for side in ("first", "second"))
    return beside(
        f"similarity {one['similarity']:.2f}", [*titles], one["first"]["text"], one["second"]["text"]
    )


def _found_by_steps(version: Version) -> Iterator[Content]:
    path = version.dataset.folder / "duplicates.jsonl"
    if not path.exists():
        return
    shown = []
    with path.open(encoding="utf-8") as lines:
        for line, _ in zip(lines, range(EXAMPLES), strict=False):
            one = json.loads(line)
            copied = f" · {one['copies']:,} such rows" if one.get("copies", 0) > 1 else ""
            told = f"{one['step']} · {one['done']} · similarity {one['similarity']:.2f}{copied}"
            first, second = (one[side].partition(": ") for side in ("first", "second"))
            shown.append(beside(told, [first[0], second[0]], first[2], second[2]))
    if shown:
        yield part("Found by the steps")
        yield lead("Examples, the least equal first; more of them lie in the dataset's duplicates.jsonl.")
        yield element("div", *shown)


def beside(told: str, titles: list[str], first: str, second: str) -> Markup:
    """Two texts side by side, with what differs marked."""
    left, right = marked(first, second)
    sides = (
        element("div", element("p", element("span", title, class_="who"), class_="who-line"), text)
        for title, text in zip(titles, (left, right), strict=True)
    )
    return element(
        "article",
        element("p", told, class_="muted small"),
        element("div", *sides, class_="answers"),
        class_="sample",
    )


def marked(first: str, second: str) -> tuple[Markup, Markup]:
    """Two texts as paragraphs, the words that only one of them has marked."""
    texts = [PIECES.findall(text[:LONGEST])[:COMPARED] for text in (first, second)]
    sides: tuple[list[Content], list[Content]] = ([], [])
    for kind, a, b, c, d in difflib.SequenceMatcher(None, *texts, autojunk=False).get_opcodes():
        for side, text, start, end in ((sides[0], texts[0], a, b), (sides[1], texts[1], c, d)):
            if start < end:
                piece = "".join(text[start:end])
                side.append(piece if kind == "equal" else element("mark", piece))
    return tuple(  # type: ignore[return-value]  # two of two
        element("p", *side, "…" if len(text) > LONGEST else None, class_="answer", dir="auto")
        for side, text in zip(sides, (first, second), strict=True)
    )


def outliers(numbers: Mapping[str, Any]) -> Iterator[Content]:
    """The rows that stand out, by what they stand out for."""
    for kind, rows in numbers["outliers"].items():
        cells: list[list[Content]] = [
            [
                element("code", one["row"]),
                [
                    element("div", one["told"], class_="muted small"),
                    element("div", one["text"], dir="auto", class_="cut"),
                ],
            ]
            for one in rows
        ]
        yield part(kind.capitalize())
        yield plain_table(("Row", "What it says"), cells)
