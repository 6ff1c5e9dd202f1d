"""Writes the reference pages from the code: `python docs/generate.py` (`--check` only says what differs).

artifacts.md from llmops_core.artifacts; recipes.md from what every recipe and step has; stages/NAME.md for
each stage, and for each other group that our plugins have implementations of, from the table of stages, the
implementations and their dataclasses; schema/NAME.json for editors, which the YAML in recipes/ and conf/
names in a comment; README.md lists them all.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import sys
import typing
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from llmops_core import artifacts, testing
from llmops_core.artifacts import KINDS, Artifact
from llmops_core.config import RecipeSettings, StepSettings
from llmops_core.hookspecs import CONTRACT_VERSION, Implementation
from llmops_core.options import default_text, type_name
from llmops_core.plugins import Plugins, load, resolve
from llmops_core.schema import preset_schema, schema
from llmops_core.settings import Declared, declared
from llmops_core.stages import BY_NAME, STAGES
from llmops_core.testing.verdicts import CHECKS

FOLDER = Path(__file__).resolve().parent / "reference"
COMMAND = "python docs/generate.py"
NOTE = f"<!-- Made from the code by `{COMMAND}`: change it there. -->"
BOUNDS = {"at_least": ">=", "at_most": "<=", "above": ">", "below": "<"}


def pages() -> dict[str, str]:
    """Every generated page, by its path below docs/reference."""
    plugins = load()
    groups: dict[str, list[Implementation]] = {stage.name: [] for stage in STAGES}
    for key, one in plugins.implementations.items():
        if plugins.owners[key].distribution in ("llmops", "llmops_core", "core"):
            groups.setdefault(one.group.partition("/")[0], []).append(one)
    found = {
        "artifacts.md": artifacts_page(),
        "recipes.md": recipes_page(),
        "conformance.md": conformance_page(),
    }
    for group, members in groups.items():
        found[f"stages/{group}.md"] = stage_page(group, sorted(members, key=lambda one: one.group), plugins)
    found["schema/recipe.json"] = as_json(schema(plugins))
    for group in sorted(plugins.library.groups - {"env"}):
        found[f"schema/{group.replace('/', '.')}.json"] = as_json(preset_schema(plugins, group))
    return {**found, "README.md": index_page(list(found))}


def as_json(document: Mapping[str, Any]) -> str:
    """A JSON Schema for editors, as the bundled YAML files name it."""
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def index_page(names: list[str]) -> str:
    """A list of all pages."""
    lines = [
        f"- [{name.removesuffix('.md').removeprefix('stages/')}]({name})" for name in ["hooks.md", *names]
    ]
    return join(["# Reference", NOTE, "\n".join(lines)])


def artifacts_page() -> str:
    """What flows between stages."""
    parts = ["# Artifacts", NOTE, paragraph(artifacts.__doc__), "## Artifact", paragraph(Artifact.__doc__)]
    parts.append(facts_table(Artifact))
    for name, kind in KINDS.items():
        given = [stage.name for stage in STAGES if stage.gives == name]
        taken = [stage.name for stage in STAGES if name in {slot.kind for slot in stage.takes}]
        parts += [f"## {name}", paragraph(kind.__doc__)]
        parts.append(
            f"Given by: {', '.join(given) or 'no stage'}. Taken by: {', '.join(taken) or 'no stage'}."
        )
        parts.append(facts_table(kind))
    return join(parts)


def conformance_page() -> str:
    """What the conformance kit checks, and what an author may tell it."""
    rows = [[one.family, one.name, " ".join((one.look.__doc__ or "").split())] for one in CHECKS]
    head = ["family", "check", "what it wants"]
    table = "\n".join(_line(cells) for cells in (head, ["---"] * 3, *rows))
    return join(
        [
            "# The conformance kit",
            NOTE,
            paragraph(testing.__doc__),
            "`llmops plugin check NAME` runs these on an installed plugin (`--no-runs` only looks, `--json` "
            "prints JSON); NAME is a distribution or an entry point. The exit status is 1 when one fails.",
            table,
            "## Example",
            paragraph(testing.Example.__doc__),
            facts_table(testing.Example),
            "## The version of the contract",
            f"A plugin says which major version of the contract it was made for: `LLMOPS_CONTRACT = "
            f"{CONTRACT_VERSION}` in its `plugin.py`. One that does not say was made for 1, the first. One "
            "made for another is refused by name, with what to upgrade, and the rest of llmops goes on.",
        ]
    )


def recipes_page() -> str:
    """What stands at the top of a recipe, and in every step."""
    return join(
        [
            "# Recipes",
            NOTE,
            "## At the top of a recipe",
            fields_table(RecipeSettings),
            "## In every step",
            paragraph(StepSettings.__doc__),
            fields_table(StepSettings),
        ]
    )


def stage_page(group: str, members: list[Implementation], plugins: Plugins) -> str:
    """A stage, or another group, with its implementations and those of its parts."""
    parts = [f"# {group}", NOTE]
    if stage := BY_NAME.get(group):
        takes = [
            f"`{slot.name}` ({slot.kind}{', optional' if slot.optional else ''})" for slot in stage.takes
        ]
        live = " It acts on the live world, and is never taken from the store." if stage.live else ""
        said = f"{stage.about[0].upper()}{stage.about[1:]}."
        parts.append(f"{said} Takes {', '.join(takes) or 'nothing'}; gives a {stage.gives}.{live}")
    for one in members:
        parts += [f"## {one.group}: {one.name}", paragraph(one.about)]
        parts += [line for line in _facts(one) if line]
        parts.append(fields_table(resolve(one.config)))
    presets = [(name, plugins.library.preset(name_of, name)) for name_of, name in _presets(group, plugins)]
    if presets:
        names = ", ".join(f"`{path.parent.name}/{name}`" for name, path in presets if path)
        parts += ["## Presets", f"{names}. See them with `llmops show options {group}`."]
    return join(parts)


def _facts(one: Implementation) -> Iterator[str]:
    if one.accepts:
        yield f"Accepts: {', '.join(one.accepts)}."
    if one.gives:
        yield f"Gives the scores {', '.join(one.gives)}."
    if one.needs:
        yield f"Needs {', '.join(one.needs)}: `pip install '{one.extra or ' '.join(one.needs)}'`."


def _presets(group: str, plugins: Plugins) -> Iterator[tuple[str, str]]:
    for of in sorted(plugins.library.groups):
        if of.partition("/")[0] == group:
            yield from ((of, name) for name in plugins.library.options(of))


def fields_table(cls: Any) -> str:
    """The fields of a config: name, type, default, unit, range, whether it is in the key, and doc."""
    rows = list(_rows(cls, ""))
    if not rows:
        return "It has no fields."
    head = ["field", "type", "default", "unit", "range", "changes the output", "what it is"]
    return "\n".join(_line(cells) for cells in (head, ["---"] * len(head), *rows))


def _rows(cls: Any, path: str) -> Iterator[list[str]]:
    hints = typing.get_type_hints(cls)
    for one in dataclasses.fields(cls):
        says, hint = declared(one), hints[one.name]
        inner = next((kind for kind in _inside(hint) if dataclasses.is_dataclass(kind)), None)
        inner = None if says.group else inner
        shown = default_text(one) or "''"
        default = "" if inner and isinstance(hint, type) else f"`{shown}`"
        kind = (
            "mapping of names" if inner and hint is not inner else "group" if inner else type_name(hint, says)
        )
        name = f"{path}{one.name}"
        output = "yes" if says.output else "no"
        yield [f"`{name}`", f"`{kind}`", default, says.unit, _range(says), output, says.doc]
        if inner:
            yield from _rows(inner, f"{name}." if hint is inner else f"{name}.NAME.")


def _inside(hint: Any) -> Iterator[Any]:
    yield hint
    for one in typing.get_args(hint):
        yield from _inside(one)


def _range(says: Declared) -> str:
    bounds = [(sign, getattr(says, name)) for name, sign in BOUNDS.items()]
    return ", ".join(f"{sign} {bound:g}" for sign, bound in bounds if bound is not None)


def facts_table(kind: type[Any]) -> str:
    """The fields of an artifact, or of another record, with their types and docs."""
    docs = _docs(kind)
    hidden = ("folder", "digest") if issubclass(kind, Artifact) and kind is not Artifact else ()
    own = [one for one in dataclasses.fields(kind) if one.name not in hidden]
    rows = [[f"`{one.name}`", f"`{one.type}`", docs.get(one.name, "")] for one in own]
    head = ["fact", "type", "what it is"]
    return "\n".join(_line(cells) for cells in (head, ["---"] * 3, *rows))


def _docs(kind: type[Any]) -> Mapping[str, str]:
    """What stands in a text below each field."""
    body = typing.cast("ast.ClassDef", ast.parse(inspect.getsource(kind)).body[0]).body
    found = {}
    for field, text in pairwise(body):
        named = isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if named and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            found[field.target.id] = " ".join(str(text.value.value).split())
    return found


def _line(cells: list[str]) -> str:
    if cells[0] == "---":
        return "|---" * len(cells) + "|"
    escaped = [cell.replace("|", "\\|") for cell in cells]
    return f"| {' | '.join(escaped)} |"


def paragraph(text: str | None) -> str:
    """A docstring as Markdown."""
    return inspect.cleandoc(text or "")


def join(parts: list[str]) -> str:
    """Blocks with an empty line between them."""
    return "\n\n".join(part for part in parts if part) + "\n"


def stale() -> list[str]:
    """The pages that are not what the code says, and those that nothing makes any more."""
    made = pages()
    known = {path.relative_to(FOLDER).as_posix() for path in FOLDER.glob("stages/*.md")}
    differ = [
        name
        for name, text in made.items()
        if not (FOLDER / name).exists() or (FOLDER / name).read_text(encoding="utf-8") != text
    ]
    return sorted({*differ, *(known - set(made))})


def main() -> int:
    """Write the pages, or say which differ."""
    if "--check" in sys.argv[1:]:
        found = stale()
        sys.stdout.write("".join(f"differs: docs/reference/{name}\n" for name in found))
        return 1 if found else 0
    made = pages()
    for name in stale():
        path = FOLDER / name
        if text := made.get(name):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        else:
            path.unlink()
        sys.stdout.write(f"docs/reference/{name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
