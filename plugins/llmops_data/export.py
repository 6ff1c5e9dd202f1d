"""Writes a dataset to a folder of a person's own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from llmops_core.errors import UsageError
from llmops_core.files import write_json
from llmops_data.versions import Version

ROWS_AT_ONCE = 10_000


def exported(version: Version, folder: Path, form: str) -> Iterator[Path]:
    """Write each split as JSON lines or Parquet, and dataset.json; gives each path written.

    Raises UsageError when something of that name is there already.
    """
    folder.mkdir(parents=True, exist_ok=True)
    targets = {split: folder / f"{split}.{form}" for split in version.dataset.rows}
    taken = [path for path in (*targets.values(), folder / "dataset.json") if path.exists()]
    if taken:
        raise UsageError(f"{taken[0]} is there already", remedy="Choose another folder, or remove it.")
    for split, path in targets.items():
        partial = path.with_name(f".{path.name}.partial")
        try:
            if form == "parquet":
                _parquet(version.dataset.path(split), partial)
            else:
                shutil.copyfile(version.dataset.path(split), partial)
            partial.rename(path)
        finally:
            partial.unlink(missing_ok=True)
        yield path
    write_json(folder / "dataset.json", version.document())
    yield folder / "dataset.json"


def _parquet(source: Path, target: Path) -> None:
    """Every text as it is, in the columns that any row has. Raises UsageError where values fit no column."""
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    schema = pa.schema([])
    try:
        for rows in _some(source):
            schema = pa.unify_schemas([schema, pa.schema(pa.array(rows).type)], promote_options="permissive")
        with pq.ParquetWriter(target, schema) as file:
            for rows in _some(source):
                columns = pa.array(rows, pa.struct(schema))
                file.write_batch(pa.RecordBatch.from_struct_array(columns).cast(schema))
    except (pa.ArrowException, OverflowError) as error:
        # whose words quote the value
        what = f"{source.name} does not fit into columns: a fact holds values of several kinds, or none"
        raise UsageError(what, remedy="Export it with --format jsonl.") from error


def _some(source: Path) -> Iterator[list[Any]]:
    """The rows, some at a time."""
    with source.open("rb") as file:
        while lines := list(islice(file, ROWS_AT_ONCE)):
            yield [json.loads(line) for line in lines]
