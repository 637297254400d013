"""Products with packed weights: which programs run is decided here, by what the inputs are."""

from __future__ import annotations

import importlib.util
import os
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from qbench.errors import ConfigError, Unsupported
from qbench.kernels.gemm.four_bits.packing import multiplies_four_bits
from qbench.kernels.gemm.packed import PackedWeight

HAVE_TRITON = importlib.util.find_spec("triton") is not None
if HAVE_TRITON:
    from qbench.kernels.gemm.four_bits.launch import multiply_packed
    from qbench.kernels.gemm.scaled.launch import multiply_scaled
    from qbench.kernels.gemm.weight_only.launch import multiply_weight_only
if TYPE_CHECKING:
    from qbench.kernels.gemm.weight_only.tuning import Config

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
"""Whether programs run in Triton's interpreter, on tensors of the CPU."""
TYPES = (torch.bfloat16, torch.float16)
"""Of 16-bit inputs."""


def multiply(x: Tensor, weight: PackedWeight, *, config: Config | None = None) -> Tensor:
    """Return ``x`` (M, K) of 16 bits times the weight (N, K) transposed: (M, N) in x's type.

    Args:
        x: contiguous; bfloat16 or float16.
        weight: of a weight-only format.
        config: of the program; by default the tuned one.

    Raises:
        ConfigError: shapes or types that do not fit.
        Unsupported: the weight's format quantizes activations, or nothing here runs on the device.

    """
    _refuse(x, weight)
    out = torch.empty(len(x), weight.rows, dtype=x.dtype, device=x.device)
    if len(x):
        multiply_weight_only(x, weight, out, config)
    return out


def multiply_quantized(
    codes: Tensor, scale: Tensor, weight: PackedWeight, dtype: torch.dtype = torch.bfloat16
) -> Tensor:
    """Return 8-bit ``codes`` (M, K) times the weight (N, K) transposed, scaled: (M, N).

    ``scale``: float32 (M, 1), or (M, K / 128) where the weight comes in blocks of 128.

    Raises:
        ConfigError: shapes or types that do not fit, or a weight for other inputs.
        Unsupported: nothing here runs on the device.

    """
    if weight.activations is None or weight.activations.element_bits != 8:
        raise ConfigError(
            "This weight is not for inputs of 8 bits.",
            hint="Call multiply with 16 bits, or multiply_four_bits.",
        )
    _refuse_device(codes)
    return multiply_scaled(codes, scale, weight, dtype)


def multiply_four_bits(
    codes: Tensor,
    scale: Tensor,
    factor: Tensor | None,
    weight: PackedWeight,
    dtype: torch.dtype = torch.bfloat16,
) -> Tensor:
    """Return tokens in E2M1 times the weight (N, K) transposed: (M, N), in FP4 units.

    Args:
        codes: uint8 (M, K / 2), as ``rotate_pack`` packs them.
        scale: (M, K / group), uint8 exponents of MXFP4 or E4M3 of NVFP4.
        factor: float32 (M, 1) that NVFP4's scales are divided by; None with MXFP4.
        weight: of ``pack_four_bits``.
        dtype: of the result.

    Raises:
        ConfigError: shapes or types that do not fit.
        Unsupported: nothing here runs on the device, or it is a GPU without FP4 units.

    """
    _refuse_device(codes)
    if not INTERPRETED:
        refuse_without_units(codes.device)
    return multiply_packed(codes, scale, factor, weight, dtype)


def refuse_without_units(device: torch.device) -> None:
    """Refuse a device without FP4 units: Triton would decode, or fail. Raises Unsupported."""
    if not multiplies_four_bits(device):
        raise Unsupported(
            f"{device} has no units for FP4.",
            hint="Pack the weight with quant_linear.packed, and round inputs with rotate_round.",
        )


def _refuse(x: Tensor, weight: PackedWeight) -> None:
    if weight.activations is not None:
        raise Unsupported(
            "This weight wants quantized inputs.",
            hint="Call multiply_quantized or multiply_four_bits with their codes.",
        )
    if x.ndim != 2 or x.shape[1] != weight.columns or x.dtype not in TYPES:
        raise ConfigError(
            f"{tuple(x.shape)} of {x.dtype} does not fit a weight of {weight.columns} columns.",
            hint="Give bfloat16 or float16 of shape (tokens, columns).",
        )
    if not x.is_contiguous():
        raise ConfigError("Inputs must lie without gaps.", hint="Call contiguous() on them.")
    _refuse_device(x)


def _refuse_device(x: Tensor) -> None:
    if not HAVE_TRITON or not (x.is_cuda or INTERPRETED):
        raise Unsupported(
            f"No program runs on {x.device}.",
            hint="Use the emulation: qbench.kernels.linears.linear.",
        )
