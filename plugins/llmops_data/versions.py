"""The datasets of a store: their digests, the recipes and runs that made them, and what came before them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from llmops_core import integrity
from llmops_core.artifacts import Dataset
from llmops_core.errors import StoreError, UsageError
from llmops_core.manifest import all_runs
from llmops_core.store import Store
from llmops_data.tags import tags

SHORTEST = 4
"""Letters of a digest that name a dataset."""


@dataclass(frozen=True)
class Version:
    """One dataset: what made it last, and the one that the same step of the same recipe gave before it."""

    dataset: Dataset
    recipe: str = ""
    step: str = ""
    run: str = ""
    made: str = ""
    parent: str = ""
    tags: Sequence[str] = ()

    @property
    def digest(self) -> str:
        """The dataset's digest."""
        return self.dataset.digest

    def document(self) -> dict[str, object]:
        """As JSON."""
        rows, shape = dict(self.dataset.rows), self.dataset.shape
        made = {"recipe": self.recipe, "step": self.step, "run": self.run, "made": self.made}
        return {
            "digest": self.digest,
            "rows": rows,
            "shape": shape,
            **made,
            "parent": self.parent,
            "tags": list(self.tags),
        }


@dataclass(frozen=True)
class _Made:
    recipe: str
    step: str
    run: str
    made: str
    parent: str


def versions(store: Store) -> list[Version]:
    """Every dataset of a store, the newest first; those that no run's record names come last."""
    made = _made(store)
    names: dict[str, list[str]] = {}
    for tag in tags(store):
        names.setdefault(tag.digest, []).append(tag.name)
    found = {one.digest: one for one in _datasets(store)}
    order = [
        *(digest for digest in made if digest in found),
        *(digest for digest in found if digest not in made),
    ]
    return [
        Version(found[digest], **(vars(made[digest]) if digest in made else {}), tags=names.get(digest, ()))
        for digest in order
    ]


def _datasets(store: Store) -> Iterator[Dataset]:
    folder = store.root / "artifacts"
    for place in sorted(folder.iterdir()) if folder.is_dir() else ():
        try:
            if integrity.read(store.root, place.name).kind != Dataset.__name__:
                continue
            found = store.open(place.name)
        except StoreError:
            continue  # damaged: `llmops store verify` tells
        if isinstance(found, Dataset):
            yield found


def _made(store: Store) -> Mapping[str, _Made]:
    """Digest -> what made it, the newest first."""
    found: dict[str, _Made] = {}
    last: dict[tuple[str, str], str] = {}
    for run in reversed(all_runs(store)):
        recipe = str(run.document.get("recipe", ""))
        for record in run.document.get("steps", ()):
            digest = str(record.get("output") or "")
            if not digest or record.get("stage") not in ("data", "feedback"):
                continue
            place = (recipe, str(record["name"]))
            before = last.get(place, "")
            parent = found[digest].parent if before == digest and digest in found else before
            found.pop(digest, None)
            found[digest] = _Made(*place, run.id, str(run.document.get("started", "")), parent)
            last[place] = digest
    return dict(reversed(found.items()))


def version(store: Store, text: str) -> Version:
    """A dataset by tag, by the start of its digest, or the "latest". Raises UsageError."""
    known = versions(store)
    if text == "latest" and known:
        return known[0]
    prefix = bool(re.fullmatch(f"[0-9a-f]{{{SHORTEST},64}}", text))
    found = [one for one in known if text in one.tags or (prefix and one.digest.startswith(text))]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"{len(found)} datasets begin with {text}", remedy="Give more of the digest.")
    raise UsageError(f"there is no dataset {text} in {store.root}", remedy="See: llmops data list")
