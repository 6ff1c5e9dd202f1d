"""Every recogniser of the pattern tier, behind the cheapest question whether a text may hold it."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache

from llmops_privacy.accounts import accounts
from llmops_privacy.contacts import contacts
from llmops_privacy.credentials import OPENS, credentials
from llmops_privacy.finding import Group
from llmops_privacy.identities import identities
from llmops_privacy.papers import papers

NUMBER = re.compile(r"\d(?:[ ().\-/]{0,3}\d){6}")
DIGITS = re.compile(r"\d(?:[^\d\n]{0,4}\d){4}")
DIGIT = re.compile(r"\d")
BRACKET = re.compile(r"[\[({] ?(?:at|@|ät) ?[\])}]", re.IGNORECASE)

GATES: Mapping[str, Callable[[str], object]] = {
    "": lambda text: True,
    "@": lambda text: "@" in text,
    "[at]": BRACKET.search,
    "digit": DIGIT.search,
    "digits": DIGITS.search,
    "number": NUMBER.search,
    "...": lambda text: text.count(".") > 2 and DIGIT.search(text),
    "::": lambda text: text.count(":") > 1 or text.count("-") > 4,
    "token": lambda text: "0x" in text or "bc1" in text or "BC1" in text,
    "eyJ": lambda text: "eyJ" in text,
    OPENS: lambda text: OPENS in text,
}
"""What a text must hold -> whether it does."""


@lru_cache(maxsize=16)
def groups(kinds: Collection[str], regions: Sequence[str]) -> tuple[Group, ...]:
    """The recognisers of some kinds (a frozenset), in groups. `regions`: whose national telephone numbers."""
    offered = (contacts(regions), accounts(), identities(), papers(), credentials())
    found = []
    for name, gate in GATES.items():
        wanted = [one for module in offered for one in module.get(name, ()) if one.kind in kinds]
        if wanted:
            found.append(Group(gate, tuple(wanted)))
    return tuple(found)
