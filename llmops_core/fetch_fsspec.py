"""Files and folders of any scheme that fsspec knows (s3, gs, az, https, memory, ...)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from llmops_core.arrivals import FILES, Brought, Request, make_sure_of_room, telling_full, wrong_digest
from llmops_core.content import BLOCK, content_digest
from llmops_core.errors import FetchError, LlmopsError

EXTRAS: Mapping[str, str] = {
    "s3": "pip install 'llmops[s3]'",
    "s3a": "pip install 'llmops[s3]'",
    "gs": "pip install gcsfs",
}
VERSIONS = ("VersionId", "version_id", "ETag", "etag", "generation", "md5", "checksum")
"""What file systems call the mark of one state of a file, the surest first."""
STATE = (*VERSIONS, "size", "LastModified", "mtime", "modified", "created")
"""What is looked at to tell whether a file changed."""
REFUSED = "Check the names of the secrets and that they may read it"


@dataclass(frozen=True)
class Remote:
    """A file to be copied: where it lies, its size in bytes (0: not known), and what else was told of it."""

    path: str
    size: int
    detail: Mapping[str, Any]

    @property
    def version(self) -> str:
        """What its store calls this state of it; "" where it has no word for it."""
        found = ((name, self.detail.get(name)) for name in VERSIONS)
        return next((f"{name} {str(value).strip(chr(34))}" for name, value in found if value), "")

    @property
    def state(self) -> Mapping[str, str]:
        """All that tells whether it changed."""
        return {name: str(self.detail[name]) for name in STATE if self.detail.get(name) is not None}


def bring(request: Request, partial: Path) -> Brought:
    """Copy what lies at the address into partial/files and check its digest."""
    folder = partial / FILES
    with _telling(request):
        files, root = _system(request)
        remotes = _remotes(request, files, root)
        needed = sum(one.size for one in remotes.values())
        make_sure_of_room(request, folder, needed)
        with telling_full(request, folder, needed):
            _copy(request, files, remotes, folder)
        _make_sure_of_state(remotes, _remotes(request, files, root), request.address.text)
    got = content_digest(folder / request.address.last_name)
    if got != request.sha256:
        raise wrong_digest(request, got)
    versions = {name: one.version for name, one in remotes.items() if one.version}
    return Brought({name: (folder / name).stat().st_size for name in remotes}, versions=versions)


@contextmanager
def _telling(request: Request) -> Iterator[None]:
    """Say what a store's library raises (each has errors of its own) as ours, on one line."""
    where = request.address.text
    try:
        yield
    except LlmopsError:
        raise
    except FileNotFoundError as error:
        why = _first_line(error) if "://" not in str(error) and "bucket" in str(error) else ""
        what = f"there is nothing there{f': {why}' if why else ''}"
        raise FetchError(what, where=where, remedy="Check the address.") from error
    except PermissionError as error:
        if error.filename is not None:
            raise  # of this machine's own disk
        raise FetchError(
            f"it is refused: {_first_line(error)}", where=where, remedy=f"{REFUSED}: see secrets beside it."
        ) from error
    except Exception as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise
        if type(error).__name__ == "FileExpired":  # s3fs's word, without importing it
            raise FetchError(
                "it changed while it was read", where=where, remedy="Run again once nobody writes there."
            ) from error
        if isinstance(error, TypeError):
            remedy = "Its library knows no such option; see options and secrets beside it."
            raise FetchError(_first_line(error), where=where, remedy=remedy) from error
        if "credentials" in str(error).lower():
            remedy = (
                "Name them: secrets: {key: ${secret:NAME}, secret: ${secret:NAME}}, or options: {anon: true}."
            )
            raise FetchError(
                f"there are no credentials: {_first_line(error)}", where=where, remedy=remedy
            ) from error
        remedy = "Check the address, options.endpoint_url and the network."
        raise FetchError(f"it cannot be reached: {_first_line(error)}", where=where, remedy=remedy) from error


def _first_line(error: BaseException) -> str:
    told = str(error).strip().splitlines()
    return told[0].rstrip(".") if told else type(error).__name__


def _system(request: Request) -> tuple[Any, str]:
    """fsspec's file system for the address and the path in it. Any: fsspec is untyped."""
    scheme = request.address.scheme
    try:
        import fsspec
    except ImportError as error:
        raise FetchError(
            f"{scheme}:// needs fsspec", where=request.address.text, remedy="Run: pip install fsspec"
        ) from error
    options = dict(request.options)
    if request.token:
        if scheme not in ("http", "https"):
            raise FetchError(
                f"a token is of no use to {scheme}://",
                where=request.address.text,
                remedy="Name what its library asks for in secrets: {key: ${secret:NAME}, ...}.",
            )
        options["headers"] = {"Authorization": f"Bearer {request.token}"}
    try:
        files, root = fsspec.core.url_to_fs(request.address.text, **options)
    except ImportError as error:
        run = f"Run: {EXTRAS[scheme]}" if scheme in EXTRAS else "Install what it names."
        raise FetchError(str(error), where=request.address.text, remedy=run) from error
    except (ValueError, TypeError) as error:
        known = "pypi, hf, file, s3, gs, az, https, memory"
        raise FetchError(
            str(error), where=request.address.text, remedy=f"Known schemes: {known}, ...; check the options."
        ) from error
    return files, root


def _remotes(request: Request, files: Any, root: str) -> dict[str, Remote]:
    """Every file by its name in the cache."""
    files.invalidate_cache()
    if request.address.is_pattern:
        fixed = root.partition("*")[0].rpartition("/")[0]
        found = {path: one for path, one in files.glob(root, detail=True).items() if one["type"] == "file"}
    else:
        detail = files.info(root)
        if detail["type"] == "file":
            return {request.address.last_name: _remote(root, detail)}
        fixed, found = root, files.find(root, detail=True)
    if not found:
        raise FileNotFoundError(root)
    named = {}
    for path, detail in sorted(found.items()):
        name = path.removeprefix(fixed).lstrip("/")
        if not name or ".." in PurePosixPath(name).parts:
            raise FetchError(
                f"{path!r} leads out of it", where=request.address.text, remedy="Do not trust it."
            )
        if not name.endswith("/"):  # a mark that some tools leave for a folder
            named[f"{request.address.last_name}/{name}"] = _remote(path, detail)
    return named


def _remote(path: str, detail: Mapping[str, Any]) -> Remote:
    return Remote(path, int(detail.get("size") or 0), detail)


def _copy(request: Request, files: Any, remotes: Mapping[str, Remote], folder: Path) -> None:
    total, done = sum(one.size for one in remotes.values()), 0
    for name, one in remotes.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with files.open(one.path, "rb") as source, target.open("wb") as written:
            while block := source.read(BLOCK):
                written.write(block)
                done += len(block)
                request.tell(done, total)


def _make_sure_of_state(before: Mapping[str, Remote], after: Mapping[str, Remote], where: str) -> None:
    """Raises FetchError when a file is no longer what it was when it was listed, or others are there."""
    told = (name for name in {**before, **after} if _state(before, name) != _state(after, name))
    if (changed := next(told, None)) is not None:
        remedy = "Run again once nobody writes there."
        raise FetchError(f"{changed} changed while it was read", where=where, remedy=remedy)


def _state(remotes: Mapping[str, Remote], name: str) -> Mapping[str, str] | None:
    return remotes[name].state if name in remotes else None
