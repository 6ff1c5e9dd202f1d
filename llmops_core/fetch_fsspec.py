"""Files and folders of any scheme that fsspec knows (s3, gs, az, https, memory, ...)."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from llmops_core.arrivals import FILES, Brought, Request, make_sure_of_room, telling_full, wrong_digest
from llmops_core.content import BLOCK, content_digest
from llmops_core.errors import FetchError


def bring(request: Request, partial: Path) -> Brought:
    """Copy what lies at the address into partial/files and check its digest."""
    files, root = _system(request)
    folder = partial / FILES
    try:
        names = _names(request, files, root)
    except FileNotFoundError as error:
        raise FetchError("there is nothing there", where=request.address.text, remedy="Check it.") from error
    needed = sum(size for _, size in names.values())
    make_sure_of_room(request, folder, needed)
    with telling_full(request, folder, needed):
        _copy(request, files, names, folder)
    got = content_digest(folder / request.address.last_name)
    if got != request.sha256:
        raise wrong_digest(request, got)
    return Brought({name: (folder / name).stat().st_size for name in names})


def _system(request: Request) -> tuple[Any, str]:
    """fsspec's file system for the address and the path in it. Any: fsspec is untyped."""
    scheme = request.address.scheme
    try:
        import fsspec
    except ImportError as error:
        raise FetchError(
            f"{scheme}:// needs fsspec", where=request.address.text, remedy="Run: pip install fsspec"
        ) from error
    options: dict[str, Any] = {}
    if request.token:
        if scheme not in ("http", "https"):
            raise FetchError(
                f"a token is of no use to {scheme}://",
                where=request.address.text,
                remedy="Its own library finds credentials in the environment; take the token out.",
            )
        options["headers"] = {"Authorization": f"Bearer {request.token}"}
    try:
        files, root = fsspec.core.url_to_fs(request.address.text, **options)
    except (ImportError, ValueError) as error:
        known = "pypi, hf, file, s3, gs, az, https, memory"
        raise FetchError(
            str(error), where=request.address.text, remedy=f"Known schemes: {known}, ..."
        ) from error
    return files, root


def _names(request: Request, files: Any, root: str) -> dict[str, tuple[str, int]]:
    """Every file's name in the cache, with where it lies and its size in bytes (0: not known)."""
    if files.isfile(root):
        return {request.address.last_name: (root, int(files.size(root) or 0))}
    found = files.find(root, detail=True)
    if not found:
        raise FileNotFoundError(root)
    names = {}
    for path, detail in sorted(found.items()):
        name = path.removeprefix(root).lstrip("/")
        if not name or ".." in PurePosixPath(name).parts:
            raise FetchError(
                f"{path!r} leads out of it", where=request.address.text, remedy="Do not trust it."
            )
        names[f"{request.address.last_name}/{name}"] = (path, int(detail.get("size") or 0))
    return names


def _copy(request: Request, files: Any, names: dict[str, tuple[str, int]], folder: Path) -> None:
    total, done = sum(size for _, size in names.values()), 0
    for name, (path, _) in names.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with files.open(path, "rb") as source, target.open("wb") as written:
            while block := source.read(BLOCK):
                written.write(block)
                done += len(block)
                request.tell(done, total)
