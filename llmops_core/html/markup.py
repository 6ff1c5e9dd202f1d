"""HTML and SVG as values: whatever was not made by `element` is escaped where it is placed."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from typing import Union

Content = Union["Markup", str, int, None, Iterable["Content"]]

VOID = frozenset({"meta", "br", "hr", "wbr"})
# Half of a surrogate pair cannot be encoded, and control characters are not allowed in HTML.
UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


class Markup(str):
    """HTML that is placed as it is."""

    __slots__ = ()


def escape(text: str) -> Markup:
    """Text as HTML that shows it, also inside a quoted attribute."""
    if isinstance(text, Markup):
        return text
    return Markup(html.escape(UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text), quote=True))


def joined(*content: Content) -> Markup:
    """Content, one piece after another; None is nothing."""
    return Markup("".join(_pieces(content)))


def _pieces(content: Content) -> Iterable[str]:
    if content is None:
        return
    if isinstance(content, str):
        yield escape(content)
    elif isinstance(content, int):
        yield str(content)
    else:
        for piece in content:
            yield from _pieces(piece)


def element(name: str, /, *content: Content, **attributes: str | float | bool | None) -> Markup:
    """One element. `class_` is class, `aria_label` aria-label; None and False leave an attribute out."""
    opening = name + "".join(_attribute(key, value) for key, value in attributes.items())
    if name in VOID:
        return Markup(f"<{opening}>")
    return Markup(f"<{opening}>{joined(*content)}</{name}>")


def breakable(name: str) -> Markup:
    """A name with underscores, which a narrow column may break after each of them."""
    return Markup(escape(name).replace("_", "_<wbr>"))


def _attribute(key: str, value: str | float | bool | None) -> str:
    name = key.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    if value is True:
        return f" {name}"
    shown = f"{value:g}" if isinstance(value, float) else str(value)
    return f' {name}="{escape(shown)}"'
