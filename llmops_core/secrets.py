"""Secrets are read by name at the moment of use, and taken out of everything that is written down."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from llmops_core.errors import SecretError

HIDDEN = "[secret]"


@dataclass
class Secrets:
    """Reads secrets from the environment and remembers which values must never be shown."""

    seen: dict[str, str] = field(default_factory=dict, repr=False)

    def read(self, name: str) -> str:
        """The value of a secret. Raises SecretError when it is not set."""
        value = os.environ.get(name, "")
        if not value:
            raise SecretError(f"the secret {name} is not set", remedy=f"Set the environment variable {name}.")
        self.seen[value] = name
        return value

    def redact(self, value: Any) -> Any:
        """A copy of a text or JSON value in which no secret that was read can be found."""
        if isinstance(value, str):
            for secret in self.seen:
                value = value.replace(secret, HIDDEN)
            return value
        if isinstance(value, dict):
            return {self.redact(key): self.redact(member) for key, member in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.redact(member) for member in value]
        return value
