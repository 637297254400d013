"""Which program, with which numbers, for a product: looked up, never searched for when serving.

A table holds what was fastest on one GPU for the shapes that were tried
(``scripts/tune_kernels.py``). A shape that was not tried takes the entry nearest to it, a GPU
without a table the H100's, and a kernel without entries those of 4-bit integers; what has more
rows of inputs than any entry takes `fallback`.
"""

from __future__ import annotations

import functools
import math
from importlib import resources
from typing import Literal

import msgspec
import torch
from msgspec import Struct

from qbench.kernels.gemm.weight_only.packing import layout_of
from qbench.kernels.schemes import Scheme

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


def kernel_of(scheme: Scheme) -> str:
    """Return the name of a weight's kernel in tables: kind and group."""
    zeros = "" if scheme.symmetric else "z"
    return f"{layout_of(scheme).kind}{zeros}/{scheme.group or 'channel'}"


@functools.cache
def gpu_of(device: torch.device) -> str:
    """Return a device's name as tables have it: ``h100``."""
    if device.type != "cuda":
        return device.type
    return torch.cuda.get_device_name(device).lower().removeprefix("nvidia ").split(" ")[0]


@functools.cache
def table_of(gpu: str) -> Table:
    """Return the table of a GPU's name; the H100's where there is none of its own."""
    folder = resources.files("qbench.kernels.gemm") / "tuned"
    own = folder / f"{gpu.lower()}.json"
    file = own if own.is_file() else folder / "h100.json"
    return msgspec.json.decode(file.read_bytes(), type=Table)


LIKE = "int4/128"
"""Whose entries serve a kernel that has none: codes of 4 bits, decoded like any other."""


@functools.cache
def configured(gpu: str, kernel: str, n: int, k: int, m: int) -> Config:
    """Return the configuration of a product (m, k) x (n, k) of a kernel on a GPU."""
    table = table_of(gpu)
    entries = table.get(kernel) or table.get(LIKE, ())
    if not entries or m > max(entry.m for entry in entries):
        return fallback(n, k, m)
    size = min({(e.n, e.k) for e in entries}, key=lambda size: _distance(size, (n, k)))
    same = sorted((e for e in entries if (e.n, e.k) == size), key=lambda e: e.m)
    return next((e for e in same if e.m >= m), same[-1]).config


def _distance(one: tuple[int, int], other: tuple[int, int]) -> float:
    """Return how unlike two sizes are: outputs decide how many programs there are."""
    return 2 * abs(math.log(one[0] / other[0])) + abs(math.log(one[1] / other[1]))


MULTIPROCESSORS = 132
"""Of an H100: programs that run at a time, or more where they are small."""


def fallback(n: int, k: int, m: int) -> Config:
    """Return a sound configuration for what nobody tuned: programs for all multiprocessors.

    Up to 16 rows of inputs warps share the columns, up to a few hundred programs do; then there
    are tiles enough; from 1,024 rows turning the weight back to 16 bits once is cheaper.
    """
    if m <= 16 and k >= 2048:
        return Config("narrow", 32 if n >= 8192 else 16, 8 if m <= 8 else 16, shares=4)
    block = min(64, max(16, 1 << (m - 1).bit_length()))
    tiles = -(-n // 64) * -(-m // block)
    if m >= 1024:
        return Config("unpack")
    if m > 128 and n * m >= 128 * 128 * MULTIPROCESSORS:
        return Config("wide", 128, 128, warps=8, parts=2, fold=True)
    splits = (s for s in (1, 2, 4, 8) if tiles * s >= 2 * MULTIPROCESSORS or k // (2 * s) < 1024)
    return Config("narrow", 64, block, split=next(splits, 8))
