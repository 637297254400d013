"""Which program, with which numbers, for a product: looked up, never searched for when serving.

A table holds what was fastest on one GPU for the shapes that were tried
(``scripts/tune_kernels.py``). A shape or a GPU that was not tried takes the entry nearest to it by
bytes and by rows of inputs; a kernel without a table takes `fallback`.
"""

from __future__ import annotations

import functools
import math
from importlib import resources
from typing import Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

Program = Literal["narrow", "wide", "unpack"]


class Config(Struct, frozen=True, omit_defaults=True):
    """The numbers of a program; what one does not have is ignored."""

    program: Program
    tall: int = 64
    """Outputs of a program."""
    tokens: int = 16
    """Rows of inputs of a program."""
    warps: int = 4
    stages: int = 3
    shares: int = 1
    """``narrow``: parts of the columns within a program."""
    split: int = 1
    """``narrow``: parts of the columns among programs."""
    ahead: int = 2
    """``narrow``: chunks asked for before anything else."""
    parts: int = 1
    """``wide``: steps of a chunk."""
    fold: bool = False
    """``wide``: multiply weights by their scale, not sums."""


class Entry(Struct, frozen=True):
    """What was fastest for a product of up to ``m`` rows of inputs."""

    n: int
    k: int
    m: int
    config: Config


Table = dict[str, tuple[Entry, ...]]
"""Entries by kernel: ``int4/128``."""


@functools.cache
def table_of(gpu: str) -> Table:
    """Return the table of a GPU's name; the H100's where there is none of its own."""
    folder = resources.files("qbench.kernels.gemm") / "tuned"
    own = folder / f"{gpu.lower()}.json"
    file = own if own.is_file() else folder / "h100.json"
    return msgspec.json.decode(file.read_bytes(), type=Table)


@functools.cache
def configured(gpu: str, kernel: str, n: int, k: int, m: int) -> Config:
    """Return the configuration of a product (m, k) x (n, k) of a kernel on a GPU."""
    entries = table_of(gpu).get(kernel, ())
    if not entries:
        return fallback(n, k, m)
    size = min({(e.n, e.k) for e in entries}, key=lambda size: _distance(size, (n, k)))
    same = sorted((e for e in entries if (e.n, e.k) == size), key=lambda e: e.m)
    found = next((e for e in same if e.m >= m), same[-1]).config
    return found if size == (n, k) else replace(found, split=_fitting(found.split, n, k))


def _distance(one: tuple[int, int], other: tuple[int, int]) -> float:
    """Return how unlike two sizes are: outputs decide how many programs there are."""
    return 2 * abs(math.log(one[0] / other[0])) + abs(math.log(one[1] / other[1]))


def _fitting(split: int, n: int, k: int) -> int:
    """Return ``split`` where a part of the columns keeps 512, else less."""
    del n
    return max(1, min(split, k // 512))


def fallback(n: int, k: int, m: int) -> Config:
    """Return a sound configuration for what nobody tuned: by how many tiles there are."""
    if m <= 16:
        shares = 4 if k >= 2048 else 1
        tall = 32 if n >= 8192 else 16
        return Config("narrow", tall if shares > 1 else 64, 16, shares=shares, ahead=0)
    if m <= 64:
        return Config("wide", 64, 16 if m <= 16 else 64, parts=2)
    if m < 1024:
        return Config("wide", 128, 128, warps=8, parts=2)
    return Config("unpack")
