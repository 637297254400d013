"""Number formats as values: how weights and activations are stored and multiplied.

A Format is a composition (what becomes of weights, what becomes of activations, what everything
else is stored in); a preset is a name for one. Nothing here needs torch: `qbench.kernels.reference`
does the arithmetic that a Scheme describes.

Conventions are those of compressed-tensors, in which vLLM loads checkpoints.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec
from msgspec import Struct

from qbench.errors import ConfigError, NotFound, Unsupported

Element = Literal["int8", "int4", "e4m3", "e2m1"]
Granularity = Literal["tensor", "channel", "token", "group"]
FloatName = Literal["bfloat16", "float16", "float32"]
ComputePath = Literal["native", "weight-only fallback", "emulated", "unknown"]
"""The words of an Endpoint's compute path."""

ELEMENT_BITS: dict[Element, int] = {"int8": 8, "int4": 4, "e4m3": 8, "e2m1": 4}
FLOAT_BITS: dict[FloatName, int] = {"bfloat16": 16, "float16": 16, "float32": 32}

SMALLEST_GROUP = 16
"""Below this a 16-bit scale costs more than a bit per weight, and no kernel has such groups."""


class Scheme(Struct, frozen=True, kw_only=True):
    """How one tensor becomes codes and scales: ``value = code * scale``.

    Raises:
        ConfigError: a group size without groups, groups without a size.

    """

    element: Element
    strategy: Granularity
    """What shares one scale: everything, an output row, a token, or ``group`` columns of a row."""
    group: int | None = None
    """Columns per scale, for ``group`` alone."""
    scale_dtype: FloatName = "bfloat16"
    dynamic: bool = False
    """Scales are found anew for each input (activations) instead of once (weights)."""
    symmetric: bool = True
    """No zero point. The only kind there is so far."""

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        sized = self.group is not None and self.group > 0
        if sized != (self.strategy == "group") or (self.group is not None and not sized):
            raise ConfigError(
                f"A scheme with strategy {self.strategy!r} cannot have group {self.group}.",
                hint='Give a positive group with strategy "group", and none with the others.',
            )
        if not self.symmetric:
            raise ConfigError(
                "Asymmetric schemes (with a zero point) are not implemented.",
                hint="Use symmetric=True.",
            )

    @property
    def element_bits(self) -> int:
        """Bits of one code."""
        return ELEMENT_BITS[self.element]

    @property
    def scale_bits(self) -> int:
        """Bits of one scale."""
        return FLOAT_BITS[self.scale_dtype]

    def bits(self, columns: int | None = None) -> float:
        """Return stored bits per value of a matrix with ``columns``, scales included.

        Scales of rows are spread over the columns; without ``columns`` they are not counted, and
        the one scale of a whole tensor never is.
        """
        shared_by = self.group or (columns if self.strategy == "channel" else None)
        return self.element_bits + (self.scale_bits / shared_by if shared_by else 0.0)

    def packed_bits(self, rows: int, columns: int) -> int:
        """Return the bits of a packed matrix (rows, columns): codes and scales, no padding."""
        scales = {
            "tensor": 1,
            "channel": rows,
            "token": rows,
            "group": rows * columns // (self.group or 1),
        }
        return rows * columns * self.element_bits + scales[self.strategy] * self.scale_bits


class Format(Struct, frozen=True, kw_only=True):
    """A number format: a leaderboard's axis."""

    name: str
    weights: Scheme | None = None
    """Of linear layers but the output head. None: kept as ``storage``."""
    activations: Scheme | None = None
    """Inputs of the same layers. None: kept as ``storage``."""
    storage: FloatName = "bfloat16"
    """Everything else, and the type in which products leave a layer."""
    about: str = ""
    paper: str = ""

    @property
    def effective_name(self) -> str:
        """The name, with the group where it is not the preset's: ``w4a16 group 64``."""
        usual = FORMATS.get(self.name, self).weights
        if usual is None or self.weights is None or self.weights.group == usual.group:
            return self.name
        return f"{self.name} group {self.weights.group}"

    def bits_per_weight(self, columns: int | None = None) -> float:
        """Return stored bits per weight of a linear layer with ``columns`` inputs and its scales.

        See ``Scheme.bits`` for what is counted without ``columns``.
        """
        if self.weights is None:
            return float(FLOAT_BITS[self.storage])
        return self.weights.bits(columns)

    def packed_bits(self, rows: int, columns: int) -> int:
        """Return the bits of a linear layer's weights (rows, columns) with their scales."""
        if self.weights is None:
            return rows * columns * FLOAT_BITS[self.storage]
        return self.weights.packed_bits(rows, columns)


INT8_CHANNEL = Scheme(element="int8", strategy="channel")
INT8_TOKEN = Scheme(element="int8", strategy="token", scale_dtype="float32", dynamic=True)
E4M3_CHANNEL = Scheme(element="e4m3", strategy="channel")
E4M3_TOKEN = Scheme(element="e4m3", strategy="token", scale_dtype="float32", dynamic=True)
INT4_GROUP = Scheme(element="int4", strategy="group", group=128)

