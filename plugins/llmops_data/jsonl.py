"""Reads JSON lines: one object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import IO

from llmops_data.entries import Broken, Record
from llmops_data.opening import LONGEST_LINE, lines


def read(file: IO[bytes], title: str, encoding: str = "utf-8") -> Iterator[Record | Broken]:
    """Each line of a file that is not blank."""
    for number, line in lines(file):
        origin = f"{title}:{number}"
        if line is None:
            yield Broken(origin, f"the line is longer than {LONGEST_LINE / 1e6:,.0f} MB")
        elif line.strip():
            yield _record(origin, line, encoding)


def _record(origin: str, line: bytes, encoding: str) -> Record | Broken:
    quote = line[:200].decode("utf-8", "replace")
    text = ""
    try:
        # without its end, or a line cut off would be wrong at the first column of another
        text = line.decode(encoding).rstrip()
        return Record(origin, json.loads(text), quote)
    except UnicodeDecodeError:
        return Broken(origin, f"it is not {encoding.upper()}", quote)
    except json.JSONDecodeError as error:
        cut = error.pos >= len(text) or error.msg.startswith("Unterminated")
        where = f"cut off after column {len(text)}" if cut else f"{error.msg} at column {error.colno}"
        return Broken(origin, f"it is not JSON ({where})", quote)
    except RecursionError:
        return Broken(origin, "it is nested too deep", quote)
    except ValueError as error:  # a number of more digits than Python reads
        return Broken(origin, f"it is not JSON ({error})", quote)
