"""Which step's artifact fills which slot: the table's defaults, then what the recipe rewires."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llmops_core.locate import did_you_mean
from llmops_core.stages import BY_NAME, STAGES, Slot
from llmops_core.typed import Report

ORDER = {stage.name: number for number, stage in enumerate(STAGES)}


def order(stages: Mapping[str, str]) -> list[str]:
    """Step names in the order of the flow, steps of one stage in the recipe's order."""
    return sorted(stages, key=lambda name: ORDER[stages[name]])


def wire(
    stages: Mapping[str, str], rewired: Mapping[str, Mapping[str, str]], report: Report
) -> dict[str, dict[str, str]]:
    """Step name -> slot -> the step that fills it.

    `stages` maps step names to stages in the recipe's order; `rewired` holds each step's `inputs`.
    """
    names = order(stages)
    inputs: dict[str, dict[str, str]] = {}
    for name in names:
        inputs[name] = {}
        wanted = rewired.get(name, {})
        slots = {slot.name: slot for slot in BY_NAME[stages[name]].takes}
        for odd in [name for name in wanted if name not in slots]:
            hint = did_you_mean(odd, slots) or f"It takes: {', '.join(slots) or 'nothing'}."
            report(f"{name}.inputs.{odd}", f"a {stages[name]} step has no such input", hint)
        for slot in slots.values():
            source = wanted.get(slot.name) or _default(slot, name, names, stages, inputs)
            if source is None:
                _unfilled(slot, name, stages, report)
            elif _fits(slot, source, name, stages, report):
                inputs[name][slot.name] = source
    return inputs


def _default(
    slot: Slot,
    step: str,
    names: Sequence[str],
    stages: Mapping[str, str],
    inputs: Mapping[str, Mapping[str, str]],
) -> str | None:
    before = list(names[: names.index(step)])
    if slot.name == "baseline":
        candidate = inputs[step].get("candidate")
        return inputs.get(candidate, {}).get("model") if candidate else None
    if slot.kind == "Model":
        trained = [name for name in before if stages[name] == "train"]
        if stages[step] != "train":
            # the last model: the one that no other training starts from
            used = {inputs[name].get("model") for name in trained}
            trained = [name for name in trained if name not in used] or trained
        if trained:
            return trained[-1]
    fitting = [name for name in before if BY_NAME[stages[name]].gives == slot.kind]
    if slot.kind == "Dataset" or slot.kind == "Model":
        own = [name for name in fitting if name == stages[name]]
        return own[0] if own else fitting[0] if len(fitting) == 1 else None
    return fitting[-1] if fitting else None


def _unfilled(slot: Slot, step: str, stages: Mapping[str, str], report: Report) -> None:
    if slot.optional:
        return
    makers = [stage.name for stage in STAGES if stage.gives == slot.kind]
    several = [name for name in stages if stages[name] in makers and name != step]
    if several:
        what = f"its input {slot.name} could be {' or '.join(several)}"
        report(step, what, f"Write {step}.inputs.{slot.name}={several[0]}.")
    else:
        what = f"its input {slot.name} ({slot.kind}) has no step that makes it"
        report(step, what, f"Add a step, for instance {makers[0]}=NAME. See: llmops show options {makers[0]}")


def _fits(slot: Slot, source: str, step: str, stages: Mapping[str, str], report: Report) -> bool:
    where = f"{step}.inputs.{slot.name}"
    if source not in stages:
        report(where, f"there is no step {source}", did_you_mean(source, stages))
        return False
    gives = BY_NAME[stages[source]].gives
    if gives != slot.kind:
        fitting = [name for name in stages if BY_NAME[stages[name]].gives == slot.kind and name != step]
        what = f"{source} gives a {gives}, and {slot.name} is a {slot.kind}"
        report(where, what, f"These fit: {', '.join(fitting)}." if fitting else "No step of the recipe fits.")
        return False
    return True


def sequence(stages: Mapping[str, str], inputs: Mapping[str, Mapping[str, str]], report: Report) -> list[str]:
    """Step names so that every step comes after its inputs; a cycle is reported and broken."""
    done: list[str] = []
    waiting = order(stages)
    while waiting:
        ready = [name for name in waiting if set(inputs[name].values()) <= set(done)]
        if not ready:
            circle = _circle(waiting, inputs)
            what = f"these steps wait for each other: {', '.join(circle)}"
            report(circle[0], what if len(circle) > 1 else "it waits for itself", "Correct the inputs there.")
            return done + waiting
        done.append(ready[0])
        waiting.remove(ready[0])
    return done


def _circle(waiting: Sequence[str], inputs: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Of the steps that cannot start, those that stand in a circle rather than behind one."""
    left = list(waiting)
    while True:
        needed = {source for name in left for source in inputs[name].values()}
        if needed.issuperset(left):
            return left
        left = [name for name in left if name in needed]
