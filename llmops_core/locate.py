"""Where presets and recipes lie: packaged ones, else the repository's; then plugins', then the user's."""

from __future__ import annotations

import difflib
import importlib.util
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from llmops_core.errors import UsageError

SUFFIXES = (".yaml", ".yml")
LIKE = 0.6
"""How like two names must be for one to be meant by the other."""


def bundled(name: str) -> Path:
    """The folder `conf` or `recipes`: inside the installed package, else beside it in the repository."""
    package = Path(__file__).resolve().parent
    inside = package / "_bundled" / name
    return inside if inside.is_dir() else package.parent / name


def package_folder(package: str) -> Path | None:
    """Where an import package lies, found without importing it."""
    spec = importlib.util.find_spec(package)
    places = list(spec.submodule_search_locations or ()) if spec else []
    return Path(places[0]) if places else None


@dataclass(frozen=True)
class Library:
    """Every folder that presets and recipes come from, the nearest first."""

    presets: tuple[Path, ...]
    recipes: tuple[Path, ...]

    @classmethod
    def of(cls, packages: Iterable[str] = ()) -> Library:
        """The bundled folders, then those of the plugins' config `packages`."""
        folders = [folder for name in packages if (folder := package_folder(name))]
        return cls(
            (bundled("conf"), *folders),
            (bundled("recipes"), *(folder / "recipes" for folder in folders)),
        )

    def beside(self, folder: Path) -> Library:
        """The same library, looking in `folder` (the recipe's own) first."""
        if folder in self.recipes:
            return self
        return Library((folder, *self.presets), (folder, *self.recipes))

    def preset(self, group: str, name: str) -> Path | None:
        """The file of a preset, or None."""
        return _first(self.presets, f"{group}/{name}")

    def config(self, name: str, apart: Sequence[Path] = ()) -> Path | None:
        """The file that a plain entry of a defaults list names (`base`, another recipe), or None.

        Files in `apart` are passed over when there is another: a recipe may extend its namesake.
        """
        return _first((*self.recipes, *self.presets), name.lstrip("/"), apart)

    def options(self, group: str) -> list[str]:
        """The names of a group's presets."""
        found = (folder / group for folder in self.presets)
        return sorted({name for folder in found if folder.is_dir() for name in _stems(folder)})

    @cached_property
    def groups(self) -> frozenset[str]:
        """Every folder of presets, as "train" or "train/tuning" (the user's own folder is not listed)."""
        found: set[str] = set()
        for root in self.presets:
            if root in self.recipes:
                continue
            files = (path for pattern in ("*/*.yaml", "*/*/*.yaml") for path in root.glob(pattern))
            found |= {path.parent.relative_to(root).as_posix() for path in files}
        return frozenset(found)

    def recipe_names(self) -> dict[str, Path]:
        """Every recipe that can be named without a path."""
        found: dict[str, Path] = {}
        for folder in self.recipes:
            for path in sorted(folder.glob("*.yaml")) if folder.is_dir() else ():
                found.setdefault(path.stem, path)
        return found

    def recipe(self, name: str) -> Path:
        """The file of a recipe given by name or path; raises UsageError when there is none."""
        if name.endswith(SUFFIXES) or "/" in name:
            path = Path(os.path.expanduser(name))  # noqa: PTH111 - Path.expanduser fails on ~nobody
            if path.is_file():
                return path.resolve()
            found = [f"{name}{suffix}" for suffix in SUFFIXES if Path(f"{path}{suffix}").is_file()]
            near = f"Did you mean {found[0]}?" if found else "Give a bundled name or a path to YAML."
            raise UsageError(f"there is no recipe file {name}", remedy=near)
        names = self.recipe_names()
        if name in names:
            return names[name]
        remedy = f"{did_you_mean(name, names)}See: llmops show recipes"
        if Path(f"{name}.yaml").is_file():
            remedy = f"For the file here, write ./{name}.yaml"
        raise UsageError(f"there is no recipe named {name or repr(name)}", remedy=remedy)


def did_you_mean(name: str, known: Iterable[str], prefix: str = "") -> str:
    """ "Did you mean X? " for the nearest of `known`, or an empty text."""
    near = nearest(name, known)
    return f"Did you mean {prefix}{near}? " if near else ""


def nearest(name: str, known: Iterable[str]) -> str:
    """The member of `known` most like `name`, or an empty text when none is alike.

    A name cut short is like the whole: "warmpu" is near "warmup_steps".
    """
    best, likeness = "", (LIKE, False)
    for other in sorted(known) if name else ():
        for text in (other, other[: len(name)]):
            ratio = difflib.SequenceMatcher(None, name.lower(), text.lower()).ratio()
            if ratio > LIKE and (ratio, text == other) > likeness:
                best, likeness = other, (ratio, text == other)
    return best


def _first(folders: Sequence[Path], name: str, apart: Sequence[Path] = ()) -> Path | None:
    found = (folder / f"{name}{suffix}" for folder in folders for suffix in SUFFIXES)
    files = [path for path in found if path.is_file()]
    return next((path for path in files if path not in apart), files[0] if files else None)


def _stems(folder: Path) -> Iterable[str]:
    return (path.stem for path in folder.iterdir() if path.suffix in SUFFIXES)