_PRESETS = (
    Format(name="bf16", about="bfloat16 throughout: the usual baseline."),
    Format(name="fp16", storage="float16", about="IEEE half precision throughout."),
    Format(name="fp32", storage="float32", about="Single precision throughout."),
    Format(
        name="fp8",
        weights=E4M3_CHANNEL,
        activations=E4M3_TOKEN,
        about="FP8 E4M3: weights per output channel, activations per token as they come.",
        paper="arXiv 2411.02355 (W8A8-FP); format: arXiv 2209.05433",
    ),
    Format(
        name="w8a8",
        weights=INT8_CHANNEL,
        activations=INT8_TOKEN,
        about="int8: weights per output channel, activations per token as they come.",
        paper="arXiv 2411.02355 (W8A8-INT), here rounded to nearest without GPTQ",
    ),
    Format(
        name="w8a16",
        weights=INT8_CHANNEL,
        about="int8 weights per output channel, 16-bit activations.",
    ),
    Format(
        name="w4a16",
        weights=INT4_GROUP,
        about="int4 weights in groups of 128 columns, 16-bit activations.",
        paper="arXiv 2411.02355 (W4A16-INT), here rounded to nearest without GPTQ",
    ),
)
FORMATS: dict[str, Format] = {preset.name: preset for preset in _PRESETS}
"""Presets by name."""


def get_format(name: str) -> Format:
    """Return the preset called ``name``, in any case. Raises NotFound with close names."""
    found = FORMATS.get(name.strip().lower())
    if found is None:
        raise NotFound.among("format", name, FORMATS)
    return found


def fitted(fmt: Format, columns: int) -> Format:
    """Return ``fmt`` with a group that divides ``columns``.

    The wanted group where it divides, else the largest power of two below it that does.

    Raises:
        Unsupported: no group of at least ``SMALLEST_GROUP`` divides ``columns``.

    """
    scheme = fmt.weights
    if scheme is None or scheme.group is None or columns % scheme.group == 0:
        return fmt
    powers = (1 << power for power in range(scheme.group.bit_length() - 1, 0, -1))
    for group in powers:
        if group >= SMALLEST_GROUP and columns % group == 0:
            weights = msgspec.structs.replace(scheme, group=group)
            return msgspec.structs.replace(fmt, weights=weights)
    raise Unsupported(
        f"{fmt.name} needs groups of {SMALLEST_GROUP} to {scheme.group} columns, and none divides "
        f"a layer with {columns}.",
        hint="Use a format with one scale per channel, for example w8a16 or fp8.",
    )


def compute_path(fmt: Format, architecture: str, *, emulated: bool) -> ComputePath:
    """Say what runs when ``fmt`` is served on ``architecture``.

    Args:
        fmt: what was asked for.
        architecture: ``sm_90`` or a CPU with its flags, ``x86_64 avx512_bf16``.
        emulated: the engine multiplies dequantized values (``qbench.kernels.linear``) instead of
            codes. Formats without codes are not touched by that.

    Returns:
        What vLLM's kernels do for that compute capability; ``unknown`` where its documentation
        refuses the pair or says nothing.

    """
    if emulated and (fmt.weights or fmt.activations):
        return "emulated"
    capability = re.search(r"\bsm_(\d+)", architecture)
    if capability is None:
        return _path_on_cpu(fmt, architecture)
    return _path_on_gpu(fmt, int(capability[1]))


def _path_on_gpu(fmt: Format, capability: int) -> ComputePath:
    """Follow vLLM's pages on FP8 and INT8 and its table of supported hardware."""
    if fmt.activations is None:
        return _path_of_weights(fmt, capability)
    if fmt.activations.element == "e4m3" and capability >= 75:
        return "native" if capability >= 89 else "weight-only fallback"
    if fmt.activations.element == "int8" and 75 <= capability < 100:
        return "native"
    return "unknown"


def _path_of_weights(fmt: Format, capability: int) -> ComputePath:
    """Weight-only formats mean 16-bit arithmetic: running so is native to what they are.

    Before sm_80 there is no bfloat16 in hardware; before sm_75 no kernel for quantized weights.
    """
    needed = 80 if fmt.storage == "bfloat16" else 75 if fmt.weights else 0
    return "native" if capability >= needed else "unknown"


def _path_on_cpu(fmt: Format, architecture: str) -> ComputePath:
    """Count int8 as native where the CPU has int8 dot products (all with bf16 ones do)."""
    if fmt.activations is None:
        return "native"
    dot_products = {"avx512_vnni", "avx512_bf16", "amx_bf16"} & set(architecture.split())
    return "native" if fmt.activations.element == "int8" and dot_products else "unknown"


def multiplies_in(fmt: Format, architecture: str) -> FloatName:
    """Return the type in which a CPU should hold and multiply weights of ``fmt``.

    float32 where an x86 CPU has no instructions for the 16-bit type: products of 16-bit numbers
    are exact in it, so the answers are as good, and a prompt is many times faster. It depends on
    the storage alone, so all formats of one storage are compared in the same arithmetic.
    """
    if not architecture.startswith("x86_64"):
        return fmt.storage
    in_hardware = {"avx512_bf16", "amx_bf16"} & set(architecture.split())
    return "bfloat16" if fmt.storage == "bfloat16" and in_hardware else "float32"
