"""Brings what lies at an address, checked, and only once."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from llmops_core.address import parse
from llmops_core.arrivals import Bring, Request, arrived, once, wrong_digest
from llmops_core.content import content_digest, file_digest, file_sizes
from llmops_core.errors import FetchError

__all__ = ["content_digest", "download_size", "fetch", "file_digest"]

SHA256 = re.compile(r"[0-9a-f]{64}")


def fetch(  # noqa: PLR0913  # what a step knows, by name
    address: str,
    sha256: str,
    *,
    cache: Path,
    offline: bool,
    token: str,
    tell: Callable[[int, int], None],
    options: Mapping[str, Any] | None = None,
) -> Path:
    """Bring what lies at an address and give where it now lies: a file or a folder, not to be written to.

    `sha256` (hex) is: of pypi, the wheel's, as the index shows it; of hf, file and fsspec's schemes,
    `content_digest` of what the address names. It may be "" for file: and hf. `token` is a secret's
    value, for hf and https. `tell(done, total)` is called with bytes; total is 0 while unknown. `options`
    are what fsspec's file system is opened with (endpoint_url, key, secret), values of secrets among them.
    Raises AddressError, FetchError (nothing is kept), OfflineError.
    """
    digest = sha256.strip().lower().removeprefix("sha256:")
    if digest and not SHA256.fullmatch(digest):
        raise FetchError(f"{sha256!r} is not a sha256", where=address, remedy="Write its 64 hex digits.")
    request = Request(parse(address), digest, cache.absolute(), offline, token, tell, options or {})
    if request.address.scheme == "file":
        return _local(request)
    place = once(request, _key(request), _bringer(request.address.scheme))
    return _part(request, place)


def download_size(address: str, sha256: str = "", *, cache: Path | None = None) -> int | None:
    """How many bytes `fetch` would bring, where that is known without asking anybody; else None."""
    place = parse(address)
    if place.scheme == "file":
        return 0
    if cache is None:
        return None
    request = Request(place, sha256.strip().lower(), cache.absolute(), True, "", lambda done, total: None)
    return 0 if arrived(request.cache, _key(request)) else None


def _key(request: Request) -> str:
    """The name of an arrival in the cache: one for each exact address and digest."""
    place = request.address
    if place.scheme == "pypi":
        return f"pypi-{place.name}-{place.version}-{request.sha256}"
    text = f"{place.dataset} {place.name} {place.version} {place.path} {request.sha256}"
    return f"{place.scheme}-{hashlib.sha256(text.encode()).hexdigest()}"


def _bringer(scheme: str) -> Bring:
    if scheme == "pypi":
        from llmops_core.fetch_pypi import bring
    elif scheme == "hf":
        from llmops_core.fetch_hub import bring
    else:
        from llmops_core.fetch_fsspec import bring
    return bring


def _local(request: Request) -> Path:
    path = request.address.local
    if not path.exists():
        remedy = "Name the folder, and its files with include." if "*" in path.name else "Check the path."
        raise FetchError("there is no such file or folder", where=request.address.text, remedy=remedy)
    if request.sha256 and (got := content_digest(path)) != request.sha256:
        raise wrong_digest(request, got)
    return path


def _part(request: Request, place: Path) -> Path:
    """The file or folder that the address names, of all that arrived with it."""
    address = request.address
    path = place / (address.path if address.scheme in ("pypi", "hf") else address.last_name)
    if path.exists():
        return path
    names = {name: None for file in file_sizes(place) for name in (file, *map(str, Path(file).parents[:-1]))}
    near = difflib.get_close_matches(address.path, names, n=3, cutoff=0.5)
    raise FetchError(
        f"it holds no {address.path}",
        where=address.text,
        remedy=f"Nearest: {', '.join(near)}." if near else f"It holds {', '.join(list(names)[:5])}, ...",
    )
