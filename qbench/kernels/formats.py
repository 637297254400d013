"""Number formats as values: how weights and activations are stored and multiplied.

A Format is a composition (what becomes of weights, what becomes of activations, what everything
else is stored in, what rotates them, how codes are found); a preset is a name for one. Nothing
here needs torch: `qbench.kernels.reference` does the arithmetic that a Scheme describes.

Conventions are those of compressed-tensors, in which vLLM loads checkpoints.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Struct

from qbench.errors import NotFound, Unsupported
from qbench.kernels.schemes import FLOAT_BITS, SMALLEST_GROUP, FloatName, Scheme

Recipe = Literal["rtn", "gptq", "awq", "smoothquant+gptq", "mse"]
"""How codes are found: rounded to nearest, or with calibration data by the method of a paper."""


class Format(Struct, frozen=True, kw_only=True):
    """A number format: a leaderboard's axis."""

    name: str
    weights: Scheme | None = None
    """Of linear layers but the output head. None: kept as ``storage``."""
    activations: Scheme | None = None
    """Inputs of the same layers. None: kept as ``storage``."""
    storage: FloatName = "bfloat16"
    """Everything else, and the type in which products leave a layer."""
    arithmetic: FloatName | None = None
    """What everything is computed in where that is wider than ``storage`` (LayerCast)."""
    rotation: int | None = None
    """Columns of the orthonormal Hadamard blocks that rotate weights and inputs of a layer."""
    recipe: Recipe = "rtn"
    """How its weights are made where nobody says otherwise."""
    about: str = ""
    paper: str = ""

    @property
    def effective_name(self) -> str:
        """The name, with the group where it is not the preset's: ``w4a16 group 64``."""
        usual = FORMATS.get(self.name, self).weights
        if usual is None or self.weights is None or self.weights.group == usual.group:
            return self.name
        return f"{self.name} group {self.weights.group}"

    @property
    def quantized(self) -> bool:
        """Whether codes are made of anything."""
        return self.weights is not None or self.activations is not None

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
E4M3_BLOCK = Scheme(element="e4m3", strategy="block", group=128, rows=128, scale_dtype="float32")
E4M3_GROUP = Scheme(
    element="e4m3", strategy="group", group=128, scale_dtype="float32", dynamic=True
)
INT4_GROUP = Scheme(element="int4", strategy="group", group=128)
INT4_ZERO = Scheme(element="int4", strategy="group", group=128, symmetric=False)
INT3_GROUP = Scheme(element="int3", strategy="group", group=128)
INT2_GROUP = Scheme(element="int2", strategy="group", group=128)
NF4_BLOCK = Scheme(element="nf4", strategy="group", group=64, scale_dtype="float32")
NVFP4 = Scheme(element="e2m1", strategy="group", group=16, scale_dtype="e4m3")
MXFP4 = Scheme(element="e2m1", strategy="group", group=32, scale_dtype="e8m0")
MXFP8 = Scheme(element="e4m3", strategy="group", group=32, scale_dtype="e8m0")
INT4_SMALL = Scheme(element="int4", strategy="group", group=32)


def _live(scheme: Scheme) -> Scheme:
    """Return the scheme of activations: scales are found anew for each input."""
    return msgspec.structs.replace(scheme, dynamic=True)


ROTATION = 128
"""Hadamard block of MR-GPTQ (arXiv 2509.23202): larger than a group, smaller than a layer."""

_DEATH = "arXiv 2411.02355"
_MR = "arXiv 2509.23202"
_MX = "OCP MX v1.0, arXiv 2310.10537"

