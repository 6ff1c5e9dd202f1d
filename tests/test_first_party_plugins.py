"""Every plugin of this distribution passes the kit that others' plugins are checked with."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmops_core.entry_points import PLUGINS, entry_points
from llmops_core.stages import STAGES
from llmops_core.testing.examination import Examination, examining
from llmops_core.testing.material import MAKERS
from llmops_core.testing.verdicts import CHECKS, verdict

ROOT = Path(__file__).resolve().parent.parent
DECLARED = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]
OURS = DECLARED["llmops"]
INSTALLED = {point.name for point in entry_points(PLUGINS) if point.distribution == "llmops"}


@pytest.fixture(scope="module", params=sorted(set(OURS) & INSTALLED))
def examination(request: pytest.FixtureRequest) -> Iterator[Examination]:
    # one thread: the machine that runs the tests runs other things
    with pytest.MonkeyPatch.context() as patch, examining(request.param) as exam:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield exam


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.title)
def test_a_first_party_plugin_conforms(check, examination: Examination) -> None:
    said = verdict(check, examination)
    if said.status == "skipped":
        pytest.skip(said.note)
    assert not said.findings, "\n" + "\n".join(str(one) for one in said.findings)


def test_the_kit_makes_every_kind_of_artifact_that_a_stage_must_have() -> None:
    assert {slot.kind for stage in STAGES for slot in stage.takes if not slot.optional} <= set(MAKERS)
