"""Tells the names of secrets from their values, by how they are written."""

from __future__ import annotations

import re

WORDS = re.compile(
    r"TOKEN(?!S|IZ)|SECRET|PASSWORD|PASSWD|CREDENTIAL|API_?KEY|ACCESS_?KEY|PRIVATE", re.IGNORECASE
)
NAMED = re.compile(r"\$\{secret:\s*[A-Za-z_][A-Za-z0-9_]*\s*\}")


def looks_secret(name: str) -> bool:
    """Whether a variable or a field of this name would hold a secret."""
    return WORDS.search(name) is not None


def names_secret(text: str) -> bool:
    """Whether a text is a secret's name, ${secret:NAME}, and nothing else."""
    return NAMED.fullmatch(text) is not None
