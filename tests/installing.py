"""An environment of its own in which a test installs distributions, with all that this one has."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

COMMANDS = {
    "llmops": "from llmops_core.cli import main; main()",
    "pytest": "import sys, pytest; sys.exit(pytest.main())",
}


@dataclass(frozen=True)
class Environment:
    """A virtual environment below `folder`; what is installed there is seen nowhere else."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> Environment:
        """A new one, in which this environment's packages and the commands llmops, pip and pytest are."""
        venv.create(folder, with_pip=False)
        made = cls(folder)
        here = sysconfig.get_path("purelib")
        site = next((folder / "lib").glob("python*/site-packages"))
        (site / "outer.pth").write_text(f"import site; site.addsitedir({here!r})\n", encoding="utf-8")
        for name, code in COMMANDS.items():
            made._command(name, f'exec "{made.python}" -c "{code}" "$@"')
        made._command("pip", f'exec "{sys.executable}" -m pip --quiet --python "{made.python}" "$@"')
        return made

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    def start(self, *words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run a command in it, whatever comes of it."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "LLMOPS"))}
        kept |= {"PATH": f"{self.folder / 'bin'}{os.pathsep}{kept['PATH']}", "OMP_NUM_THREADS": "1"}
        command = [str(word) for word in words]
        return subprocess.run(command, cwd=cwd, env=kept, capture_output=True, text=True, check=False)

    def run(self, *words: str | Path, cwd: Path) -> str:
        """What a command prints; fails the test when its status is not 0."""
        done = self.start(*words, cwd=cwd)
        assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def _command(self, name: str, line: str) -> None:
        path = self.folder / "bin" / name
        path.write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
        path.chmod(0o755)
