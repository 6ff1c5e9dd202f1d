"""A step from its request alone, in a process that composes nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from typing import Any

import pytest

from llmops_core.errors import PluginError, StepError
from llmops_core.files import write_json
from llmops_core.manifest import Manifest
from llmops_core.settings import Part
from llmops_core.step import StepRun
from llmops_core.worker import StepRequest, Worker, as_json, request_for
from tests.conftest import REPOSITORY, CommandLine, Project
from tests.stand_ins import Instead, outputs


def request(project: Project, run: Manifest, name: str, **changes: Any) -> StepRequest:
    record = run.step(name)
    step = next(one for one in project.check().steps if one.name == name)
    return request_for(
        step,
        record["inputs"],
        **{
            "store": str(project.store.root),
            "run": run.id,
            "key": record["key"],
            "seed": 7,
            "environment": "dev",
            **changes,
        },
    )


def work_alone(llmops: CommandLine, document: dict[str, Any], **environment: str) -> Any:
    path = llmops.folder / "request.json"
    write_json(path, document)
    script = (
        "import sys; from llmops_core import worker; status = worker.main(sys.argv[1]);"
        "assert not {'hydra', 'omegaconf'} & set(sys.modules), 'it composes'; sys.exit(status)"
    )
    told = subprocess.run(
        [sys.executable, "-c", script, str(path)],
        cwd=llmops.site,
        env={**os.environ, "PYTHONPATH": f"{llmops.site}:{REPOSITORY}", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    answer = path.with_suffix(".answer.json")
    return told, json.loads(answer.read_text()) if answer.exists() else None


def test_every_content_step_gives_the_same_digest_from_its_request_in_another_process(
    project: Project, llmops: CommandLine
) -> None:
    run = project.run("data.steps.share.share=0.5")
    for name, wanted in zip(("train", "evaluate"), outputs(run)[2:4], strict=True):
        told, answer = work_alone(llmops, as_json(request(project, run, name)))
        assert told.returncode == 0, told.stderr
        assert answer == {"output": wanted}
    assert not list((project.store.root / "tmp").iterdir())


def test_parts_and_their_settings_travel_with_the_request(project: Project) -> None:
    run = project.run()
    step = project.check("data.steps.share.share=0.5").steps[0]
    again = StepRequest(**json.loads(json.dumps(as_json(request_for(step, {}, **others(project, run))))))
    config = Worker(project.plugins()).config(again)
    assert config == step.config
    assert isinstance(config.steps["share"], Part) and config.steps["share"].config.share == 0.5


def others(project: Project, run: Manifest) -> dict[str, Any]:
    return {"store": str(project.store.root), "run": "1", "key": "k", "seed": 7, "environment": "dev"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 9}, "this request has format 9; this release of llmops reads up to 1"),
        ({"use": "nobody"}, "no installed plugin offers data=nobody"),
        ({"config": {"rows": -1}}, "data.rows: "),
        ({"config": {"fail": "broken with pl4nted-token"}}, "data: RuntimeError: broken with [secret]"),
        ({"extra": 1}, "this request lacks or should not have: extra"),
    ],
)
def test_what_goes_wrong_is_in_the_answer_and_in_a_few_lines(
    project: Project, llmops: CommandLine, change: dict[str, Any], said: str
) -> None:
    run = project.run()
    document = {**as_json(request(project, run, "data")), **change}
    told, answer = work_alone(llmops, document, MY_TOKEN="pl4nted-token")
    assert told.returncode in (1, 2)
    assert said in told.stderr and "Traceback" not in told.stderr
    assert said in " ".join(
        [answer["error"]["where"] + ": " + answer["error"]["what"], answer["error"]["what"]]
    )
    assert "pl4nted" not in told.stderr + json.dumps(answer)
    assert not list((project.store.root / "tmp").iterdir())


def test_nothing_temporary_is_left_whatever_happens(project: Project) -> None:
    run = project.run()

    def bad(inner: StepRun) -> Any:
        (inner.folder / "half").write_text("x")
        return "no artifact"

    project.extra = [("bad", Instead("data", bad))]
    with pytest.raises(PluginError):
        Worker(project.plugins()).work(request(project, run, "data"))
    assert not list((project.store.root / "tmp").iterdir())
    assert not list((project.store.root / "scratch").iterdir())


def test_a_request_holds_names_of_secrets_and_no_values(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLANTED", "pl4nted-token")
    step = project.check("data.token='${secret:PLANTED}'").steps[0]
    made = request_for(step, {}, store=".", run="1", key="k", seed=1, environment="dev")
    assert made.config["token"] == "${secret:PLANTED}"
    assert "pl4nted" not in json.dumps(asdict(made))


def test_a_config_that_no_longer_fits_is_told_field_by_field(project: Project) -> None:
    run = project.run()
    bad = request(project, run, "train")
    changed = StepRequest(**{**as_json(bad), "config": {"lr": "fast", "warmup": 3}})
    with pytest.raises(StepError, match=r"train\.warmup: no such field.*; train\.lr: a number"):
        Worker(project.plugins()).config(changed)


def test_the_network_is_forbidden_by_one_variable(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []

    def look(run: StepRun) -> Any:
        seen.append(run.offline)
        raise StepError("enough")

    project.extra = [("look", Instead("data", look))]
    for value in ("", "0", "1"):
        monkeypatch.setenv("LLMOPS_OFFLINE", value)
        with pytest.raises(StepError):
            project.run()
    assert seen == [False, False, True]
