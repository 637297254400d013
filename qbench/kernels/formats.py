"""Number formats: how weights and activations are stored and multiplied. Values, no torch needed.

A Format composes two Schemes over a storage type. Conventions are compressed-tensors': weights
are (out, in) matrices, a group is a run of columns, scales are kept in the storage type.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from qbench.errors import NotFound

Element = Literal["int4", "int8", "e4m3", "e2m1"]
"""Stored numbers: two's complement integers, OCP FP8 E4M3 (finite), OCP FP4 E2M1."""

Spread = Literal["channel", "group", "token"]
"""What shares one scale: an output row, ``group`` columns of a row, or one token's activations."""

Storage = Literal["bfloat16", "float16", "float32"]
ComputePath = Literal["native", "weight-only fallback", "emulated"]

BITS: dict[Element | Storage, int] = {
    "int4": 4,
    "int8": 8,
    "e4m3": 8,
    "e2m1": 4,
    "bfloat16": 16,
    "float16": 16,
    "float32": 32,
}


class Scheme(Struct, frozen=True, kw_only=True):
    """How one matrix is quantized: symmetric, scale = largest magnitude / largest element."""

    element: Element
    spread: Spread
    group: int = 0
    """Columns per scale for ``group``."""

    @property
    def bits(self) -> int:
        """Bits of one element, scales excluded."""
        return BITS[self.element]


class Format(Struct, frozen=True, kw_only=True):
    """One way to store and multiply a model's linear layers."""

    name: str
    storage: Storage = "bfloat16"
    """Type of what is not quantized, of scales, and of activations between layers."""
    weights: Scheme | None = None
    activations: Scheme | None = None
    """Quantized on the fly, per token."""
    about: str = ""
    source: str = ""
    """Where the format is described."""

    @property
    def label(self) -> str:
        """The name, with the group where it is not the preset's."""
        preset = FORMATS.get(self.name)
        if self.weights and preset and preset.weights and self.weights != preset.weights:
            return f"{self.name} group {self.weights.group}"
        return self.name

    def bits_per_weight(self, columns: int = 4096) -> float:
        """Bits that one weight of a row of ``columns`` takes, its share of the scales included."""
        if self.weights is None:
            return float(BITS[self.storage])
        shared_by = self.weights.group or columns
        return self.weights.bits + BITS[self.storage] / shared_by


_FOUR = "Kurtic et al., arXiv 2411.02355"
_INT8 = Scheme(element="int8", spread="channel")
_FP8 = Scheme(element="e4m3", spread="channel")

FORMATS: dict[str, Format] = {
    made.name: made
    for made in (
        Format(name="bf16", about="bfloat16, the unquantized baseline"),
        Format(name="fp16", storage="float16", about="IEEE half precision"),
        Format(name="fp32", storage="float32", about="IEEE single precision"),
        Format(
            name="fp8",
            weights=_FP8,
            activations=Scheme(element="e4m3", spread="token"),
            about="E4M3 weights per output channel, E4M3 activations per token",
            source=_FOUR,
        ),
        Format(
            name="w8a8",
            weights=_INT8,
            activations=Scheme(element="int8", spread="token"),
            about="int8 weights per output channel, int8 activations per token",
            source=_FOUR,
        ),
        Format(
            name="w8a16",
            weights=_INT8,
            about="int8 weights per output channel, 16-bit activations",
            source=_FOUR,
        ),
        Format(
            name="w4a16",
            weights=Scheme(element="int4", spread="group", group=128),
            about="int4 weights in groups of 128 columns, 16-bit activations",
            source=_FOUR,
        ),
    )
}


def get_format(name: str) -> Format:
    """Return the preset called ``name``, in any case. Raises NotFound with close names."""
    if name.lower() not in FORMATS:
        raise NotFound.among("format", name, FORMATS)
    return FORMATS[name.lower()]


def fitted(fmt: Format, columns: int) -> Format:
    """Return ``fmt`` with its group halved until it divides ``columns``.

    576 columns are no multiple of 128, so ``w4a16`` becomes ``w4a16 group 64`` there.
    """
    if fmt.weights is None or not fmt.weights.group:
        return fmt
    group = fmt.weights.group
    while columns % group:
        group //= 2
    return replace(fmt, weights=replace(fmt.weights, group=group))


def compute_path(fmt: Format, architecture: str) -> ComputePath:
    """Say what an optimised engine (vLLM) makes of ``fmt`` on an architecture.

    Args:
        fmt: the format.
        architecture: ``sm_90`` for a GPU's compute capability, else a CPU with its flags.

    Returns:
        ``native``: multiplied as the format says. ``weight-only fallback``: activations stay in
        16 bits. ``emulated``: dequantized and multiplied in a wider type.

    """
    capability = re.fullmatch(r"sm_(\d+)", architecture)
    if capability:
        return _on_gpu(fmt, int(capability[1]))
    return _on_cpu(fmt, architecture)


def _on_gpu(fmt: Format, capability: int) -> ComputePath:
    if fmt.weights is None:
        return "native" if capability >= 80 or fmt.storage != "bfloat16" else "emulated"
    if fmt.activations is None:
        return "native" if capability >= 75 else "emulated"
    if fmt.activations.element == "e4m3":  # tensor cores take FP8 from Ada and Hopper on
        return "native" if capability >= 89 else "weight-only fallback"
    return "native" if capability >= 75 else "emulated"


_CPU: dict[str, Callable[[str], bool]] = {
    "bf16": lambda flags: "avx512_bf16" in flags or "amx_bf16" in flags,
    "fp32": lambda _: True,
    "w8a8": lambda flags: "vnni" in flags or "amx" in flags,
}


def _on_cpu(fmt: Format, flags: str) -> ComputePath:
    """Integer and bf16 dot products have instructions on newer CPUs; FP8 and int4 have none."""
    able = _CPU.get(fmt.name, lambda _: False)
    return "native" if able(flags) else "emulated"
