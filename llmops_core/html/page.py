"""A whole page as one file: no script, no font, no image from anywhere else."""

from __future__ import annotations

from importlib import resources

from llmops_core.html.markup import Content, Markup, element, joined

# Texts of models and of data are shown in pages: even if one slipped through, nothing would load or run.
POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def page(title: str, *content: Content) -> str:
    """A page with this title and content."""
    body = element("body", element("main", *content))
    return f"<!doctype html>\n{element('html', _head(title), body, lang='en')}\n"


def _head(title: str) -> Markup:
    style = resources.files("llmops_core.html").joinpath("page.css").read_text(encoding="utf-8")
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="color-scheme", content="light dark"),
        element("title", joined(title)),
        element("style", Markup(style)),
    )
