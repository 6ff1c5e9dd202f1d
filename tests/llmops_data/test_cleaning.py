"""The steps repair, markup, quality, language and decontaminate."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llmops_core.step import StepRun
from llmops_data.config import Decontaminate, Language, Markup, Quality, Repair, Source
from llmops_data.decontaminate import decontaminate
from llmops_data.language import language
from llmops_data.markup import bare, markup
from llmops_data.quality import broken_rules, quality
from llmops_data.repair import repair
from llmops_data.rows import Message, Row

PROSE = (
    "The old harbour was built of stone that had come down the river on flat boats. Every spring the masters "
    "of the guild walked along the wall to look for cracks, and they wrote what they found in a book with a "
    "green cover. Nobody has read it for years, but the wall still stands, and boats come back to be mended."
)


def row(origin: str, *texts: str) -> Row:
    roles = ("user", "assistant") if len(texts) > 1 else ("text",)
    return Row(origin, tuple(Message(role, text) for role, text in zip(roles, texts, strict=False)))


def test_repair_mends_what_was_decoded_wrongly_and_nothing_else(run: StepRun) -> None:
    right = row("2", "Schön & gut, “so”?", "naïve café")
    outcome = repair(Repair(), run, rows=[row("1", "schÃ¶n", "itâ€™s"), right])
    assert [one.content for one in next(iter(outcome.rows)).messages] == ["schön", "it’s"]
    assert list(repair(Repair(), run, rows=[right]).rows) == [right]
    every = Repair(entities=True, quotes=True)
    [found] = repair(every, run, rows=[row("1", "a &amp; b", "“so”")]).rows
    assert [one.content for one in found.messages] == ["a & b", '"so"']


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("<p>One</p><p>two &amp; three</p>", "One\ntwo & three"),
        ("if a < b and c > d: pass", "if a < b and c > d: pass"),
        ("<script>x</script>seen<!-- not seen -->", "seen"),
        ("a <b>bold</b> word", "a bold word"),
    ],
)
def test_html_goes_where_there_is_some(text: str, clean: str) -> None:
    assert bare(text, Markup()) == clean


def test_markdown_and_links_go_when_asked() -> None:
    text = "# Title\n\n- **bold** and `code`\n> said [here](https://x.org)\nhttps://y.org end"
    assert bare(text, Markup()) == text
    expected = "Title\n\nbold and code\nsaid here\n end"
    assert bare(text, Markup(markdown=True, links=True)) == expected


def test_lines_of_many_rows_go(run: StepRun) -> None:
    rows = [row(str(n), f"Home | About\nText number {n}.\nAll rights reserved") for n in range(5)]
    outcome = markup(Markup(repeated_lines=5), run, rows=[*rows, row("5", "Home | About")])
    assert [one.text for one in outcome.rows] == [f"Text number {n}." for n in range(5)]
    assert outcome.counts == {"with nothing left": 1, "freed of markup": 5}


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("Too short.", "of too few words"),
        ("a b c d " * 40, "of too short words"),
        ("pneumonoultramicroscopic " * 60, "of too long words"),
        (PROSE.replace(" ", " # ", 12), "of too many symbols"),
        ("\n".join(f"- {part}." for part in PROSE.split(". ")), "of bullets"),
        ("\n".join(f"{part}..." for part in PROSE.split(". ")), "of cut lines"),
        (PROSE + " 12345 67890" * 15, "of too few letters"),
        ("Bread butter cheese apples cherries walnuts. " * 9, "without stop words"),
        (PROSE + " Lorem ipsum dolor.", "with forbidden phrases"),
        (f"{PROSE[:150]}\n" * 4 + PROSE, "of repeated lines"),
        (PROSE + " never again" * 25, "of repeated words"),
    ],
)
def test_each_rule_of_quality_finds_what_it_is_for(text: str, rule: str) -> None:
    assert rule in set(broken_rules(Quality(), text))


def test_prose_breaks_no_rule_and_what_is_left_out_is_counted_by_its_first(run: StepRun) -> None:
    assert list(broken_rules(Quality(), PROSE)) == []
    outcome = quality(Quality(), run, rows=[row("1", PROSE), row("2", "Too short."), row("3", "#")])
    assert [one.origin for one in outcome.rows] == ["1"]
    assert outcome.counts == {"of too few words left out": 2}
    assert "of too few sentences" in set(broken_rules(Quality(min_sentences=2), PROSE))


def test_bounds_of_zero_ask_nothing() -> None:
    free = Quality(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ())
    for text in ("#", "a " * 500, "...\n...\n...", "12 34 56"):
        assert list(broken_rules(free, text)) == []


def test_languages_are_found_counted_and_kept(run: StepRun) -> None:
    rows = [
        row("1", "Where is the printer, please?", "It is on the second floor beside the window."),
        row("2", "Wo ist denn bitte der Drucker?", "Er steht im zweiten Stock neben dem Fenster."),
        row("3", "12345", "67890"),
    ]
    everything = language(Language(min_probability=0.9), run, rows=rows)
    assert [one.facts["language"] for one in everything.rows] == ["en", "de", "und"]
    german = language(Language(keep=("de",), min_probability=0.9), run, rows=rows)
    assert [one.origin for one in german.rows] == ["2", "3"]
    assert german.counts == {"in en left out": 1, "in de": 1, "in und": 1}


def test_rows_that_hold_parts_of_an_evaluation_set_are_left_out(run: StepRun, tmp_path: Path) -> None:
    asked = "How many boats did the masters of the guild mend in the spring?"
    held_out = [
        {"question": asked, "answer": "Four."},
        {"text": PROSE},
        {"question": "Why?", "answer": "So."},
    ]
    path = tmp_path / "test.jsonl"
    path.write_text("\n".join(map(json.dumps, held_out)))
    config = Decontaminate(against={"benchmark": Source(f"file:{path}")})
    rows = [
        row("question", asked.upper().replace("?", " !"), "Nobody knows."),
        row("part", "I read it. " + PROSE[60:180]),
        row("words", "The masters of the guild walked", "Why?"),
        row("whole", "why", "so"),
        row("within", "Why so late?", "Too many boats."),
        row("other", PROSE[:60], "Fine."),
    ]
    outcome = decontaminate(config, run, rows=rows)
    assert [one.origin for one in outcome.rows] == ["words", "within", "other"]
    assert outcome.counts == {"found in benchmark left out": 3}


def test_a_system_message_that_an_evaluation_set_shares_contaminates_no_row(
    tmp_path: Path, run: StepRun
) -> None:
    def talk(number: int) -> Row:
        said = row(str(number), f"What is {number} times {number}?", f"It is {number * number}.")
        return Row(said.origin, (Message("system", PROSE), *said.messages))

    rows = [talk(number) for number in range(20)]
    path = tmp_path / "test.jsonl"
    held_out = [{"messages": [vars(one) for one in talk(number).messages]} for number in (3, 30)]
    path.write_text("\n".join(map(json.dumps, held_out)))
    config = Decontaminate(against={"own": Source(f"file:{path}")}, words=6)
    outcome = decontaminate(config, run, rows=rows)
    assert [one.origin for one in outcome.rows] == [str(number) for number in range(20) if number != 3]
