"""What Prometheus is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160)


@dataclass(frozen=True)
class Metrics:
    """The server's counters, in a registry of their own."""

    registry: CollectorRegistry
    requests: Counter
    seconds: Histogram
    first_token: Histogram
    prompt_tokens: Counter
    completion_tokens: Counter


def new_metrics(release: str, model: str, in_flight: Callable[[], float]) -> Metrics:
    """Counters at zero. `in_flight` is asked at each scrape."""
    registry = CollectorRegistry()
    about = Gauge(
        "llmops_release_info", "The release that is served.", ["digest", "model"], registry=registry
    )
    about.labels(release, model).set(1)
    gauge = Gauge("llmops_requests_in_flight", "Requests in work or waiting.", registry=registry)
    gauge.set_function(in_flight)
    return Metrics(
        registry=registry,
        requests=Counter("llmops_requests", "Requests answered.", ["endpoint", "status"], registry=registry),
        seconds=Histogram(
            "llmops_request_seconds",
            "From the request to the end of its answer.",
            ["endpoint"],
            buckets=SECONDS,
            registry=registry,
        ),
        first_token=Histogram(
            "llmops_first_token_seconds",
            "From the request to the first token of its answer.",
            ["endpoint"],
            buckets=SECONDS,
            registry=registry,
        ),
        prompt_tokens=Counter("llmops_prompt_tokens", "Tokens read.", registry=registry),
        completion_tokens=Counter("llmops_completion_tokens", "Tokens written.", registry=registry),
    )
