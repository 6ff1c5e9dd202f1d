"""The configuration of the server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from llmops_core.settings import setting


@dataclass(frozen=True)
class OpenaiServerDeploy:
    """Serves a release over HTTP: /v1/chat/completions, /v1/completions, /v1/models, /health, /metrics."""

    host: str = setting(
        "127.0.0.1",
        doc="The address to listen on. Anything but this machine's own (127.0.0.1, ::1, localhost) "
        "lets others in: set api_key then.",
    )
    port: int = setting(0, doc="The port to listen on; 0 takes any free one.", at_least=0, at_most=65535)
    keep: bool = setting(
        False,
        doc="True leaves the server up when the step is done; False stops it once it has answered the probe.",
    )
    api_key: str | None = setting(
        None,
        doc="The key that clients must send, as a secret: ${secret:NAME}. None asks for no key.",
        secret=True,
    )
    model_name: str | None = setting(
        None, doc="The model's name for clients. None takes the name of the release's model."
    )
    max_new_tokens: int = setting(
        512,
        doc="The most tokens one answer may have, and how many it may have when the request does not say.",
        unit="tokens",
        at_least=1,
    )
    temperature: float = setting(
        0.0,
        doc="For requests that do not say. 0 always takes the likeliest token, as evaluation does.",
        at_least=0,
        at_most=2,
    )
    max_requests: int = setting(
        16, doc="Requests in work or waiting; one more is turned away with status 429.", at_least=1
    )
    max_batch: int = setting(
        8,
        doc="Answers written side by side, which costs little more than one. 1 writes them one after "
        "another, so that the last bits of the arithmetic never depend on who else asks.",
        at_least=1,
    )
    probe: str = setting("Hello!", doc="What the server is asked before it is trusted.")
    probe_max_tokens: int = setting(
        16, doc="The most tokens of the probe's answer.", unit="tokens", at_least=1
    )
    start_limit: float = setting(
        300.0, doc="How long loading the model and answering the probe may take.", unit="seconds", above=0
    )
    stop_limit: float = setting(
        10.0,
        doc="How long answers in work may take to finish when the server stops.",
        unit="seconds",
        at_least=0,
    )
    threads: int | None = setting(
        None,
        doc="Processor threads for the model. None measures: the fewest that decode about as fast as any, "
        "one core always left over (more threads than idle cores slow decoding down tenfold).",
        at_least=1,
        output=False,
    )
    device: Literal["auto", "cpu", "cuda"] = setting(
        "auto", doc="Where the model runs; auto takes a GPU where there is one."
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = setting(
        "auto", doc="The numbers it computes with; auto is float32 on a CPU and the weights' own elsewhere."
    )
    merge_adapter: bool = setting(
        True,
        doc="Add the adapter into the weights while loading, which decodes faster. It is left beside them "
        "when a test forward pass shows a difference that matters.",
    )
