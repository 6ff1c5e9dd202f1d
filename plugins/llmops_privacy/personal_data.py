"""The data step `personal_data`: finds, replaces, counts. What is counted holds no value."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llmops_core.errors import DataError
from llmops_core.step import StepRun, secret_name
from llmops_privacy.config import NAMED_KINDS, PATTERN_KINDS, PersonalData
from llmops_privacy.finding import Group, Match, apart, find
from llmops_privacy.pseudonyms import Key, key_of
from llmops_privacy.recognisers import groups
from llmops_privacy.vault import Vault

DONE: Mapping[str, str] = {
    "redact": "redacted",
    "mask": "masked",
    "pseudonymise": "pseudonymised",
    "drop": "dropped",
    "report": "found",
}
"""Action -> what its matches are called in the counts."""
REPLACING = ("redact", "mask", "pseudonymise")
REMOVING = (*REPLACING, "drop")
ROWS = "rows with personal data"
AGAIN = 50
"""Times at most that a changed text is looked at again: what was glued to a match may be one itself now."""
TOLD = re.compile(r"[^\W_]")
OURS = re.compile(rf"\b(?:{'|'.join([*PATTERN_KINDS, *NAMED_KINDS])})(?:_[b-z]{{14}})?\b")
"""What stands in for a value: it is no name, even where a model takes it for one."""


@dataclass(frozen=True)
class Found:
    """The rows that are left, and how many of what was done."""

    rows: Sequence[Any]
    counts: Mapping[str, int]


@dataclass
class Work:
    """A config made ready: what to look for, and what becomes of it."""

    config: PersonalData
    patterns: Sequence[Group]
    named: frozenset[str]
    key: Key | None
    replaced: set[tuple[str, str]] = field(default_factory=set)
    """Pseudonyms, each with a spelling of what it stands for."""

    def matches(self, texts: Sequence[str]) -> list[list[Match]]:
        """What is found in each text, without overlaps."""
        found = [self.by_pattern(text) for text in texts]
        if not self.named:
            return found
        from llmops_privacy.named_entities import names

        place = self.config.model_path or self.config.model
        for number, more in enumerate(names(texts, self.named, place)):
            ours = [one.span() for one in OURS.finditer(texts[number])] if more else []
            true = [
                one for one in more if one.score >= self.config.least(one.kind) and not _inside(one, ours)
            ]
            found[number] = apart([*found[number], *true])
        return found

    def by_pattern(self, text: str) -> list[Match]:
        """What the first tier finds in a text."""
        return find(text, self.patterns, self.config.least)

    def changed(self, text: str, found: Sequence[Match], count: Callable[[Match], None]) -> str:
        """A text with its matches replaced. What comes to light by that is replaced too, and counted; of what
        drops the row it is only counted."""
        for _ in range(AGAIN):
            replaced = [one for one in found if self.config.action_of(one.kind) in REPLACING]
            if not replaced:
                break
            pieces, place = [], 0
            for one in replaced:
                pieces += [text[place : one.start], self._instead(one, text[one.start : one.end])]
                place = one.end
            text = "".join([*pieces, text[place:]])
            found = [one for one in self.by_pattern(text) if self.config.action_of(one.kind) in REMOVING]
            for one in found:
                count(one)
            if any(self.config.action_of(one.kind) == "drop" for one in found):
                break
        return text

    def _instead(self, match: Match, said: str) -> str:
        action = self.config.action_of(match.kind)
        if action == "mask":
            return TOLD.sub("*", said)
        if action == "redact" or self.key is None:
            return f"[{match.kind}]"
        name = self.key.pseudonym(match.kind, match.value)
        self.replaced.add((name, said))
        return name


def personal_data(config: PersonalData, run: StepRun, *, rows: Sequence[Any]) -> Found:
    """Find personal data in the texts of rows and in their facts, and do with it what the config says.

    Raises SecretError without the key that pseudonyms need, DataError when it is another than the config says
    or when the model is not there.
    """
    work = taken_up(config, run)
    places = [
        (number, name, text) for number, row in enumerate(rows) for name, text in _texts(row, config.fields)
    ]
    found: list[list[tuple[str, str, list[Match]]]] = [[] for _ in rows]
    every = work.matches([text for _, _, text in places])
    for (number, name, text), some in zip(places, every, strict=True):
        if some:
            found[number].append((name, text, some))
    counts: Counter[str] = Counter({ROWS: 0})
    kept = []
    for row, there in zip(rows, found, strict=True):
        left = _treated(row, there, work, counts)
        kept += [] if left is None else [left]
    if work.key is not None and config.reversible:
        Vault(run.state, work.key).keep(work.replaced)
    return Found(kept, {ROWS: counts.pop(ROWS), **dict(sorted(counts.items()))})


def _pseudonymises(config: PersonalData) -> bool:
    return any(config.action_of(kind) == "pseudonymise" for kind in (*PATTERN_KINDS, *NAMED_KINDS))


personal_data.by_rows = True  # type: ignore[attr-defined]
# what pseudonyms stand for is written into the store
personal_data.in_store = (  # type: ignore[attr-defined]
    lambda config: config.reversible and _pseudonymises(config)
)


def taken_up(config: PersonalData, run: StepRun) -> Work:
    """A config made ready, with the key where pseudonyms are made."""
    patterns = frozenset(kind for kind in PATTERN_KINDS if config.action_of(kind) != "ignore")
    named = frozenset(kind for kind in NAMED_KINDS if config.action_of(kind) != "ignore")
    key = _key(config, run) if _pseudonymises(config) else None
    return Work(config, groups(patterns, tuple(config.regions)), named, key)


def _key(config: PersonalData, run: StepRun) -> Key:
    found = key_of(run.secret(config.key), secret_name(config.key))
    if found.fingerprint != config.fingerprint:
        said = f"the fingerprint {config.fingerprint}" if config.fingerprint else "no fingerprint"
        what = f"the config says {said}, and the key in {secret_name(config.key)} has {found.fingerprint}"
        remedy = f"Set fingerprint: {found.fingerprint}, or give the key that was meant."
        raise DataError(what, where=run.step, remedy=remedy)
    return found


def _inside(match: Match, spans: Sequence[tuple[int, int]]) -> bool:
    return any(match.start < end and start < match.end for start, end in spans)


def _treated(
    row: Any, found: Sequence[tuple[str, str, list[Match]]], work: Work, counts: Counter[str]
) -> Any | None:
    """A row with what was found in it replaced, and counted; None when it is left out."""
    if not found:
        return row
    config, kinds = work.config, set()
    changed: dict[tuple[str, str], str] = {}

    def count(name: str) -> Callable[[Match], None]:
        def once(one: Match) -> None:
            kinds.add(one.kind)
            counts[f"{one.kind} {DONE[config.action_of(one.kind)]} in {name}"] += 1

        return once

    for name, _, some in found:
        for one in some:
            count(name)(one)

    def dropped() -> bool:
        return any(config.action_of(kind) == "drop" for kind in kinds)

    if not dropped():
        changed = {(name, text): work.changed(text, some, count(name)) for name, text, some in found}
    counts.update([ROWS, *(f"rows with {kind}" for kind in kinds)])
    if dropped():
        counts["rows left out"] += 1
        return None
    return _rewritten(row, changed)


def _texts(row: Any, fields: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The texts of a row, each under its role or the name of its fact."""
    for one in row.messages:
        if not fields or one.role in fields:
            yield one.role, one.content
    for name, value in row.facts.items():
        if not fields or name in fields:
            yield from ((name, text) for text in _strings(value))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for member in value.values():
            yield from _strings(member)
    elif isinstance(value, (list, tuple)):
        for member in value:
            yield from _strings(member)


def _rewritten(row: Any, changed: Mapping[tuple[str, str], str]) -> Any:
    """A row in which texts, known by their names, have become others."""

    def other(name: str, value: Any) -> Any:
        if isinstance(value, str):
            return changed.get((name, value), value)
        if isinstance(value, Mapping):
            return {key: other(name, member) for key, member in value.items()}
        if isinstance(value, (list, tuple)):
            return [other(name, member) for member in value]
        return value

    messages = tuple(dataclasses.replace(one, content=other(one.role, one.content)) for one in row.messages)
    facts = {name: other(name, value) for name, value in row.facts.items()}
    return dataclasses.replace(row, messages=messages, facts=facts if row.facts else row.facts)
