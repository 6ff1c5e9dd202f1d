"""The model card: what was released, from what, how good it is, and how to serve it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llmops_core.artifacts import Model, Scores
from llmops_core.errors import StepError
from llmops_release.config import GatedRelease
from llmops_release.verdicts import Verdict, shown

ADAPTER = "adapter_config.json"


def model_card(config: GatedRelease, candidate: Model, scores: Scores, verdicts: Sequence[Verdict]) -> str:
    """The page, in Markdown with the metadata that model hubs read at its top."""
    name = config.name or candidate.name
    parts = [
        _metadata(config, candidate),
        f"# {_cell(name)}",
        config.summary,
        "## Model",
        _model(candidate),
        _training(candidate),
        f"## Scores\n\nMeasured on {scores.rows} held-out rows, with bootstrap intervals over the rows.",
        _scores(scores),
        "## Gates\n\nThe release was made because all of these hold.",
        _gates(verdicts),
        "## Serving\n\n    llmops serve RELEASE\n\nwhere RELEASE is the release's name or digest, as "
        "`llmops releases` lists it. It answers OpenAI-compatible requests.",
        "## Licence",
        _licence(config, candidate),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def lineage(model: Model) -> list[Model]:
    """The model and what it was made from, the first root last."""
    found = [model]
    while found[-1].base is not None:
        found.append(found[-1].base)
    return found


def _metadata(config: GatedRelease, candidate: Model) -> str:
    entries: dict[str, str] = {}
    if config.license:
        entries["license"] = config.license
    if candidate.base is not None:
        entries["base_model"] = lineage(candidate)[-1].name
    # JSON strings are YAML strings, whatever is in them
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in entries.items()]
    return "\n".join(["---", *lines, "library_name: transformers", "pipeline_tag: text-generation", "---"])


def _model(candidate: Model) -> str:
    lines = [f"- model: {candidate.name} ({_millions(candidate.parameters)} parameters)"]
    lines += [
        f"- made from: {base.name} ({_millions(base.parameters)} parameters)"
        for base in lineage(candidate)[1:]
    ]
    lines.append(f"- context: {candidate.context} tokens")
    lines += [f"- digest of {one.name}: `{one.digest}`" for one in lineage(candidate) if one.digest]
    return "\n".join(lines)


def _millions(parameters: int) -> str:
    return f"{parameters / 1e6:.4g}M" if parameters >= 1_000_000 else str(parameters)


def _training(candidate: Model) -> str:
    if candidate.base is None:
        return ""
    lines = [
        *_tuned(candidate.folder),
        *_curve(candidate.folder / "training.jsonl"),
    ]
    return "## Training\n\n" + "\n".join(lines) if lines else ""


def _tuned(folder: Path) -> list[str]:
    """What learned: an adapter that lies there, one that was merged and lies in its own folder, or all."""
    for path, merged in ((folder / ADAPTER, ""), (folder / "adapter" / ADAPTER, ", merged into the weights")):
        if path.is_file():
            return [_adapter(path) + merged]
    return ["- all weights were tuned"]


def _adapter(path: Path) -> str:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise StepError("is not valid JSON", where=path.name, remedy="Train the model again.") from error
    targets = told.get("target_modules") or ()
    listed = targets if isinstance(targets, str) else ", ".join(sorted(targets))
    kind = str(told.get("peft_type", "adapter")).upper()
    sizes = [
        f"{label} {told[key]:g}" for label, key in (("rank", "r"), ("alpha", "lora_alpha")) if key in told
    ]
    return f"- adapter: {', '.join([kind, *sizes])}" + (f", on {listed}" if listed else "")


def _curve(path: Path) -> list[str]:
    """What the training's record tells, where the training left one."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines if line.strip()]
    told = []
    steps = [row["step"] for row in rows if "step" in row]
    if steps:
        told.append(f"- optimizer steps: {max(steps)}")
    for key, label in (("loss", "training loss"), ("validation_loss", "validation loss")):
        values = [(row[key], row.get("step")) for row in rows if key in row]
        if len(values) > 1:
            lowest, step = min(values, key=lambda value: value[0])
            least = (
                f", lowest {shown(lowest)} at step {step}" if key != "loss" and step != values[-1][1] else ""
            )
            told.append(f"- {label}: {shown(values[0][0])} at first, {shown(values[-1][0])} at last{least}")
    return told


def _scores(scores: Scores) -> str:
    lines = ["| score | better | candidate | interval | baseline | interval |", "|---|---|--:|---|--:|---|"]
    for name in sorted(scores.values):
        own, other = scores.values[name], scores.baseline.get(name)
        lines.append(
            f"| {_cell(name)} | {own['better']} | {_number(own)} | {_interval(own)} | {_number(other)} | "
            f"{_interval(other)} |"
        )
    return "\n".join(lines)


def _number(entry: Mapping[str, Any] | None) -> str:
    return shown(entry["value"]) if entry else ""


def _interval(entry: Mapping[str, Any] | None) -> str:
    return f"{shown(entry['low'])} to {shown(entry['high'])}" if entry else ""


def _gates(verdicts: Sequence[Verdict]) -> str:
    lines = ["| score | value | at most | at least | compared |", "|---|--:|--:|--:|---|"]
    for verdict in sorted(verdicts, key=lambda verdict: verdict.name):
        gate = verdict.gate
        bounds = ["" if bound is None else shown(bound) for bound in (gate.at_most, gate.at_least)]
        compared = "the value" if gate.on == "value" else "the interval's worse end"
        lines.append(
            f"| {_cell(verdict.name)} | {_number(verdict.score)} | {bounds[0]} | {bounds[1]} | {compared} |"
        )
    return "\n".join(lines)


def _licence(config: GatedRelease, candidate: Model) -> str:
    root = lineage(candidate)[-1].name
    if config.license:
        return f"{config.license}. What it was made from ({root} and the training data) has terms of its own."
    return (
        f"No licence was stated. The terms of {root} and of the training data hold: read them before passing "
        "this model on."
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
