"""The style sheet: words can be read on their grounds, in light, dark and on paper."""

from __future__ import annotations

import re
from importlib import resources

import pytest

SHEET = resources.files("llmops_core.html").joinpath("page.css").read_text(encoding="utf-8")
TEXT_ON_GROUND = (
    ("ink", "surface"),
    ("ink", "page"),
    ("ink", "code"),
    ("muted", "surface"),
    ("muted", "page"),
    ("good", "good-soft"),
    ("good", "surface"),
    ("refused", "refused-soft"),
    ("refused", "surface"),
    ("bad", "bad-soft"),
    ("bad", "surface"),
    ("calm", "calm-soft"),
    ("candidate", "surface"),
)
MARK_ON_GROUND = (("baseline", "surface"), ("validation", "surface"), ("candidate", "track"))


def themes() -> dict[str, dict[str, str]]:
    """The colours of each theme by name."""
    blocks = re.findall(r":root\s*{([^}]*)}", SHEET)
    read = [dict(re.findall(r"--([a-z-]+):\s*(#[0-9a-f]{6,8})", block)) for block in blocks]
    return dict(zip(("light", "dark", "paper"), read, strict=True))


def luminance(colour: str) -> float:
    """Relative luminance, as WCAG 2 defines it."""
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    """The contrast ratio of two colours, from 1 to 21."""
    brighter, darker = sorted((luminance(first), luminance(second)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark", "paper"])
def test_text_and_marks_stand_out_from_their_ground(theme: str) -> None:
    colours = themes()[theme]
    for text, ground in TEXT_ON_GROUND:
        assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    for mark, ground in MARK_ON_GROUND:
        assert contrast(colours[mark], colours[ground]) >= 3, (mark, ground)


def test_every_theme_names_every_colour_that_is_used() -> None:
    used = set(re.findall(r"var\(--([a-z-]+)\)", SHEET))
    assert all(used <= set(colours) for colours in themes().values())


def test_the_sheet_loads_nothing() -> None:
    assert "url(" not in SHEET
    assert "@import" not in SHEET
