"""Writing and hashing files so that a kill at any moment leaves the old content or the new, never a half."""

from __future__ import annotations

import fcntl
import json
import math
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from llmops_core.errors import StoreError


def write_text(path: Path, text: str) -> None:
    """Replace a file's content atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        # a text may hold half a surrogate pair: in JSON its escape stands for it
        fresh.write_text(text, encoding="utf-8", errors="backslashreplace")
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def write_json(path: Path, document: Any) -> None:
    """Replace a JSON file atomically."""
    write_text(path, _spelled(document) + "\n")


def _spelled(document: Any) -> str:
    """A line a member, and a line a member of a list in it: to be read by people too.

    The encoder's own indentation takes ten times as long, which records of many steps would feel.
    """
    if not isinstance(document, dict) or not all(isinstance(name, str) for name in document):
        return json.dumps(document, ensure_ascii=False)
    lines = []
    for name, value in document.items():
        if isinstance(value, list) and value:
            members = ",\n  ".join(json.dumps(member, ensure_ascii=False) for member in value)
            text = f"[\n  {members}\n ]"
        else:
            text = json.dumps(value, ensure_ascii=False)
        lines.append(f" {json.dumps(name, ensure_ascii=False)}: {text}")
    return "{\n" + ",\n".join(lines) + "\n}" if lines else "{}"


def finite(value: Any) -> Any:
    """The same JSON value with null for each number that is none, for which JSON has no word."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {name: finite(member) for name, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(member) for member in value]
    return value


def create_json(path: Path, document: Any) -> bool:
    """Make a JSON file unless it is there already; gives whether this call made it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        write_json(fresh, document)
        os.link(fresh, path)
    except FileExistsError:
        return False
    finally:
        fresh.unlink(missing_ok=True)
    return True


def read_json(path: Path) -> Any:
    """A JSON file's content. Raises StoreError when it is damaged, FileNotFoundError when absent."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise StoreError(
            f"{path} is damaged: {error}", remedy="Remove it, or restore it from a copy."
        ) from error


@contextmanager
def locked(path: Path, *, shared: bool = False, wait: bool = True) -> Iterator[bool]:
    """Hold a lock file; gives False when `wait` is False and another process holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        try:
            fcntl.flock(descriptor, kind | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(descriptor)


@contextmanager
def locked_folder(folder: Path) -> Iterator[bool]:
    """Make a folder and hold it alone; gives False when another process holds it."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:
            continue  # removed by who held it before
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            if _is(folder, descriptor):
                yield True
                return
        finally:
            os.close(descriptor)


def _is(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