_PRESETS = (
    Format(name="bf16", about="bfloat16 throughout: the usual baseline."),
    Format(name="fp16", storage="float16", about="IEEE half precision throughout."),
    Format(name="fp32", storage="float32", about="Single precision throughout."),
    Format(
        name="layercast",
        arithmetic="float32",
        about="bfloat16 weights, each cast to float32 for its product; all arithmetic in float32.",
        paper="arXiv 2506.09501 (LayerCast)",
    ),
    Format(
        name="fp8",
        weights=E4M3_CHANNEL,
        activations=E4M3_TOKEN,
        about="FP8 E4M3: weights per output channel, activations per token as they come.",
        paper=f"{_DEATH} (W8A8-FP); format: arXiv 2209.05433",
    ),
    Format(
        name="fp8-block",
        weights=E4M3_BLOCK,
        activations=E4M3_GROUP,
        about="FP8 E4M3: weights in blocks of 128 x 128, activations in groups of 128.",
        paper="arXiv 2412.19437 (DeepSeek-V3, 3.3)",
    ),
    Format(
        name="w8a8",
        weights=INT8_CHANNEL,
        activations=INT8_TOKEN,
        about="int8: weights per output channel, activations per token as they come.",
        paper=f"{_DEATH} (W8A8-INT)",
    ),
    Format(
        name="w8a16",
        weights=INT8_CHANNEL,
        about="int8 weights per output channel, 16-bit activations.",
        paper="arXiv 2208.07339 (LLM.int8), without its outlier columns",
    ),
    Format(
        name="w4a16",
        weights=INT4_GROUP,
        about="int4 weights in groups of 128 columns, 16-bit activations.",
        paper=f"{_DEATH} (W4A16-INT)",
    ),
    Format(
        name="w4a16-awq",
        weights=INT4_ZERO,
        recipe="awq",
        about="int4 weights with zero points in groups of 128, salient channels scaled first.",
        paper="arXiv 2306.00978 (AWQ)",
    ),
    Format(
        name="w4a8",
        weights=INT4_GROUP,
        activations=E4M3_TOKEN,
        about="int4 weights in groups of 128, E4M3 activations per token.",
        paper="arXiv 2405.04532 (QServe) with FP8 activations, as in arXiv 2307.09782",
    ),
    Format(
        name="w4a8-fp4",
        weights=MXFP4,
        activations=E4M3_TOKEN,
        about="E2M1 weights with power-of-two scales per 32 columns, E4M3 activations per token.",
        paper="arXiv 2307.09782 (ZeroQuant-FP, M1)",
    ),
    Format(
        name="nvfp4",
        weights=NVFP4,
        activations=_live(NVFP4),
        about="E2M1 in groups of 16 with E4M3 scales below one float32 scale, both sides.",
        paper=f"arXiv 2509.25149 (NVFP4); {_MR}",
    ),
    Format(
        name="nvfp4a16",
        weights=NVFP4,
        about="NVFP4 weights, 16-bit activations.",
        paper="arXiv 2509.25149 (NVFP4)",
    ),
    Format(
        name="mxfp4",
        weights=MXFP4,
        activations=_live(MXFP4),
        about="E2M1 in groups of 32 with power-of-two scales, both sides.",
        paper=_MX,
    ),
    Format(
        name="mxfp4a16",
        weights=MXFP4,
        about="MXFP4 weights, 16-bit activations.",
        paper=_MX,
    ),
    Format(
        name="mxfp8",
        weights=MXFP8,
        activations=_live(MXFP8),
        about="E4M3 in groups of 32 with power-of-two scales, both sides.",
        paper=_MX,
    ),
    Format(
        name="nf4",
        weights=NF4_BLOCK,
        about="NormalFloat weights in blocks of 64 with float32 peaks, 16-bit activations.",
        paper="arXiv 2305.14314 (QLoRA), without double quantization",
    ),
    Format(
        name="w3a16",
        weights=INT3_GROUP,
        about="int3 weights in groups of 128, 16-bit activations.",
        paper="arXiv 2210.17323 (GPTQ), arXiv 2502.13178",
    ),
    Format(
        name="w2a16",
        weights=INT2_GROUP,
        about="int2 weights in groups of 128, 16-bit activations: usually breaks a model.",
        paper="arXiv 2210.17323 (GPTQ), arXiv 2502.13178",
    ),
    Format(
        name="mxfp4-mr",
        weights=MXFP4,
        activations=_live(MXFP4),
        rotation=ROTATION,
        recipe="gptq",
        about="MXFP4 after block Hadamard rotation, weights by GPTQ.",
        paper=f"{_MR} (MR-GPTQ)",
    ),
    Format(
        name="nvfp4-mr",
        weights=NVFP4,
        activations=_live(NVFP4),
        rotation=ROTATION,
        recipe="gptq",
        about="NVFP4 after block Hadamard rotation, weights by GPTQ.",
        paper=f"{_MR} (MR-GPTQ)",
    ),
    Format(
        name="int4-mr",
        weights=INT4_SMALL,
        activations=msgspec.structs.replace(_live(INT4_SMALL), scale_dtype="float32"),
        rotation=ROTATION,
        recipe="gptq",
        about="int4 in groups of 32 on both sides after block Hadamard rotation, weights by GPTQ.",
        paper=f"{_MR} (its INT4 comparison); arXiv 2404.00456 (QuaRot)",
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
    """Return ``fmt`` with groups and rotation blocks that divide ``columns``.

    The wanted size where it divides, else the largest power of two below it that does. The groups
    of NVFP4 and of the MX formats are what they are: they are not fitted.

    Raises:
        Unsupported: no size of at least ``SMALLEST_GROUP`` divides ``columns``.

    """
    changes: dict[str, object] = {
        side: _fitted_scheme(fmt.name, scheme, columns)
        for side, scheme in (("weights", fmt.weights), ("activations", fmt.activations))
        if scheme is not None
    }
    if fmt.rotation is not None:
        changes["rotation"] = _fitting(fmt.name, fmt.rotation, columns)
    return msgspec.structs.replace(fmt, **changes)


def _fitted_scheme(name: str, scheme: Scheme, columns: int) -> Scheme:
    if scheme.group is None or columns % scheme.group == 0:
        return scheme
    if scheme.scale_dtype in ("e8m0", "e4m3"):
        raise Unsupported(
            f"{name} has groups of {scheme.group} columns, which do not divide a layer with "
            f"{columns}.",
            hint="Use a format with one scale per channel, for example w8a16 or fp8.",
        )
    group = _fitting(name, scheme.group, columns)
    rows = None if scheme.rows is None else group
    return msgspec.structs.replace(scheme, group=group, rows=rows)


def _fitting(name: str, wanted: int, columns: int) -> int:
    """Return the largest power of two up to ``wanted`` that divides ``columns``."""
    if columns % wanted == 0:
        return wanted
    powers = (1 << power for power in range(wanted.bit_length() - 1, 0, -1))
    found = next((p for p in powers if p >= SMALLEST_GROUP and columns % p == 0), None)
    if found is None:
        raise Unsupported(
            f"{name} needs groups of {SMALLEST_GROUP} to {wanted} columns, and none divides "
            f"a layer with {columns}.",
            hint="Use a format with one scale per channel, for example w8a16 or fp8.",
        )
    return found
