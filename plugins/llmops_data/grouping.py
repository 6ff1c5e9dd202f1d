"""Groups of duplicates: whatever is linked, directly or through others, belongs together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from llmops_data.rows import Link, Row


class Groups:
    """Sets of names that merge as pairs are joined."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._parent = {name: name for name in names}

    def find(self, name: str) -> str:
        """The name that stands for the whole set of this one."""
        parent = self._parent.setdefault(name, name)
        while parent != name:
            above = self._parent[parent]
            self._parent[name] = above
            name, parent = parent, above
        return name

    def join(self, first: str, second: str) -> None:
        """Merge two sets."""
        self._parent[self.find(second)] = self.find(first)


def group_fingerprints(rows: Sequence[Row], links: Iterable[Link]) -> list[str]:
    """For each row the fingerprint of its group's first row, which rows added later do not change.

    Links through rows that were dropped count too: two rows that resemble a third belong together.
    """
    groups = Groups()
    for link in links:
        groups.join(link.first.origin, link.second.origin)
    firsts: dict[str, str] = {}
    for row in rows:
        firsts.setdefault(groups.find(row.origin), row.fingerprint)
    return [firsts[groups.find(row.origin)] for row in rows]
