"""The rows of kernels that reports predict from: those that come with qbench, and the user's."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from qbench.kernels.speed.rows import Row, measured, read_rows

USER_ROWS = "QBENCH_KERNEL_ROWS"
"""Environment variable with a file of `qbench kernels speed --rows FILE`, or a folder of them."""


def known_rows() -> tuple[Row, ...]:
    """Return all rows, ours first. Raises StoreError where a file of the user's is none."""
    own = os.environ.get(USER_ROWS, "")
    return (*_shipped(), *_of(own)) if own else _shipped()


@lru_cache(maxsize=1)
def _shipped() -> tuple[Row, ...]:
    return tuple(measured())


def _of(place: str) -> tuple[Row, ...]:
    path = Path(place).expanduser()
    files = sorted(path.glob("*.json*")) if path.is_dir() else [path]
    return tuple(row for file in files for row in read_rows(file))
