"""The release stage `gated`: a model is released when its scores keep to the recipe's gates."""

from __future__ import annotations

from collections.abc import Sequence

from llmops_core.artifacts import Model, Release, Scores
from llmops_core.errors import GateRefused, StepError
from llmops_core.step import StepRun
from llmops_release.chat_template import prompt_facts
from llmops_release.config import GatedRelease
from llmops_release.model_card import model_card
from llmops_release.verdicts import Verdict, judge


def gated(config: GatedRelease, run: StepRun, *, candidate: Model, scores: Scores) -> Release:
    """The release of the candidate, with its model card.

    Raises GateRefused, which tells of every gate missed and by how much.
    """
    if not config.gates:
        raise StepError(
            "there is no gate, so anything would be released",
            where=run.step,
            remedy=f"Set {run.step}.gates.SCORE.at_most or .at_least.",
        )
    verdicts = judge(config.gates, scores.values)
    missed = [verdict for verdict in verdicts if verdict.missed]
    if missed:
        raise _refused(run.step, missed, len(verdicts))
    run.log(f"{len(verdicts)} of {len(verdicts)} gates passed")
    prompt = prompt_facts(candidate)
    card = model_card(config, candidate, scores, verdicts)
    (run.folder / "model_card.md").write_text(card, encoding="utf-8")
    return Release(
        folder=run.folder,
        candidate=candidate,
        scores=scores,
        gates={verdict.name: verdict.record() for verdict in verdicts},
        prompt=prompt,
    )


def _refused(step: str, missed: Sequence[Verdict], count: int) -> GateRefused:
    lines = "".join(f"\n  {verdict.missed}" for verdict in missed)
    return GateRefused(
        f"{len(missed)} of {count} gates missed, nothing is released{lines}",
        where=step,
        remedy=f"Improve the model, or change {step}.gates if they ask too much.",
    )
