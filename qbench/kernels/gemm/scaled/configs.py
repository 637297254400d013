"""How a program for 8-bit inputs is laid out for a shape: values, found in a table of winners.

The table holds what ``scripts/tune_scaled.py`` measured. A shape that is not in it takes the row
of the nearest shape; nothing is searched while serving.
"""

from __future__ import annotations

import math
from functools import lru_cache
from importlib import resources

import msgspec
from msgspec import Struct


class Narrow(
    Struct, frozen=True, kw_only=True, omit_defaults=True, tag="narrow", tag_field="program"
):
    """The weight streams past few inputs (``scaled.narrow``)."""

    block_m: int
    """Inputs of a program: 16, 32, 64 ..."""
    block_n: int
    """Rows of the weight of a program."""
    block_k: int
    """Bytes of a row per step."""
    split: int = 1
    """Programs that share the columns of a tile."""
    warps: int = 4
    stages: int = 4
    tma: bool = False
    """Whether the copy engine fetches the weight."""
    precise: int = 128
    """Columns after which E4M3 sums go to float32; 0: at the end. Matrix units keep 14 bits."""
    pdl: bool = False
    """Whether the program starts while the one before it ends (programmatic dependent launch)."""
    prefetch: int = 0
    """Bytes of each row that it then fetches into the L2 cache while it waits for its inputs."""
    late: bool = False
    """Whether it lets the next one start when its sums are done, instead of at once."""


class Wide(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="wide", tag_field="program"):
    """Programs that stay and walk over tiles of many inputs (``scaled.wide``)."""

    block_m: int
    block_n: int
    block_k: int = 128
    group_m: int = 8
    """Rows of tiles that are walked together."""
    warps: int = 8
    stages: int = 3
    store_tma: bool = True
    """Whether the copy engine writes the outputs."""
    subtiles: int = 1
    """Parts in which a tile is written: 1 or 2."""
    flatten: bool = True
    """Whether tiles are one loop, so that the next tile is fetched while this one is written."""
    resident: int = 1
    """Programs per multiprocessor."""
    precise: int = 0
    """As of ``Narrow``."""
    pdl: bool = False
    """As of ``Narrow``."""
    prefetch: int = 0
    """As of ``Narrow``."""


Config = Narrow | Wide


class Winner(Struct, frozen=True, kw_only=True):
    """The layout that was fastest for a shape."""

    n: int
    k: int
    m: int
    config: Config


@lru_cache(maxsize=1)
def winners() -> dict[str, list[Winner]]:
    """Return the measured table: by kernel (the format's name)."""
    text = resources.files("qbench.kernels.gemm").joinpath("tuned/scaled_h100.json").read_bytes()
    return msgspec.json.decode(text, type=dict[str, list[Winner]])


@lru_cache(maxsize=4096)
def find_config(kernel: str, n: int, k: int, m: int) -> Config:
    """Return the layout for a product (m, k) x (n, k): of the nearest shape that was measured."""

    def distance(row: Winner) -> tuple[float, float]:
        shape = abs(math.log2(row.n / n)) + abs(math.log2(row.k / k))
        return (abs(math.log2(_bucket(row.m) / _bucket(m))), shape)

    return min(winners()[kernel], key=distance).config


def _bucket(m: int) -> int:
    """Return the power of two that ``m`` is filled up to, at least 16."""
    return max(16, 1 << (m - 1).bit_length())
