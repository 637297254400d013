"""How one tensor becomes codes and scales, as a value. Needs no torch to be read."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from qbench.errors import ConfigError

Element = Literal["int8", "int4", "int3", "int2", "e4m3", "e2m1", "nf4"]
Granularity = Literal["tensor", "channel", "token", "group", "block"]
FloatName = Literal["bfloat16", "float16", "float32"]
ScaleName = Literal["bfloat16", "float16", "float32", "e8m0", "e4m3"]

ELEMENT_BITS: dict[Element, int] = {
    "int8": 8,
    "int4": 4,
    "int3": 3,
    "int2": 2,
    "e4m3": 8,
    "e2m1": 4,
    "nf4": 4,
}
FLOAT_BITS: dict[FloatName, int] = {"bfloat16": 16, "float16": 16, "float32": 32}
SCALE_BITS: dict[ScaleName, int] = {
    "bfloat16": 16,
    "float16": 16,
    "float32": 32,
    "e8m0": 8,
    "e4m3": 8,
}

SMALLEST_GROUP = 16
"""Below this a 16-bit scale costs more than a bit per weight, and no kernel has such groups."""


class Scheme(Struct, frozen=True, kw_only=True):
    """How one tensor becomes codes and scales: ``value = (code - zero point) * scale``.

    Raises:
        ConfigError: a group size without groups, groups without a size, a zero point for floats.

    """

    element: Element
    strategy: Granularity
    """What shares one scale: everything, an output row, a token, ``group`` columns of a row, or
    a block of ``rows`` x ``group``."""
    group: int | None = None
    """Columns per scale, for ``group`` and ``block``."""
    rows: int | None = None
    """Rows per scale, for ``block`` alone."""
    scale_dtype: ScaleName = "bfloat16"
    """``e8m0``: a power of two. ``e4m3``: a small float below one float32 scale that the whole
    tensor shares (each token, where ``dynamic``)."""
    dynamic: bool = False
    """Scales are found anew for each input (activations) instead of once (weights)."""
    symmetric: bool = True
    """No zero point. Only integers have one."""

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        for name, size, wanted in (
            ("group", self.group, self.strategy in ("group", "block")),
            ("rows", self.rows, self.strategy == "block"),
        ):
            sized = size is not None and size > 0
            if sized != wanted or (size is not None and not sized):
                raise ConfigError(
                    f"A scheme with strategy {self.strategy!r} cannot have {name} {size}.",
                    hint=f"Give a positive {name} where the strategy has one, and none elsewhere.",
                )
        if not self.symmetric and not self.element.startswith("int"):
            raise ConfigError(
                f"{self.element} has no zero point.", hint="Use symmetric=True for floats."
            )

    @property
    def element_bits(self) -> int:
        """Bits of one code."""
        return ELEMENT_BITS[self.element]

    @property
    def scale_bits(self) -> int:
        """Bits of what a group stores beside its codes: the scale, and its zero point if any."""
        return SCALE_BITS[self.scale_dtype] + (0 if self.symmetric else self.element_bits)

    @property
    def two_level(self) -> bool:
        """Whether scales are themselves quantized below one float32 scale (NVFP4)."""
        return self.scale_dtype == "e4m3"

    def bits(self, columns: int | None = None) -> float:
        """Return stored bits per value of a matrix with ``columns``, scales included.

        Scales of rows are spread over the columns; without ``columns`` they are not counted, and
        the one scale of a whole tensor never is.
        """
        shared_by = (self.rows or 1) * self.group if self.group else None
        if self.strategy == "channel":
            shared_by = columns
        return self.element_bits + (self.scale_bits / shared_by if shared_by else 0.0)

    def packed_bits(self, rows: int, columns: int) -> int:
        """Return the bits of a packed matrix (rows, columns): codes and scales, no padding."""
        across = -(-columns // self.group) if self.group else 1
        scales = {
            "tensor": 1,
            "channel": rows,
            "token": rows,
            "group": rows * across,
            "block": -(-rows // (self.rows or 1)) * across,
        }
        shared = FLOAT_BITS["float32"] if self.two_level else 0
        return rows * columns * self.element_bits + scales[self.strategy] * self.scale_bits + shared
