"""Writes a small, complete distribution with one implementation: `llmops plugin new`."""

from __future__ import annotations

import dataclasses
import importlib.util
import keyword
import re
import typing
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

from llmops_core.artifacts import KINDS, Artifact
from llmops_core.errors import UsageError
from llmops_core.hookspecs import CONTRACT_VERSION, Implementation
from llmops_core.locate import did_you_mean
from llmops_core.plugins import Plugins, resolve
from llmops_core.settings import declared
from llmops_core.stages import BY_NAME, Stage

TEMPLATES = Path(__file__).parent / "plugin_template"
NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
ABOUT = {
    "data": "Questions and answers from a text file.",
    "data/step": "Leaves out rows with short answers.",
    "model": "Weights that lie in a folder.",
    "train": "Counts words in place of learning them.",
    "evaluate": "How long the reference answers are.",
    "evaluate/metric": "How long answers are.",
    "release": "Releases what scores high enough.",
    "deploy": "Serves the files of the release.",
}


def write_plugin(name: str, group: str, into: Path, plugins: Plugins) -> Path:
    """Write the distribution `name`, which offers one implementation of `group`, into a folder of `into`.

    Gives that folder. Raises UsageError for a name that cannot be one, a group that is none, and a folder
    that is there already.
    """
    package = _package(name)
    values = {
        "distribution": name,
        "package": package,
        "group": group,
        "config_class": "".join(word.capitalize() for word in package.split("_")),
        "contract": str(CONTRACT_VERSION),
        "module": group.rpartition("/")[2],
        "about": ABOUT.get(group, f"A {group.replace('/', ' ')} of your own."),
        **_values(group, plugins),
    }
    place = into.expanduser() / name
    if place.exists():
        raise UsageError(f"{place} is there already", remedy="Take another name, or --into another folder.")
    for path, template in _files(package, group, values["module"]).items():
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        text = Template(_template(group, template).read_text(encoding="utf-8")).substitute(values)
        (place / path).write_text(text, encoding="utf-8")
    return place


def _package(name: str) -> str:
    package = name.replace("-", "_")
    if not NAME.fullmatch(name) or keyword.iskeyword(package):
        raise UsageError(f"{name} cannot be a plugin's name", remedy="Use a-z, 0-9 and -, like acme-words.")
    if importlib.util.find_spec(package) is not None:
        raise UsageError(f"there is a Python package {package} already", remedy="Take another name.")
    return package


def _files(package: str, group: str, module: str) -> Mapping[str, str]:
    """The distribution's files, each with the template it is made from."""
    return {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        f"{package}/__init__.py": "__init__.py",
        f"{package}/plugin.py": "plugin.py",
        f"{package}/config.py": "config.py",
        f"{package}/{module}.py": f"{module}.py",
        f"{package}/examples.py": "examples.py",
        f"{package}/conf/{group}/{package}.yaml": "preset.yaml",
        "tests/test_plugin.py": "test_plugin.py",
    }


def _template(group: str, name: str) -> Path:
    """The template of the group itself, else of any stage or part, else of all."""
    kind = "part" if "/" in group else "stage"
    own = TEMPLATES / group
    if not (own / "config.py.template").is_file():
        own = TEMPLATES / kind
        name = f"{kind}.py" if name == f"{group.rpartition('/')[2]}.py" else name
    found = (folder / f"{name}.template" for folder in (own, TEMPLATES))
    return next(path for path in found if path.is_file())


def _values(group: str, plugins: Plugins) -> Mapping[str, str]:
    """What the templates of this group are filled with, beside names. Raises UsageError."""
    if group in BY_NAME:
        return _stage_values(BY_NAME[group])
    stage = group.partition("/")[0]
    known = sorted({*BY_NAME, *_part_groups(plugins)})
    if group not in known:
        what = f"there is no stage {stage}" if stage not in BY_NAME else f"nothing chooses from {group}"
        remedy = f"{did_you_mean(group, known)}There are: {', '.join(known)}."
        raise UsageError(what, remedy=remedy)
    names = plugins.names(group)
    return _part_values(plugins.implementations[(group, names[0])]) if names else {}


def _part_groups(plugins: Plugins) -> set[str]:
    """The groups that some installed implementation's config chooses from, where there is one to start as."""
    found: set[str] = set()
    for one in plugins.implementations.values():
        cls: Any = resolve(one.config)
        found |= {declared(field).group for field in dataclasses.fields(cls)}
    return {group for group in found if group and plugins.names(group)}


def _part_values(like: Implementation) -> dict[str, str]:
    module, _, name = like.config.partition(":")
    return {
        "like": like.name,
        "like_module": module,
        "like_class": name,
        "needs": repr(tuple(like.needs)).replace("'", '"'),
        "extra": like.extra,
    }


def _stage_values(stage: Stage) -> dict[str, str]:
    """The signature of a stage's row, and an artifact of the kind that it gives, made of what it takes."""
    slots = [f"{one.name}: {one.kind}{' | None' if one.optional else ''}" for one in stage.takes]
    takes = {one.kind: one.name for one in stage.takes if not one.optional}
    facts = _facts(KINDS[stage.gives], takes)
    return {
        "kinds": ", ".join(sorted({stage.gives, *(one.kind for one in stage.takes)})),
        "slots": ", *, " + ", ".join(slots) if slots else "",
        "gives": stage.gives,
        "facts": "".join(f", {name}={value}" for name, value in facts.items()),
    }


def _facts(kind: type[Artifact], takes: Mapping[str, str]) -> dict[str, str]:
    """Values for an artifact's required facts: what comes in where it fits, else the smallest there is."""
    found = {}
    hints = typing.get_type_hints(kind)
    for one in dataclasses.fields(kind):
        required = one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING
        if required and one.name != "folder":
            hint = hints[one.name]
            found[one.name] = takes.get(getattr(hint, "__name__", ""), _smallest(hint))
    return found


def _smallest(hint: Any) -> str:
    plain = {str: '"none"', int: "0", float: "0.0", bool: "False"}
    origin = typing.get_origin(hint)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return "{}"
    return plain.get(hint, "()")
