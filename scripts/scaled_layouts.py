"""Layouts of the programs for 8-bit inputs that may be fastest: what ``tune_scaled.py`` tries."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from msgspec.structs import replace

from qbench.kernels.gemm.scaled.configs import Config, Narrow, Wide


def narrow_configs(name: str, m: int, n: int, k: int) -> Iterator[Narrow]:
    """Yield layouts in which the weight streams past ``m`` inputs."""
    tall = [(64, 128, 4), (64, 256, 4)] if m <= 32 else [(64, 128, 4)]
    if name in ("w4a8", "fp8-block"):
        tall = [(64, 128, 4), (128, 128, 8)]
    for (block_n, block_k, warps), room in itertools.product(tall, (48, 96, 192)):
        block_m = min(max(16, m), 128 if warps == 4 else 256)
        step = (block_n + block_m * (2 if name == "w4a8" else 1)) * block_k
        layout = Narrow(
            block_m=block_m,
            block_n=block_n,
            block_k=block_k,
            warps=warps,
            stages=max(2, min(12, (room << 10) // step)),
        )
        tiles = -(-n // block_n) * -(-m // block_m)
        for split in splits(tiles, k // block_k, block_m * block_n):
            yield from started(replace(layout, split=split))


def started(layout: Narrow) -> Iterator[Narrow]:
    """Yield a layout that starts when the program before it has ended, or while it ends."""
    yield layout
    for late, ahead in ((False, 1024), (True, 512)):
        yield replace(layout, pdl=True, late=late, prefetch=ahead)


def splits(tiles: int, steps: int, sums: int) -> Iterator[int]:
    """Yield into how many pieces ``tiles`` may be split: 132 multiprocessors, three steps each."""
    for split in (1, 2, 4, 8, 16):
        programs = tiles * split
        fills = programs >= 64
        crowds = programs > 1056 or (split > 1 and programs > 600 and tiles > 130)
        if fills and not crowds and steps // split >= 3 and programs * sums <= 4 << 20:
            yield split


WIDE = {
    "block": [
        (128, 128, 8, 4, 1, 1),
        (64, 128, 4, 2, 2, 3),
        (64, 128, 4, 3, 2, 2),
        (64, 64, 4, 3, 1, 3),
        (128, 128, 8, 3, 2, 2),
        (128, 128, 8, 2, 2, 2),
        (64, 256, 8, 2, 2, 2),
        (64, 128, 4, 3, 2, 3),
        (64, 128, 4, 2, 2, 4),
        (128, 64, 4, 3, 1, 3),
    ],
    "large": [(128, 256, 8, 3, 1, 1), (128, 256, 8, 4, 2, 1), (256, 128, 8, 3, 1, 1)],
    "twos": [(128, 128, 8, 3, 2, 2), (128, 128, 4, 3, 2, 2)],
    "middle": [
        (128, 128, 8, 4, 1, 1),
        (128, 128, 8, 3, 2, 2),
        (64, 128, 4, 4, 2, 2),
        (64, 128, 4, 2, 2, 3),
        (64, 256, 8, 4, 1, 1),
        (128, 64, 4, 4, 1, 2),
        (64, 64, 4, 4, 1, 3),
    ],
}
"""Inputs and rows of a tile, warps, stages, subtiles, programs per multiprocessor."""


THIN = [(32, 128, 12), (32, 256, 8)]
"""Rows of a tile, bytes per step, stages: for few inputs and few rows."""


def wide_configs(name: str, m: int) -> Iterator[Wide]:
    """Yield layouts in which programs stay."""
    if m <= 64:
        for ahead, (block_n, block_k, stages) in itertools.product((None, 1024), THIN):
            yield Wide(
                block_m=64,
                block_n=block_n,
                block_k=block_k,
                warps=4,
                stages=stages,
                flatten=False,
                precise=128 if name == "fp8" else 0,
                pdl=ahead is not None,
                prefetch=ahead or 0,
            )
        return
    if name in ("fp8-block", "w4a8"):
        for layout, flatten in itertools.product(wide_layouts("block"), (True, False)):
            yield replace(layout, flatten=flatten)
        return
    for layout, group in itertools.product(wide_layouts("large"), (8, 16)):
        yield replace(layout, group_m=group)
    yield from wide_layouts("twos")
    if m <= 1024:
        yield from wide_layouts("middle")


def wide_layouts(kind: str) -> Iterator[Wide]:
    """Yield the layouts of a list."""
    for block_m, block_n, warps, stages, subtiles, resident in WIDE[kind]:
        yield Wide(
            block_m=block_m,
            block_n=block_n,
            warps=warps,
            stages=stages,
            subtiles=subtiles,
            resident=resident,
        )


def candidates(name: str, m: int, n: int, k: int) -> list[Config]:
    """Return what may be fastest for a product (m, k) x (n, k)."""
    found: list[Config] = []
    if m <= 256:
        found += narrow_configs(name, m, n, k)
    if m > 64 or (n < 8192 and name in ("fp8", "w8a8")):
        found += wide_configs(name, m)
    return list(dict.fromkeys(found))
