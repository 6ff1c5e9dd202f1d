"""The wheel, installed into an empty environment outside the repository, and an editable install."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def run(*words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    command = [str(word) for word in words]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that `pip install` builds."""
    place = tmp_path_factory.mktemp("dist")
    built = run(sys.executable, "-m", "build", "--wheel", "--outdir", place, ROOT, cwd=place)
    assert built.returncode == 0, built.stderr
    return next(place.glob("*.whl"))


def test_the_source_distribution_holds_all_that_the_wheel_is_built_of(tmp_path: Path) -> None:
    built = run(sys.executable, "-m", "build", "--sdist", "--outdir", tmp_path, ROOT, cwd=tmp_path)
    assert built.returncode == 0, built.stderr
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = settings["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert [package for package in packages if f"{package}/__init__.py" not in names] == []


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An environment with the wheel and its own dependencies only."""
    place = tmp_path_factory.mktemp("environment")
    venv.create(place, with_pip=True)
    pip = [place / "bin" / "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt"]
    installed = run(*pip, wheel, cwd=place)
    assert installed.returncode == 0, installed.stderr
    yield place


def test_the_wheel_holds_presets_recipes_and_packages_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.split("/")[0] for name in names}
    folders = [*(ROOT / "plugins").iterdir(), *(ROOT / "infra").iterdir()]
    plugins = {path.name for path in folders if (path / "__init__.py").is_file()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"llmops_core", *plugins}
    for kind in ("conf", "recipes"):
        here = {path.relative_to(ROOT).as_posix() for path in (ROOT / kind).rglob("*.yaml")}
        packed = {name.removeprefix("llmops_core/_bundled/") for name in names if f"_bundled/{kind}/" in name}
        assert packed == here


@pytest.mark.parametrize("command", ["check", "plan"])
def test_the_wheel_checks_and_plans_the_quickstart_outside_the_repository(
    environment: Path, tmp_path: Path, command: str
) -> None:
    done = run(environment / "bin" / "llmops", command, "quickstart", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "quickstart" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_run_without_the_heavy_libraries_is_refused_with_the_command_that_brings_them(
    environment: Path, tmp_path: Path
) -> None:
    done = run(environment / "bin" / "llmops", "run", "quickstart", cwd=tmp_path)
    assert done.returncode == 2
    assert "llmops[train]" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_base_install_stays_under_thirty_megabytes(environment: Path) -> None:
    site = next((environment / "lib").glob("python*/site-packages"))
    own = [
        path
        for path in site.iterdir()
        if path.name.split("-")[0] not in ("pip", "setuptools", "_distutils_hack")
    ]
    files = [
        file for path in own for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file()
    ]
    size = sum(file.stat().st_size for file in files if file.suffix != ".pyc")
    assert size < 30e6, f"{size / 1e6:.1f} MB"


def test_an_editable_install_reads_the_repository_and_makes_nothing_else_importable(tmp_path: Path) -> None:
    code = (
        "import importlib.util, llmops_core, pathlib;"
        "from llmops_core.locate import bundled;"
        "print(bundled('conf'));"
        "print([name for name in ('conf', 'recipes', 'tests', 'benchmarks', 'plugins')"
        " if importlib.util.find_spec(name)])"
    )
    done = run(sys.executable, "-c", code, cwd=tmp_path)
    assert done.stdout.splitlines() == [str(ROOT / "conf"), "[]"]
    assert not (ROOT / "llmops_core" / "_bundled").exists()
