"""Finding and loading plugins, from tiny distributions made for each test."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from llmops_core.check import check
from llmops_core.entry_points import COMMANDS, PLUGINS, entry_points
from llmops_core.errors import PluginError, Problem, RecipeError
from llmops_core.plugins import Plugins, load, resolve
from tests.conftest import CommandLine, Project
from tests.core.test_check import llmops

HEAD = """\
from llmops_core.errors import Problem
from llmops_core.hookspecs import Implementation, hookimpl
def one(group, name):
    return Implementation(group, name, "tests.fake_plugin:FakeTrain", "tests.fake_plugin:train")
"""
OFFERS = "@hookimpl\ndef llmops_implementations():\n    return [one({group!r}, {name!r})]\n"
numbers = itertools.count()


@dataclass
class Site:
    """A folder on the path with installed distributions in it."""

    folder: Path
    made: list[str] = field(default_factory=list)

    def install(self, source: str, name: str = "", version: str = "1.0") -> str:
        """Install a distribution with one plugin; gives its module's name."""
        module = f"llmops_test_{next(numbers)}"
        name = name or module.replace("_", "-")
        (self.folder / f"{module}.py").write_text(HEAD + source)
        info = self.folder / f"{name}-{version}.dist-info"
        info.mkdir(exist_ok=True)
        with (info / "entry_points.txt").open("a") as lines:
            lines.write(f"[llmops]\n{module} = {module}\n")
        self.made.append(name)
        return module

    def problems(self) -> list[Problem]:
        """What loading says of the distributions installed here."""
        return load().problems


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """An empty folder on the path."""
    (tmp_path / "site").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return Site(tmp_path / "site")


def offered(plugins: Plugins, group: str) -> list[str]:
    return plugins.names(group)


def test_an_installed_plugin_is_found_with_its_distribution_and_version(site: Site) -> None:
    site.install(OFFERS.format(group="train", name="acme"), name="acme", version="0.3")
    plugins = load()
    assert plugins.problems == []
    assert str(plugins.owners[("train", "acme")]) == "acme 0.3"
    assert "lightning" in offered(plugins, "train")


def test_first_party_plugins_load_through_the_same_entry_points() -> None:
    points = entry_points(PLUGINS)
    assert {point.distribution for point in points} >= {"llmops"}
    assert all(point.value.endswith(".plugin") for point in points if point.distribution == "llmops")


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("import no_such_module_at_all\n", "cannot be imported: ModuleNotFoundError"),
        ("raise RuntimeError('oh no')\n", "cannot be imported: RuntimeError: oh no"),
        ("import sys; sys.exit('bye')\n", "cannot be imported: SystemExit: bye"),
        ("def f(:\n", "cannot be imported: SyntaxError"),
        ("@hookimpl\ndef llmops_implementations():\n    return 1 / 0\n", "cannot list its implementations"),
        (
            "@hookimpl\ndef llmops_implementations():\n    return ['x']\n",
            "lists 'x', which is no Implementation",
        ),
        (OFFERS.format(group="trian", name="acme"), "trian=acme belongs to no stage"),
        ("@hookimpl\ndef llmops_implementatons():\n    return []\n", "has a function llmops_implementatons"),
        ("def llmops_chekc(recipe):\n    return []\n", "has a function llmops_chekc, which is no hook"),
        ("def llmops_implementations():\n    return []\n", "llmops_implementations of the plugin"),
        ("@hookimpl\ndef llmops_check(recipe, more):\n    return []\n", "breaks the contract"),
        ("@hookimpl\ndef llmops_event(run, happening):\n    pass\n", "breaks the contract"),
    ],
)
def test_a_broken_plugin_is_named_with_its_distribution_and_the_rest_goes_on(
    site: Site, source: str, what: str
) -> None:
    site.install(source, name="acme", version="2.1")
    plugins = load()
    [problem] = plugins.problems
    assert problem.where == "acme 2.1"
    assert what in problem.what
    assert problem.remedy
    assert "lightning" in offered(plugins, "train")


def test_a_misspelled_hook_suggests_the_nearest(site: Site) -> None:
    site.install("def llmops_chekc(recipe):\n    return []\n")
    [problem] = site.problems()
    assert "Did you mean llmops_check?" in problem.remedy


def test_two_plugins_offering_one_name_are_both_named(site: Site) -> None:
    site.install(OFFERS.format(group="train", name="same"), name="acme", version="1.0")
    site.install(OFFERS.format(group="train", name="same"), name="zeta", version="2.0")
    [problem] = site.problems()
    assert problem.what == "train=same is offered twice, by acme 1.0 and by zeta 2.0"
    assert problem.remedy == "Remove one of the two."


def test_a_plugin_cannot_take_a_first_party_name(site: Site) -> None:
    site.install(OFFERS.format(group="train", name="lightning"), name="acme")
    [problem] = site.problems()
    assert "by llmops" in problem.what
    assert "by acme 1.0" in problem.what


def test_one_distribution_that_names_a_module_twice_is_loaded_once(site: Site) -> None:
    module = site.install(OFFERS.format(group="train", name="acme"), name="acme")
    with (site.folder / "acme-1.0.dist-info/entry_points.txt").open("a") as lines:
        lines.write(f"again = {module}\n")
    assert site.problems() == []


