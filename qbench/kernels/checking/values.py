"""What a check found, and on which sizes checks are made. Needs no torch."""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import Struct

from qbench.errors import ConfigError
from qbench.kernels.schemes import FloatName


class Size(Struct, frozen=True):
    """A product's size: x (m, k), weight (n, k)."""

    m: int
    n: int
    k: int

    def __str__(self) -> str:
        return f"{self.m}x{self.n}x{self.k}"


TINY = (
    Size(1, 64, 128),  # one stream, less than a tile
    Size(3, 72, 256),  # nothing is a multiple of a tile
    Size(17, 136, 384),  # one row over a tile of 16
    Size(5, 200, 640),  # columns that are no power of two
    Size(2, 80, 208),  # columns that are no whole chunk
    Size(1030, 72, 256),  # the programs for many rows
)
"""Small and odd: also under the interpreter."""
REAL = (
    Size(1, 4096, 4096),  # one stream
    Size(16, 6144, 4096),  # the most of the programs for few rows, often
    Size(64, 4096, 14336),  # long sums
    Size(300, 2112, 4096),  # no multiple of a tile
    Size(2048, 6144, 4096),  # a prefill
    Size(4096, 4096, 14336),
)
"""Of models that are served: on a GPU."""
SETS = {"tiny": TINY, "real": REAL}


def sizes_of(names: Sequence[str]) -> tuple[Size, ...]:
    """Read ``tiny``, ``real`` and sizes like ``16x4096x4096``. Raises ConfigError."""
    found: list[Size] = []
    for name in names:
        found += SETS[name] if name in SETS else [_size(name)]
    return tuple(dict.fromkeys(found))


def _size(text: str) -> Size:
    parts = text.lower().split("x")
    if len(parts) != 3 or not all(part.isdigit() and int(part) for part in parts):
        raise ConfigError(
            f"Cannot read a size from {text!r}.",
            hint="Write tiny, real, or tokens x outputs x inputs, like 16x4096x4096.",
        )
    return Size(*map(int, parts))


class Checked(Struct, frozen=True, kw_only=True):
    """One kernel on one size, compared with float64."""

    kernel: str
    format: str
    dtype: FloatName
    size: Size
    error: float | None
    """Norm of the difference over the norm; None: it was not computed, or is not a number."""
    bound: float
    written: bool
    """Whether every element of memory that was filled with NaN before was written."""
    exact: bool | None
    """Whether one-hot inputs gave the weight's columns, each rounded once at most; for kernels
    that round inputs, whether codes are the reference's. None: does not apply."""
    repeats: bool
    """Whether a second call gave the same bits."""
    failure: str = ""
    """What it raised."""
    unsupported: bool = False
    """It says that it does not take this, and what to do: no failure, and no check."""

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong. An error that is not a number never passes."""
        if self.unsupported:
            return True
        near = self.error is not None and math.isfinite(self.error) and self.error <= self.bound
        return near and self.written and self.repeats and self.exact is not False

    @property
    def wrong(self) -> str:
        """Say what is wrong, in words; empty where nothing is."""
        if self.passed or self.failure:
            return self.failure
        said = []
        if not self.written:
            said.append("left memory unwritten or gave NaN")
        elif self.error is None or not self.error <= self.bound:
            said.append("is further from float64 than its bound")
        if self.exact is False:
            said.append("is not exact on one-hot inputs")
        if not self.repeats:
            said.append("gave other bits the second time")
        return ", ".join(said)


class Choice(Struct, frozen=True, kw_only=True):
    """What is to be checked; empty: everything that the machine can."""

    kernels: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()
    """Of products."""
    dtypes: tuple[str, ...] = ("bf16", "fp16")
    sizes: tuple[str, ...] = ()
    """As ``sizes_of`` reads them; empty: tiny, and real on a GPU."""
    seed: int = 0
    jobs: int = 1
    """Processes that check at once: most of the time goes into compiling."""


class Checks(Struct, frozen=True, kw_only=True):
    """What checks found, and where they were made."""

    where: str
    """The GPU's name, or Triton's interpreter."""
    seed: int
    checks: tuple[Checked, ...]

    @property
    def failed(self) -> tuple[Checked, ...]:
        """Those that did not pass."""
        return tuple(one for one in self.checks if not one.passed)
