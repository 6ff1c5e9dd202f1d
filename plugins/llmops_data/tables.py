"""Reads tables: CSV and TSV, Parquet, and what a database answers. A row is a record by its column names."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from llmops_core.errors import DataError
from llmops_data.entries import Broken, Record

ROWS_AT_ONCE = 1000
LONGEST_CELL = 50_000_000
OTHER_SEPARATORS = (";", "\t", "|", ",")


def read_separated(file: IO[bytes], title: str, encoding: str, separator: str) -> Iterator[Record | Broken]:
    """The rows under the first, which names the columns. Raises DataError when another separator is meant."""
    csv.field_size_limit(LONGEST_CELL)
    text = io.TextIOWrapper(
        file, "utf-8-sig" if encoding == "utf-8" else encoding, "surrogateescape", newline=""
    )
    try:
        yield from _rows(csv.reader(text, delimiter=separator, strict=True), title, encoding)
    finally:
        text.detach()  # whose file it is closes it


def _rows(rows: Any, title: str, encoding: str) -> Iterator[Record | Broken]:
    """The rows of a CSV reader, as records by the names in the first."""
    names = None
    while True:
        try:
            row = next(rows, None)
        except csv.Error as error:
            yield Broken(f"{title}:{rows.line_num}", f"it is not CSV ({error})")
            continue
        if row is None:
            return
        if names is None:
            names = row
            _make_sure_of_separator(names, title)
        elif row:
            yield _separated(f"{title}:{rows.line_num}", names, row, encoding)


def _make_sure_of_separator(names: list[str], title: str) -> None:
    other = next((one for one in OTHER_SEPARATORS if one in names[0]), "") if len(names) == 1 else ""
    if other:
        what = f"its header is one cell, {names[0][:80]!r}"
        raise DataError(what, where=title, remedy=f"Say what parts the cells: separator: {other!r}.")


def _separated(origin: str, names: list[str], row: list[str], encoding: str) -> Record | Broken:
    quote = ", ".join(row)[:200].encode("utf-8", "replace").decode()
    if len(row) != len(names):
        return Broken(origin, f"it has {len(row)} cells, and the header {len(names)}", quote)
    if any(0xDC80 <= ord(letter) <= 0xDCFF for cell in row if not cell.isascii() for letter in cell):
        return Broken(origin, f"it is not {encoding.upper()}", quote)
    # an empty cell is no value: a column that only some shapes need must not hide behind one
    return Record(origin, {name: cell for name, cell in zip(names, row, strict=True) if cell}, quote)


def read_parquet(path: Path, title: str) -> Iterator[Record | Broken]:
    """The rows of a Parquet file, a batch at a time. Raises DataError when it is none."""
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    number = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=ROWS_AT_ONCE):
                for values in batch.to_pylist():
                    number += 1
                    yield Record(f"{title}:{number}", values, str(values)[:200])
    except (pa.ArrowException, OSError) as error:
        what = f"it is no sound Parquet file: {str(error).splitlines()[0]}"
        raise DataError(what, where=f"{title}:{number + 1}", remedy="Write it again.") from error


def read_database(url: str, query: str, title: str, password: str = "") -> Iterator[Record | Broken]:
    """What a database answers to a query, as it comes. Raises DataError for what the database refuses."""
    try:
        import sqlalchemy as sql
    except ImportError as error:
        remedy = "Run: pip install sqlalchemy, and the driver of your database."
        raise DataError("reading a database needs sqlalchemy", where=title, remedy=remedy) from error
    try:
        place = sql.make_url(url)
        engine = sql.create_engine(place.set(password=password) if password else place)
        with engine.connect().execution_options(stream_results=True, yield_per=ROWS_AT_ONCE) as connection:
            for number, row in enumerate(connection.execute(sql.text(query)).mappings(), 1):
                yield Record(f"{title}:{number}", _values(row), str(dict(row))[:200])
        engine.dispose()
    except (sql.exc.SQLAlchemyError, ImportError) as error:
        cause = getattr(error, "orig", None) or error
        what = f"the database refused: {str(cause).splitlines()[0]}"
        raise DataError(what, where=title, remedy="Check the address and the query.") from error


def _values(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(name): value for name, value in row.items() if value is not None}
