"""What this plugin offers: the `infra` implementation this_machine."""

from __future__ import annotations

from collections.abc import Sequence

from llmops_core.hookspecs import Implementation, hookimpl

LLMOPS_CONTRACT = 1


@hookimpl
def llmops_implementations() -> Sequence[Implementation]:
    """This machine."""
    return [
        Implementation(
            group="infra",
            name="this_machine",
            config="llmops_infra.config:ThisMachineInfra",
            target="llmops_infra.this_machine:this_machine",
            about="The machine that llmops runs on.",
            seeded=False,
        )
    ]