def test_a_broken_plugin_makes_every_command_that_reads_a_recipe_end_with_status_2(
    site: Site, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.install("raise RuntimeError('oh no')\n", name="acme", version="2.1")
    for command in (["check", "quickstart"], ["plugins"]):
        done = llmops(project.folder, *command, PYTHONPATH=str(site.folder))
        assert done.returncode == 2
        assert "acme 2.1" in done.stderr
        assert "RuntimeError: oh no" in done.stderr
        assert "Traceback" not in done.stderr


def test_config_packages_bring_presets_and_recipes(site: Site, project: Project) -> None:
    conf = site.folder / "acme_conf"
    (conf / "train").mkdir(parents=True)
    (conf / "recipes").mkdir()
    (conf / "__init__.py").write_text("raise RuntimeError('imported')\n")
    (conf / "train/quick.yaml").write_text("use: fake\nlr: 3\n")
    recipe = (project.folder / "recipe.yaml").read_text().replace("train: fake", "train: quick")
    (conf / "recipes/acme.yaml").write_text(recipe)
    site.install("@hookimpl\ndef llmops_config_packages():\n    return ['acme_conf']\n")
    assert project.check(recipe="acme").step("train").config.lr == 3
    assert project.check("train=quick").step("train").config.lr == 3


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("return ['no_such_package_here']", "names config packages that are not there: no_such_package_here"),
        ("return ['no_such.package']", "config packages"),
        ("return 1 / 0", "cannot name its config packages: ZeroDivisionError"),
        ("return None", "cannot name its config packages: TypeError"),
    ],
)
def test_config_packages_that_are_not_there_are_told(site: Site, body: str, what: str) -> None:
    site.install(f"@hookimpl\ndef llmops_config_packages():\n    {body}\n", name="acme")
    with pytest.raises(RecipeError) as caught:
        check("quickstart", (), load())
    [problem] = caught.value.problems
    assert problem.where == "acme"
    assert what in problem.what


@pytest.mark.parametrize(
    "reference", ["no_such_module:x", "json:no_such_name", "json", "json:", "tests.core.broken_for_test:x"]
)
def test_a_reference_that_leads_nowhere_is_an_error_that_names_it(reference: str) -> None:
    with pytest.raises(PluginError) as caught:
        resolve(reference)
    assert reference in str(caught.value)


def test_an_event_hook_that_fails_is_told_and_stops_nothing(site: Site) -> None:
    site.install("@hookimpl\ndef llmops_event(run, event):\n    raise RuntimeError('oh no')\n", name="acme")
    [line] = [told for told in load().event(None, "something") if "acme" in told]
    assert "acme" in line
    assert "RuntimeError: oh no" in line


def test_entry_points_are_read_per_group_without_importing(site: Site) -> None:
    info = site.folder / "acme_tool-1.2.dist-info"
    info.mkdir()
    (info / "entry_points.txt").write_text(
        "[console_scripts]\nx = y:z\n\n[llmops.commands]\n# words\nshine = acme:shine\n[llmops]\nbroken\n"
    )
    [point] = [point for point in entry_points(COMMANDS) if point.distribution == "acme_tool"]
    assert (point.name, point.value, str(point)) == ("shine", "acme:shine", "acme_tool 1.2")
    assert "acme_tool" not in {point.distribution for point in entry_points(PLUGINS)}


def test_the_first_of_two_installations_on_the_path_counts(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place, version in (("later", "1.0"), ("sooner", "2.0")):
        info = tmp_path / place / f"Acme_Tool-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "entry_points.txt").write_text("[llmops.commands]\nshine = acme:shine\n")
        monkeypatch.syspath_prepend(str(tmp_path / place))
    assert [one.version for one in entry_points(COMMANDS) if one.name == "shine"] == ["2.0"]


def test_a_command_that_is_none_is_told_with_who_names_it(llmops: CommandLine) -> None:
    info = llmops.site / "acme_tool-1.2.dist-info"
    info.mkdir(parents=True)
    (info / "entry_points.txt").write_text("[llmops.commands]\nshine = json:dumps\n")
    done = llmops("shine")
    assert done.returncode == 2
    assert "the command shine of acme_tool 1.2 is a function, not a click command" in done.stderr


def test_a_plugin_adds_a_command_to_a_built_in_group(llmops: CommandLine) -> None:
    info = llmops.site / "acme_tool-1.2.dist-info"
    info.mkdir(parents=True)
    (info / "entry_points.txt").write_text(
        "[llmops.commands]\nshow.shine = acme_commands:shine\nshow.config = acme_commands:shine\n"
        "show.broken = acme_commands:nothing\nshow.glow = acme_commands:glow\n"
    )
    (llmops.site / "acme_commands.py").write_text(
        "import sys\nsys.stderr.write('imported ')\nimport click\n\n\n"
        "@click.command()\n@click.argument('word')\ndef shine(word):\n    click.echo(word * 2)\n\n\n"
        '@click.command()\ndef glow():\n    """Glow all night.\n\n    Until dawn."""\n'
    )
    listed = llmops("show", "--help")
    assert "shine    from acme_tool 1.2" in listed.stdout
    assert "glow     Glow all night. (from acme_tool 1.2)" in listed.stdout
    assert "imported" not in listed.stderr + llmops("--help").stderr
    assert "shine" not in llmops("--help").stdout
    assert llmops("show", "shine", "bright").stdout == "brightbright\n"
    assert "imported" not in llmops("show", "config", "./recipe.yaml").stderr
    broken = llmops("show", "broken")
    assert (broken.returncode, "acme_commands:nothing" in broken.stderr) == (2, True)
