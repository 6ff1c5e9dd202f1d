"""What this plugin offers. Every command of llmops imports this module: it imports nothing slow."""

from __future__ import annotations

from collections.abc import Sequence

from llmops_core.hookspecs import Implementation, hookimpl

LLMOPS_CONTRACT = 1


@hookimpl
def llmops_implementations() -> Sequence[Implementation]:
    """What a recipe can choose."""
    return [
        Implementation(
            group="data/step",
            name="acme_phrases",
            config="acme_phrases.config:AcmePhrases",
            target="acme_phrases.step:acme_phrases",
            about="Leaves out rows with short answers.",
            seeded=False,
        )
    ]


@hookimpl
def llmops_config_packages() -> Sequence[str]:
    """Where its presets lie."""
    return ["acme_phrases.conf"]
