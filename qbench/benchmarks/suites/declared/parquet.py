"""Rows of Parquet files, one row group in memory at a time. Needs pyarrow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pyarrow import ArrowInvalid
from pyarrow.parquet import ParquetFile

from qbench.benchmarks.suites.declared.rows import BadRow, Row

BATCH = 256
"""Rows decoded at once."""


def parquet(path: Path) -> Iterator[Row | BadRow]:
    """Read a Parquet file; nested columns become lists and objects."""
    try:
        file = ParquetFile(path)
    except ArrowInvalid as error:
        yield BadRow(f"{path.name}: no Parquet ({error})")
        return
    number = 0
    with file:
        for batch in file.iter_batches(batch_size=BATCH):
            for cells in batch.to_pylist():
                number += 1
                yield Row(cells=cells, where=f"{path.name}, row {number}")
