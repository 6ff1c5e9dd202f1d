"""The conformance kit as pytest tests, for a plugin's own test suite to inherit. Needs pytest.

class TestAcmeWords(PluginSuite):
    plugin = "acme-words"
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

import pytest

from llmops_core.testing.examination import TIME_LIMIT, Examination, examining
from llmops_core.testing.examples import Example
from llmops_core.testing.findings import Check
from llmops_core.testing.material import Material
from llmops_core.testing.verdicts import CHECKS, verdict


class PluginSuite:
    """Inherit it in a class whose name begins with Test, and name the plugin."""

    plugin: ClassVar[str] = ""
    """The distribution, or the entry point, as it is installed."""
    time_limit: ClassVar[float] = TIME_LIMIT
    """Seconds that one process may take."""
    runs: ClassVar[bool] = True
    """False: only look, run nothing."""
    not_yet: ClassVar[Mapping[str, str]] = {}
    """Checks to leave out, by title ("crash: goes on"), each with the reason."""

    @classmethod
    def examples(cls, material: Material) -> Mapping[str, Example]:
        """Examples that stand in for those of the plugin's own module `examples`."""
        return {}

    @pytest.fixture(scope="class")
    @classmethod
    def examination(cls) -> Iterator[Examination]:
        """What the checks share."""
        with examining(cls.plugin, time_limit=cls.time_limit, runs=cls.runs) as found:
            found.given = cls.examples
            yield found

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.title)
    def test_the_plugin_conforms(self, check: Check, examination: Examination) -> None:
        """One check of the kit."""
        if reason := self.not_yet.get(check.title):
            pytest.skip(reason)
        said = verdict(check, examination)
        if said.status == "skipped":
            pytest.skip(said.note)
        assert not said.findings, "\n" + "\n".join(str(one) for one in said.findings)
