"""Groups of duplicates: whatever is linked, directly or through others, belongs together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from llmops_data.rows import Link, Row


class Groups:
    """Sets of names that merge as pairs are joined. A name that was never joined takes no room."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._parent

    def find(self, name: str) -> str:
        """The name that stands for the whole set of this one."""
        parent = self._parent.get(name, name)
        while parent != name:
            above = self._parent[parent]
            self._parent[name] = above
            name, parent = parent, above
        return name

    def join(self, first: str, second: str) -> None:
        """Merge two sets."""
        for name in (first, second):
            self._parent.setdefault(name, name)
        self._parent[self.find(second)] = self.find(first)


def grouped(links: Iterable[Link]) -> Groups:
    """The groups of linked rows, by their origins."""
    groups = Groups()
    for link in links:
        groups.join(link.first.origin, link.second.origin)
    return groups


def group_fingerprints(rows: Sequence[Row], links: Iterable[Link]) -> Iterator[str]:
    """For each row the fingerprint of its group's first row, which rows added later do not change.

    Links through rows that were dropped count too: two rows that resemble a third belong together.
    """
    groups = grouped(links)
    firsts: dict[str, str] = {}
    for row in rows:
        if row.origin in groups:
            yield firsts.setdefault(groups.find(row.origin), row.fingerprint)
        else:
            yield row.fingerprint
