"""Models and data sets of the Hugging Face hub at an exact commit, by the hub's own library and cache.

Files stay in the hub library's cache (HF_HOME), where other tools find them too; ours keeps their sizes
and place. Each file's digest, as the hub's listing gives it, is checked on arrival.
"""

from __future__ import annotations

import contextlib
import fnmatch
import hashlib
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from llmops_core.arrivals import FILES, Brought, Request, telling_full, wrong_digest
from llmops_core.content import content_digest, file_digest, lines_digest
from llmops_core.errors import FetchError, OfflineError

WHAT_ELSE_REPOSITORIES_HOLD = (
    "*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack", "*.ot", "*.tflite", "*.gguf", "*.onnx",
    "onnx/*", "runs/*", "original/*", "coreml/*", "openvino/*",
)  # fmt: skip
"""Copies of a model's weights in other formats: left out when it has safetensors and no path is named."""


def bring(request: Request, partial: Path) -> Brought:
    """Download what the address names into the hub's cache and say where it lies."""
    hub = _library(request)
    with _telling_hub(request, hub):
        wanted = _wanted(request, _listing(request, hub))
        needed = sum(entry.size for entry in wanted)
        with telling_full(request, partial / FILES, needed):
            places = _download(request, hub, wanted, needed)
    for entry in wanted:
        _check(request, entry, places[entry.path])
    _check_whole(request, places)
    first = wanted[0].path
    place = Path(str(places[first])[: -len(first)])
    return Brought({entry.path: entry.size for entry in wanted}, place)


def _library(request: Request) -> Any:
    """huggingface_hub, imported only here. Any: what is used of it is duck-typed across its versions."""
    try:
        import huggingface_hub
        import huggingface_hub.errors
    except ImportError as error:
        raise FetchError(
            "hf:// needs huggingface_hub",
            where=request.address.text,
            remedy="Run: pip install huggingface_hub",
        ) from error
    return huggingface_hub


@contextlib.contextmanager
def _telling_hub(request: Request, hub: Any) -> Iterator[None]:
    errors, where = hub.errors, request.address.text
    logger = logging.getLogger("huggingface_hub")
    before = logger.level
    # It writes each retry to stderr, across the progress bar; the failure that counts is raised.
    logger.setLevel(logging.CRITICAL)
    # A gated repository is also "not found", and every answer with an error status an OSError: order counts.
    try:
        yield
    except FetchError:
        raise
    except errors.OfflineModeIsEnabled as error:
        raise OfflineError(
            "HF_HUB_OFFLINE forbids the network", where=where, remedy="Unset it once."
        ) from error
    except errors.GatedRepoError as error:
        page = f"Ask for access on the hub's page of {request.address.name}"
        remedy = f"{page}, and give token: ${{secret:HF_TOKEN}}."
        raise FetchError("the hub gives it only to those who asked", where=where, remedy=remedy) from error
    except errors.RevisionNotFoundError as error:
        raise FetchError(
            "the hub has no such commit", where=where, remedy="Look it up in its history."
        ) from error
    except errors.RepositoryNotFoundError as error:
        remedy = "Check its name; if it is private, give token: ${secret:HF_TOKEN}."
        raise FetchError("the hub has no such repository", where=where, remedy=remedy) from error
    except errors.EntryNotFoundError as error:
        raise FetchError("the hub has no such file", where=where, remedy="Check the path.") from error
    except Exception as error:
        # The hub's library speaks through whichever HTTP library its version uses; only the words are common.
        if isinstance(error, OSError) and error.errno is not None and error.filename is not None:
            raise
        what = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        remedy = "Check the network, HF_ENDPOINT and the token; or name a local copy with file:PATH."
        raise FetchError(f"the hub did not give it: {what}", where=where, remedy=remedy) from error
    finally:
        logger.setLevel(before)


def _listing(request: Request, hub: Any) -> list[Any]:
    address = request.address
    hub_api = hub.HfApi(endpoint=os.environ.get("HF_ENDPOINT"), token=request.token or None)
    entries = hub_api.list_repo_tree(
        address.name,
        recursive=True,
        revision=address.version,
        repo_type="dataset" if address.dataset else "model",
    )
    return [entry for entry in entries if hasattr(entry, "size")]


def _wanted(request: Request, entries: list[Any]) -> list[Any]:
    path = request.address.path
    if path:
        wanted = [entry for entry in entries if entry.path == path or entry.path.startswith(f"{path}/")]
    elif not request.address.dataset and any(entry.path.endswith(".safetensors") for entry in entries):
        wanted = [
            entry for entry in entries if not any(map(_matches(entry.path), WHAT_ELSE_REPOSITORIES_HOLD))
        ]
    else:
        wanted = entries
    if not wanted:
        names = ", ".join(sorted(entry.path for entry in entries)[:8]) or "nothing"
        raise FetchError(f"it holds no {path}", where=request.address.text, remedy=f"It holds {names}.")
    return sorted(wanted, key=lambda entry: str(entry.path))


def _matches(path: str) -> Callable[[str], bool]:
    return lambda pattern: fnmatch.fnmatchcase(path, pattern)


def _download(request: Request, hub: Any, wanted: list[Any], needed: int) -> dict[str, Path]:
    places, done = {}, 0
    for entry in wanted:
        place = hub.hf_hub_download(
            request.address.name,
            entry.path,
            revision=request.address.version,
            repo_type="dataset" if request.address.dataset else "model",
            endpoint=os.environ.get("HF_ENDPOINT"),
            token=request.token or None,
            tqdm_class=_bar(request, done, needed),
        )
        places[entry.path] = Path(place)
        done += entry.size
        request.tell(done, needed)
    return places


def _bar(request: Request, before: int, total: int) -> Any:
    """A progress bar that draws nothing and tells the step how far the whole download is."""
    import huggingface_hub.utils

    drawn: Any = huggingface_hub.utils.tqdm  # type: ignore[attr-defined]  # exported lazily

    class Told(drawn):  # type: ignore[misc]  # so its type is not known
        def __init__(self, *values: Any, **options: Any) -> None:
            options["disable"] = True
            self.come = int(options.get("initial") or 0)
            super().__init__(*values, **options)

        def update(self, n: float | None = 1) -> bool | None:
            self.come += int(n or 0)
            request.tell(min(before + self.come, total), total)
            return None

    return Told


def _check(request: Request, entry: Any, place: Path) -> None:
    """Compare a file with its digest in the hub's listing: sha256 of a large file, git's sha1 of another."""
    if entry.lfs is not None:
        expected, got = entry.lfs.sha256, file_digest(place)
    else:
        content = place.read_bytes()
        expected = entry.blob_id
        got = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    if got != expected:
        place.resolve().unlink(missing_ok=True)
        raise FetchError(
            f"{entry.path} is not what the hub lists: expected {expected}, got {got}; it was removed",
            where=request.address.text,
            remedy="Run again; if it happens twice, do not trust the source.",
        )


def _check_whole(request: Request, places: dict[str, Path]) -> None:
    if not request.sha256:
        return
    path = request.address.path
    if path in places:
        got = content_digest(places[path])
    else:
        prefix = f"{path}/" if path else ""
        got = lines_digest({name.removeprefix(prefix): file_digest(place) for name, place in places.items()})
    if got != request.sha256:
        raise wrong_digest(request, got)
