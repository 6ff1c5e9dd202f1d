"""Writes a dataset to a folder of a person's own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from llmops_core.errors import UsageError
from llmops_core.files import write_json
from llmops_data.versions import Version

ROWS_AT_ONCE = 1000


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
    import pyarrow.json  # type: ignore[import-untyped]
    import pyarrow.parquet  # type: ignore[import-untyped]

    if not source.stat().st_size:
        pyarrow.parquet.write_table(pyarrow.table({}), target)
        return
    options = pyarrow.json.ReadOptions(block_size=64 << 20)
    with (
        pyarrow.json.open_json(source, options) as rows,
        pyarrow.parquet.ParquetWriter(target, rows.schema) as file,
    ):
        for batch in rows:
            file.write_batch(batch)
