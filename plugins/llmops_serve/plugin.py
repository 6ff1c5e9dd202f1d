"""What this plugin offers: the `deploy` implementation openai_server."""

from __future__ import annotations

from collections.abc import Sequence

from llmops_core.hookspecs import Implementation, hookimpl

LLMOPS_CONTRACT = 1


@hookimpl
def llmops_implementations() -> Sequence[Implementation]:
    """The OpenAI-compatible server."""
    return [
        Implementation(
            group="deploy",
            name="openai_server",
            config="llmops_serve.config:OpenaiServerDeploy",
            target="llmops_serve.deploy:openai_server",
            about="an OpenAI-compatible HTTP server in a process of its own, asked once before it is trusted",
            estimate="llmops_serve.estimate:openai_server",
            needs=("torch", "transformers", "peft", "starlette", "uvicorn", "prometheus_client", "openai"),
            extra="llmops[serve]",
            undo="llmops_serve.deploy:stop",
            foreground="llmops_serve.deploy:serve",
            seeded=False,
        )
    ]
