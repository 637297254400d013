"""qbench's own products as contestants: a format's layer as it is served, and its product alone."""

from __future__ import annotations

import torch
from torch import Tensor

from qbench.errors import Unsupported
from qbench.kernels.activation.fourbits import rotate_round
from qbench.kernels.activation.quantizing import quantize_groups, quantize_tokens
from qbench.kernels.activation.rotating import rotate_quantize
from qbench.kernels.checking.exact import quantized_weight
from qbench.kernels.formats import Format
from qbench.kernels.gemm.multiply import multiply, multiply_quantized
from qbench.kernels.gemm.packed import PackedWeight
from qbench.kernels.gemm.packing import pack_weight
from qbench.kernels.speed.contestant import Contestant, Product
from qbench.kernels.speed.work import rounds_inputs


def packed(fmt: Format, weight: Tensor) -> PackedWeight | None:
    """Return a weight (N, K) as programs here read it; None where none reads the format."""
    made = quantized_weight(fmt, weight)
    if made is None:
        return None
    try:
        return pack_weight(made, fmt.activations if rounds_inputs(fmt) else None)
    except Unsupported:
        return None


def rounded(fmt: Format, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return 8-bit codes of x (M, K) and their scales, rotated first where the format does."""
    scheme = fmt.activations
    assert scheme is not None
    if fmt.rotation is not None:
        return rotate_quantize(x, fmt.rotation, scheme.element)
    if scheme.group is not None:
        return quantize_groups(x)
    return quantize_tokens(x, scheme.element)


def multiplied(fmt: Format, weight: Tensor) -> Product | None:
    """Return the product alone, from x (M, K) in 16 bits; for 8-bit activations from ``given``."""
    found = packed(fmt, weight)
    if found is None:
        return None
    if not rounds_inputs(fmt):
        return lambda x: multiply(x, found)

    def multiply_codes(inputs: tuple[Tensor, Tensor, torch.dtype]) -> Tensor:
        codes, scale, dtype = inputs
        return multiply_quantized(codes, scale, found, dtype)

    return multiply_codes


def given(fmt: Format, x: Tensor) -> tuple[Tensor, Tensor, torch.dtype]:
    """Return what a product of 8-bit inputs takes: codes, scales and the type of the result."""
    return (*rounded(fmt, x), x.dtype)


def layer(fmt: Format, weight: Tensor) -> Product | None:
    """Return the product from 16-bit inputs, which are rotated and rounded as the format says."""
    product = multiplied(fmt, weight)
    scheme = fmt.activations
    if product is None or scheme is None:
        return product
    if rounds_inputs(fmt):
        return lambda x: product(given(fmt, x))
    return lambda x: product(rotate_round(x, fmt.rotation, scheme))


def product(fmt: Format, weight: Tensor) -> Product | None:
    """Return the product from what ``given`` made; None where activations keep 16 bits."""
    return multiplied(fmt, weight) if rounds_inputs(fmt) else None


CONTESTANTS = (
    Contestant(name="qbench", make=layer),
    Contestant(name="qbench", make=product, part="product", prepare=given),
)
