"""What only the words before it tell: numbers of passports, and dates of birth."""

from __future__ import annotations

import re
from collections.abc import Iterator

from llmops_privacy.finding import Recogniser, Span, alone

REACH = 40
"""Letters after the words that tell what comes."""
PASSPORT_WORDS = re.compile(
    r"[Pp](?:assports?|asseport|asaporte|assaporto|aspoort\w*|assaporte)\b|[Rr]eisepass\w*|PASSPORT|"
    r"[Pp]a[sß]{1,2}nummer"
)
PASSPORT = re.compile(r"[A-Z0-9]{7,9}")
BIRTH_WORDS = re.compile(
    r"(?:[Bb]orn|BORN|[Bb]irth\w*|BIRTH|[Dd]\.?[Oo]\.?[Bb]\b|DOB|[Gg]eb\.|[Gg]eboren|[Gg]eburtsdatum|[Gg]eboorte\w*|"
    r"[Nn]ée?\b|[Nn]aissance|[Nn]acid[oa]|[Nn]acimiento|[Nn]at[oa]\b|[Nn]ascita|[Nn]ascid[oa]|[Nn]ascimento)"
)
BIRTH_HINTS = ("born", "birth", "dob", "d.o.b", "geb", "né", "nais", "naci", "nat", "nasci")
"""Parts of those words: asking for them is quicker than searching."""
MONTHS = (
    r"(?:jan|feb|fe|fév|mar|mär|maa|mrt|apr|avr|abr|may|mai|mag|mei|maj|jun|jui|giu|jul|lug|aug|aoû|ago|sep|set|"
    r"oct|okt|ott|out|nov|dec|dez|déc|dic)\w*\.?"
)
DATE = re.compile(
    r"(?:19|20)\d\d[-./](?:0?[1-9]|1[0-2])[-./](?:3[01]|[12]\d|0?[1-9])|"
    r"(?:3[01]|[12]\d|0?[1-9])[-./](?:3[01]|[12]\d|0?[1-9])[-./](?:(?:19|20)\d\d|\d\d)|"
    rf"(?:3[01]|[12]\d|0?[1-9])(?:\.|st|nd|rd|th|er|º)? (?:de |of )?{MONTHS},? (?:de )?(?:19|20)\d\d|"
    rf"{MONTHS} (?:3[01]|[12]\d|0?[1-9])(?:st|nd|rd|th)?,? (?:19|20)\d\d",
    re.IGNORECASE,
)


def _within_word(text: str, place: int) -> bool:
    """Whether a word goes on there. What stands in for a value, as [PASSPORT], tells nothing."""
    before = text[place - 1 : place]
    return before.isalnum() or before in ("_", "[")


def _passports(text: str) -> Iterator[Span]:
    for said in PASSPORT_WORDS.finditer(text):
        if _within_word(text, said.start()):
            continue
        for found in PASSPORT.finditer(text, said.end(), min(len(text), said.end() + REACH)):
            enough = sum(map(str.isdigit, found[0])) >= (3 if len(found[0]) == 9 else 5)
            if enough and alone(text, *found.span(), True):
                yield *found.span(), found[0]
                break


def _births(text: str) -> Iterator[Span]:
    lowered = text.lower()
    if not any(hint in lowered for hint in BIRTH_HINTS):
        return
    for said in BIRTH_WORDS.finditer(text):
        if _within_word(text, said.start()):
            continue
        found = DATE.search(text, said.end(), min(len(text), said.end() + REACH))
        if found and alone(text, *found.span(), True):
            yield *found.span(), " ".join(found[0].lower().split())


def papers() -> dict[str, tuple[Recogniser, ...]]:
    """The recognisers of this module, by what a text must hold for them."""
    return {
        "digits": (Recogniser("PASSPORT", _passports, 0.8),),
        "digit": (Recogniser("DATE_OF_BIRTH", _births, 0.8),),
    }
