"""The kernels there are, for which formats, and where they run. Needs no torch."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from qbench.errors import NotFound
from qbench.kernels.formats import FORMATS

Kind = Literal["product", "inputs", "layer"]
"""``product``: x times a weight. ``inputs``: makes what a product of rounded inputs reads.
``layer``: what stands between two products."""

AMPERE, ADA, BLACKWELL = 80, 89, 100
"""Compute capabilities: bfloat16 in matrix units, E4M3, and E2M1 with scales of groups."""


class Kernel(Struct, frozen=True, kw_only=True):
    """A function that starts programs on a GPU."""

    name: str
    kind: Kind
    about: str
    formats: tuple[str, ...]
    """Whose layers call it; empty: any."""
    since: int = AMPERE
    """The least compute capability. Without a GPU all run under Triton's interpreter, slowly."""

    def runs_on(self, architecture: str) -> bool:
        """Tell whether it runs on an architecture such as ``sm_90``."""
        number = architecture.removeprefix("sm_").rstrip("a")
        return number.isdigit() and int(number) >= self.since


_WEIGHT_ONLY = ("w8a16", "w4a16", "w4a16-awq", "w3a16", "w2a16", "nvfp4a16", "mxfp4a16")
_FOUR_BITS = ("nvfp4", "mxfp4", "nvfp4-mr", "mxfp4-mr", "int4-mr")
_FP4 = ("nvfp4", "mxfp4", "nvfp4-mr", "mxfp4-mr")
_E4M3 = ("fp8", "fp8-block", "w4a8")

KERNELS = (
    Kernel(
        name="multiply",
        kind="product",
        about="16-bit inputs times packed weights, decoded in registers",
        formats=(*_WEIGHT_ONLY, *_FOUR_BITS),
    ),
    Kernel(
        name="multiply_quantized",
        kind="product",
        about="int8 inputs times int8 weights, summed exactly",
        formats=("w8a8",),
    ),
    Kernel(
        name="multiply_quantized",
        kind="product",
        about="E4M3 inputs times E4M3 or int4 weights",
        formats=_E4M3,
        since=ADA,
    ),
    Kernel(
        name="multiply_four_bits",
        kind="product",
        about="MXFP4 or NVFP4 on both sides in FP4 units; refused by GPUs without",
        formats=_FP4,
        since=BLACKWELL,
    ),
    Kernel(
        name="quantize_tokens",
        kind="inputs",
        about="8-bit codes with a scale per token",
        formats=("w8a8", "fp8", "w4a8"),
    ),
    Kernel(
        name="quantize_groups",
        kind="inputs",
        about="E4M3 codes with a scale per 128 columns of a token",
        formats=("fp8-block",),
        since=ADA,
    ),
    Kernel(
        name="rotate_quantize",
        kind="inputs",
        about="block Hadamard rotation and 8-bit codes in one pass",
        formats=("w8a8", "fp8"),
    ),
    Kernel(
        name="rotate_round",
        kind="inputs",
        about="block Hadamard rotation and rounding to 4-bit groups in one pass, 16 bits out",
        formats=_FOUR_BITS,
    ),
    Kernel(
        name="norm",
        kind="layer",
        about="RMSNorm, with the residual added first",
        formats=(),
    ),
    Kernel(
        name="norm_quantize",
        kind="layer",
        about="RMSNorm and 8-bit codes in one pass",
        formats=("w8a8", "fp8", "w4a8"),
    ),
    Kernel(
        name="silu_multiply",
        kind="layer",
        about="SiLU(gate) * up",
        formats=(),
    ),
    Kernel(
        name="silu_quantize",
        kind="layer",
        about="SiLU(gate) * up and 8-bit codes in one pass",
        formats=("w8a8", "fp8", "w4a8"),
    ),
)
"""In the order in which they are checked and shown."""

PRODUCTS = tuple(
    name
    for name in FORMATS
    if any(name in kernel.formats for kernel in KERNELS if kernel.kind == "product")
)
"""Formats with products of ours."""
TIMED = ("bf16", *PRODUCTS)
"""Formats that are timed where none is named."""


def known_kernels(names: tuple[str, ...]) -> tuple[Kernel, ...]:
    """Return the kernels called by ``names``, or all. Raises NotFound."""
    known = {kernel.name for kernel in KERNELS}
    for name in names:
        if name not in known:
            raise NotFound.among("kernel", name, known)
    return tuple(kernel for kernel in KERNELS if not names or kernel.name in names)
