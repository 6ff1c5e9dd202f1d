"""The conformance kit passes a good plugin, and names what each bad one does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from llmops_core.plugins import load
from llmops_core.testing.verdicts import passed, table, verdicts
from tests.core.testing.conftest import Bench

RUN_STARTS = '    password = run.secret(config.key) if config.key else ""\n'


def test_a_good_plugin_passes_every_check(bench: Bench) -> None:
    with bench.examining(bench.install()) as exam:
        found = verdicts(exam)
        shown = table(exam, found)
    assert passed(found), shown
    assert "contract 6/6 · config 5/5 · keys 4/4 · run 7/7 · crash 3/3 · secrets 2/2 · import " in shown
    assert shown.splitlines()[0].endswith(" 2.1 · data: " + shown.split()[0])
    skipped = {f"{one.family}: {one.name}": one.note for one in found if one.status == "skipped"}
    assert skipped == {
        "contract: presets": "it brings no YAML",
        "contract: commands": "it brings no command",
        "live: undo releases": "nothing it makes is live",
    }


@pytest.mark.parametrize(
    ("file", "old", "new", "title", "what"),
    [
        ("plugin.py", "LLMOPS", "raise OSError('oh')\nLLMOPS", "contract: imports", "OSError: oh"),
        ("plugin.py", "LLMOPS", "print('hello')\nLLMOPS", "contract: imports", "it prints when imported"),
        ("plugin.py", "LLMOPS_CONTRACT = 1", "", "contract: version", "does not say which contract"),
        ("plugin.py", "LLMOPS_CONTRACT = 1", "LLMOPS_CONTRACT = 2", "contract: hooks", "for contract 2"),
        ("plugin.py", "llmops_imple", "llmops_impel", "contract: hooks", "which is no hook"),
        ("plugin.py", '"PACKAGE",', '"a.b",', "contract: implementations", "cannot be written"),
        ("plugin.py", '"Counts."', '""', "contract: implementations", "does not say what it is"),
        ("plugin.py", ".work:count", ".wrok:count", "contract: references", "wrok:count' is not there"),
        ("plugin.py", '"Counts."', '"C", needs=["nix"]', "contract: packages", "needs nix, not installed"),
        ("plugin.py", '"Counts."', '"C", needs=["nix"], extra="acme[x]"', "run: runs", "acme[x]"),
        ("work.py", "(config, run)", "(config, run, data)", "contract: references", "cannot be called with"),
        ("plugin.py", "LLMOPS", "import fsspec\nLLMOPS", "import: nothing heavy", "brings in fsspec"),
        ("plugin.py", "LLMOPS", "sum(range(9**7))\nLLMOPS", "import: quick", "ms to import, more than 50"),
        ("config.py", '"How many."', '""', "config: documented", "rows: it has no doc"),
        ("config.py", '    """Rows with numbers."""', "", "config: documented", "no docstring"),
        ("config.py", "(frozen=True)", "", "config: typed", "Count is not frozen"),
        ("config.py", "key: str | None", "key: bytes | None", "config: typed", "no type for a field"),
        ("config.py", "setting(6,", "setting(0,", "config: ranged", "default 0 is out of its own range"),
        ("config.py", "at_most=100", "at_most=0", "config: ranged", "nothing lies within its bounds"),
        (
            "config.py",
            "    rows: int",
            "    def __post_init__(self):\n        object.__setattr__(self, 'scale', self.scale / 2)\n\n"
            "    rows: int",
            "config: round trip",
            "written and read again it is another",
        ),
        (
            "config.py",
            "    rows: int",
            "    def __post_init__(self):\n        object.__setattr__(self, 'scale', 1.0)\n\n    rows: int",
            "keys: every field counts",
            "scale: another value leaves the key as it is",
        ),
        (
            "config.py",
            "    key: str",
            '    api_key: str = setting("", doc="The key.")\n    key: str',
            "secrets: declared",
            "looks like a secret and takes plain text",
        ),
        ("work.py", "return Dataset(", "return dict(", "run: right artifact", "gave a dict, not a Dataset"),
        ("work.py", '"numbers")', "object())", "run: whole output", "could not be kept"),
        ("work.py", RUN_STARTS, "    raise OSError('no luck')\n", "run: runs", "no luck"),
        ("work.py", RUN_STARTS, "    import sys; sys.exit(0)\n", "run: runs", "SystemExit"),
        ("work.py", RUN_STARTS, "    import os; os._exit(0)\n", "run: runs", "it ended with status 0"),
        (
            "work.py",
            RUN_STARTS,
            "    object.__setattr__(config, 'rows', 3)\n",
            "run: config and inputs untouched",
            "it changes its config",
        ),
        ("work.py", RUN_STARTS, "    print('hello')\n", "run: silent", "standard output: 'hello"),
        ("work.py", RUN_STARTS, "    __import__('os').system('echo hi')\n", "run: silent", "output: 'hi"),
        (
            "work.py",
            RUN_STARTS,
            "    open(__import__('os').environ['BENCH_OUTSIDE']).read()\n",
            "run: reads only its inputs",
            "outside.txt, which is none of its inputs",
        ),
        (
            "work.py",
            RUN_STARTS,
            "    s = __import__('socket').socket(2, 2); s.connect(('192.0.2.1', 9)); s.close()\n",
            "run: reads only its inputs",
            "it reaches 192.0.2.1",
        ),
        (
            "work.py",
            'rows = {"train": config.rows}',
            'rows = {"train": config.rows, "x": hash("x")}',
            "keys: same inputs, same digest",
            "the same config and inputs gave another output in another process",
        ),
        (
            "work.py",
            'rows = {"train": config.rows}',
            'rows = {"train": config.rows, "workers": config.workers}',
            "keys: output=False is true",
            "workers is marked output=False, and another value changes the output",
        ),
        (
            "work.py",
            'rows = {"train": config.rows}',
            'rows = {"train": config.rows, "resumed": start}',
            "crash: same in the end",
            "killed and run again, it gave another output",
        ),
        (
            "work.py",
            '        done.with_suffix(".new").write_text(json.dumps(number))\n'
            '        done.with_suffix(".new").replace(done)\n',
            "        done.write_text(json.dumps(number))\n",
            "crash: goes on",
            "killed and run again",
        ),
        (
            "work.py",
            'rows = {"train": config.rows}',
            '(run.folder / "login").write_text(password)\n    rows = {}',
            "secrets: no leak",
            "a secret turns up in the file login",
        ),
    ],
)
def test_a_bad_plugin_is_told_what_it_does(
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    file: str,
    old: str,
    new: str,
    title: str,
    what: str,
) -> None:
    (tmp_path / "outside.txt").write_text("something else\n")
    monkeypatch.setenv("BENCH_OUTSIDE", str(tmp_path / "outside.txt"))
    said = bench.says(bench.install({file: (old, new)}), title)
    told = "\n".join(str(one) for one in said.findings)
    assert said.status == "failed"
    assert what in told


def test_what_says_it_is_not_seeded_must_not_be(bench: Bench) -> None:
    name = bench.install(
        {
            "plugin.py": ('"Counts."', '"Counts.", seeded=False'),
            "work.py": ('rows = {"train": config.rows}', 'rows = {"train": run.seed}'),
        }
    )
    said = bench.says(name, "keys: the seed")
    assert "another seed gave another output" in str(said.findings[0])


@pytest.mark.parametrize("file", ["plugin.py", "work.py"])
def test_a_plugin_that_hangs_is_stopped_and_named(bench: Bench, file: str) -> None:
    hangs = ("LLMOPS", "__import__('time').sleep(60)\nLLMOPS")
    if file == "work.py":
        hangs = (RUN_STARTS, "    __import__('time').sleep(60)\n")
    title = "contract: imports" if file == "plugin.py" else "run: runs"
    said = bench.says(bench.install({file: hangs}), title, time_limit=3)
    assert "did not end within" in str(said.findings[0])


def test_the_command_names_distribution_and_version_and_ends_with_status_one(bench: Bench) -> None:
    good, bad = bench.install(), bench.install({"work.py": ("return Dataset(", "return dict(")})
    words = [sys.executable, "-c", "from llmops_core.cli import main; main()", "plugin", "check"]
    done = subprocess.run([*words, bad], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout.startswith(f"{bad} 2.1 · data: {bad}\n")
    assert f"run: right artifact  data={bad}: it gave a dict, not a Dataset." in done.stdout
    done = subprocess.run([*words, good, "--no-runs", "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert json.loads(done.stdout)["passed"] is True
    done = subprocess.run([*words, "no-such-plugin"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no plugin no-such-plugin is installed" in done.stderr


def test_a_plugin_of_another_contract_is_refused_by_name_and_the_rest_goes_on(bench: Bench) -> None:
    newer = bench.install({"plugin.py": ("LLMOPS_CONTRACT = 1", "LLMOPS_CONTRACT = 2")})
    older = bench.install({"plugin.py": ("LLMOPS_CONTRACT = 1", "LLMOPS_CONTRACT = 0")})
    broken = bench.install({"plugin.py": ("LLMOPS_CONTRACT = 1", "LLMOPS_CONTRACT = 2\nimport absent")})
    silent = bench.install({"plugin.py": ("LLMOPS_CONTRACT = 1", "")})
    plugins = load()
    assert sorted((one.where, one.what, one.remedy) for one in plugins.problems) == [
        (
            f"{newer} 2.1",
            f"the plugin {newer} was made for contract 2; this llmops has 1",
            "Upgrade llmops: pip install --upgrade llmops",
        ),
        (
            f"{older} 2.1",
            f"the plugin {older} was made for contract 0; this llmops has 1",
            f"Upgrade {older}: pip install --upgrade {older}",
        ),
        (
            f"{broken} 2.1",
            f"the plugin {broken} was made for contract 2; this llmops has 1",
            "Upgrade llmops: pip install --upgrade llmops",
        ),
    ]
    assert silent in plugins.names("data")
    assert not {newer, older} & set(plugins.names("data"))


def test_a_plugin_that_prints_when_imported_spoils_no_json(bench: Bench) -> None:
    bench.install({"plugin.py": ("LLMOPS", "print('hello')\nLLMOPS")})
    words = [sys.executable, "-c", "from llmops_core.cli import main; main()", "plugins", "--json"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert json.loads(done.stdout)
    assert "hello" in done.stderr
