"""The second tier: names, by Presidio's recogniser over a spaCy model. Heavy: imported only where asked for.

The model reads only sentences that may hold a name, which is where its time goes. It is loaded from an
installed package or a folder; nothing is ever downloaded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from llmops_core.errors import DataError
from llmops_privacy.finding import Match

WORD = re.compile(r"[^\W\d_][\w'’-]*")
BREAK = re.compile(r"\n+|(?<=[.!?…])[\"'”’)]*\s+(?=[^\W\d_a-z])")
TITLE = re.compile(r"(?:\b(?:Mr|Mrs|Ms|Dr|Prof|St|Sr|Jr|Rev|Hon|Gen|Col|Capt|Lt|Sgt|vs|No)|\b[A-Z])\.$")
"""A full stop after one of these ends no sentence."""
_OPENERS = (
    "a about actually after all also although an and another any anyway are as at be because before "
    "both but by can check could click did do does during each either even every few finally first "
    "for from get give go good great had has have he hello her here hi his how however i if in "
    "instead into is it its just last later let like look make many may maybe me more most much my "
    "need never new next no none not nothing now of oh ok okay on once one only open or other our out "
    "over perhaps please put read see select set several she should since so some sometimes soon "
    "start still such sure take thank thanks that the their them then there these they this those "
    "though through thus to today together tomorrow too two under unless until up us use using very "
    "was we well were what when where whether which while who whose why will with would write yes "
    "yesterday yet you your "
)
OPENERS = frozenset(_OPENERS.split())
"""Words that open sentences so often that their capital tells nothing."""
LONGEST_ACRONYM = 4
LONGEST = 20_000
"""Letters the model reads at once."""
UNUSED = ("tagger", "parser", "attribute_ruler", "lemmatizer", "senter", "morphologizer")
IGNORED = ("CARDINAL", "DATE", "EVENT", "FAC", "LANGUAGE", "LAW", "MONEY", "ORDINAL", "PERCENT", "PRODUCT",
           "QUANTITY", "TIME", "WORK_OF_ART", "MISC")  # fmt: skip
TOGETHER = 64


def sentences(text: str) -> Iterator[tuple[int, str]]:
    """The sentences of a text with their places, cut roughly."""
    start = 0
    for found in BREAK.finditer(text):
        if "\n" not in found[0] and TITLE.search(text[max(0, found.start() - 6) : found.start()]):
            continue
        yield start, text[start : found.start()]
        start = found.end()
    yield start, text[start:]


def parts(text: str) -> Iterator[tuple[int, str]]:
    """The sentences of a text, of those that are too long for the model one piece after another."""
    for start, piece in sentences(text):
        for cut in range(0, max(1, len(piece)), LONGEST):
            yield start + cut, piece[cut : cut + LONGEST]


def may_name(sentence: str) -> bool:
    """Whether a sentence holds a capital letter that asks for a reason."""
    for place, found in enumerate(WORD.finditer(sentence)):
        word = found[0]
        if not word[0].isupper() or word[:2] in ("I'", "I’") or word == "I":
            continue
        if word.isupper() and len(word) <= LONGEST_ACRONYM:
            continue
        if place > 0 or word.lower() not in OPENERS:
            return True
    return False


def names(texts: Sequence[str], kinds: frozenset[str], place: str) -> list[list[Match]]:
    """What the model finds of some kinds in each text. `place`: a package or a folder. Raises DataError."""
    found: list[list[Match]] = [[] for _ in texts]
    pieces = [
        (piece, (number, start))
        for number, text in enumerate(texts)
        for start, piece in parts(text)
        if may_name(piece)
    ]
    engine, recogniser = loaded(place)
    batches = engine.process_batch(pieces, "en", TOGETHER, 1, True)
    for piece, artifacts, (number, start) in batches:
        for one in recogniser.analyze(piece, sorted(kinds), artifacts):
            begin, end = _trimmed(piece, one.start, one.end)
            if piece[begin:end][:1].isupper():
                found[number].append(
                    Match(start + begin, start + end, one.entity_type, float(one.score), piece[begin:end])
                )
    return found


def _trimmed(piece: str, start: int, end: int) -> tuple[int, int]:
    """A name without "'s" and blanks at its ends."""
    said = piece[start:end]
    start += len(said) - len(said.lstrip())
    said = said.strip()
    for ending in ("'s", "’s"):
        said = said.removesuffix(ending)
    return start, start + len(said)


@lru_cache(maxsize=1)
def loaded(place: str) -> tuple[Any, Any]:
    """Presidio's engine over the model, and its recogniser. Raises DataError when the model is not there."""
    import spacy
    from presidio_analyzer.nlp_engine import NerModelConfiguration, SpacyNlpEngine
    from presidio_analyzer.predefined_recognizers import SpacyRecognizer

    # asked before Presidio is: it would download what is missing
    if not Path(place).is_dir() and find_spec(place) is None:
        remedy = "Install it (pip install 'llmops[pii]' brings one), or set model_path; it is not downloaded."
        raise DataError("the spaCy model is not installed", where=place, remedy=remedy)
    engine: Any = SpacyNlpEngine(ner_model_configuration=NerModelConfiguration(labels_to_ignore=IGNORED))
    model = spacy.load(place)
    model.select_pipes(disable=[name for name in UNUSED if name in model.pipe_names])
    engine.nlp = {"en": model}
    return engine, SpacyRecognizer()
