"""Markup: nothing that came from outside becomes HTML."""

from __future__ import annotations

import html
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from llmops_core.html.markup import Markup, breakable, element, escape, joined


class Collected(HTMLParser):
    """What a browser would see: elements with their attributes, and text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def parsed(source: str) -> Collected:
    collected = Collected()
    collected.feed(source)
    collected.close()
    return collected


@given(st.text(), st.text())
def test_any_text_makes_one_element_with_one_attribute(content: str, attribute: str) -> None:
    made = parsed(element("p", content, title=attribute))
    assert [name for name, _ in made.elements] == ["p"]
    assert set(made.elements[0][1]) == {"title"}


@given(st.text(alphabet=st.characters(blacklist_categories=("Cc", "Cs"))))
def test_text_is_shown_as_it_was(content: str) -> None:
    assert html.unescape(escape(content)) == content


def test_half_a_surrogate_pair_can_be_written_to_a_file() -> None:
    assert element("p", "a\ud83db").encode("utf-8") == "<p>a\ufffdb</p>".encode()


def test_markup_is_not_escaped_twice_and_a_sum_of_strings_is() -> None:
    inner = element("b", "x")
    assert element("p", inner) == "<p><b>x</b></p>"
    assert element("p", "y" + inner) == "<p>y&lt;b&gt;x&lt;/b&gt;</p>"


def test_attributes_drop_none_and_false_and_spell_underscores_as_hyphens() -> None:
    made = element("svg", class_="plot", aria_hidden="true", hidden=False, title=None, open=True, width=2.5)
    assert made == '<svg class="plot" aria-hidden="true" open width="2.5"></svg>'


def test_void_elements_have_no_end() -> None:
    assert element("meta", charset="utf-8") == '<meta charset="utf-8">'


def test_content_may_be_nested_and_empty() -> None:
    assert joined(None, ["a", [1, element("br")]], ()) == Markup("a1<br>")


def test_long_names_may_break_after_underscores() -> None:
    assert breakable("near_<b>") == "near_<wbr>&lt;b&gt;"
