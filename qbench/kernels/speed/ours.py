"""qbench's own products as contestants: a format's layer as it is served, and its product alone."""

from __future__ import annotations

import msgspec
import torch
from msgspec import Struct
from torch import Tensor

from qbench.errors import Unsupported
from qbench.kernels.checking.exact import quantized_weight
from qbench.kernels.formats import Format
from qbench.kernels.gemm.four_bits.packing import multiplies_four_bits, reads
from qbench.kernels.gemm.multiply import multiply, multiply_quantized
from qbench.kernels.gemm.scaled.configs import find_config
from qbench.kernels.gemm.weight_only.tuning import configured, gpu_of, kernel_of
from qbench.kernels.linears.linear import Inputs
from qbench.kernels.linears.quant_linear import QuantLinear, packed, program
from qbench.kernels.schemes import Scheme
from qbench.kernels.speed.contestant import Contestant, Product
from qbench.kernels.speed.work import rounds_inputs


def layer(fmt: Format, weight: Tensor, *, four_bit_units: bool | None = None) -> QuantLinear | None:
    """Return the layer that engines call, from 16-bit inputs; None where no program reads it.

    ``four_bit_units``: as of ``packed``.
    """
    made = quantized_weight(fmt, weight)
    if made is None:
        return None
    inputs = Inputs(scheme=fmt.activations, rotation=fmt.rotation)
    try:
        found = packed(made, inputs, four_bit_units=four_bit_units)
        return QuantLinear(found, inputs=inputs)
    except Unsupported:
        return None


def in_four_bits(fmt: Format, weight: Tensor) -> Product | None:
    """Return the product of FP4 units, from x (M, K) in 16 bits, which it rounds; None: no FP4."""
    made = layer(fmt, weight, four_bit_units=True)
    return made if made is not None and made.way == "four bits" else None


def multiplied(fmt: Format, weight: Tensor) -> Product | None:
    """Return the product alone, from x (M, K) in 16 bits; for 8-bit activations from ``given``."""
    made = layer(fmt, weight, four_bit_units=False)
    if made is None:
        return None
    found = made.weight
    if not rounds_inputs(fmt):
        return lambda x: multiply(x, found)

    def multiply_codes(inputs: tuple[Tensor, Tensor, torch.dtype]) -> Tensor:
        codes, scale, dtype = inputs
        return multiply_quantized(codes, scale, found, dtype)

    return multiply_codes


def product(fmt: Format, weight: Tensor) -> Product | None:
    """Return the product from what ``given`` made; None where activations keep 16 bits."""
    return multiplied(fmt, weight) if rounds_inputs(fmt) else None


def given(fmt: Format, x: Tensor) -> tuple[Tensor, Tensor, torch.dtype]:
    """Return what a product of 8-bit inputs takes: codes, scales and the type of the result."""
    scheme = fmt.activations
    assert scheme is not None
    if fmt.rotation is not None:
        codes, scale = program("rotate_quantize")(x, fmt.rotation, scheme.element)
    elif scheme.group is not None:
        codes, scale = program("quantize_groups")(x)
    else:
        codes, scale = program("quantize_tokens")(x, scheme.element)
    return codes, scale, x.dtype


def told(fmt: Format, n: int, k: int, m: int) -> tuple[str, str]:
    """Return the program that a product runs, and its tile sizes, as the tuned tables say."""
    weights = fmt.weights
    if weights is None:
        return "", ""
    if rounds_inputs(fmt):
        layout = find_config(_scaled_name(weights), n, k, m)
        return f"scaled {type(layout).__name__.lower()}", _unusual(layout)
    if _in_units(fmt):
        return "four_bits", ""
    config = configured(gpu_of(torch.device("cuda")), kernel_of(weights), n, k, m)
    return config.program, _unusual(config)


def _in_units(fmt: Format) -> bool:
    """Tell whether the GPU here multiplies a format's codes of both sides as they are."""
    if fmt.weights is None or fmt.activations is None or not reads(fmt.weights, fmt.activations):
        return False
    return torch.cuda.is_available() and multiplies_four_bits(torch.device("cuda"))


def _unusual(config: Struct) -> str:
    """Say what of a configuration is not as it is by default."""
    said = (
        f"{field.name}={getattr(config, field.name)}"
        for field in msgspec.structs.fields(config)
        if field.name != "program" and getattr(config, field.name) != field.default
    )
    return " ".join(said)


def _scaled_name(scheme: Scheme) -> str:
    """Return the name of a kernel with 8-bit inputs in its tuned table."""
    measured = {"e4m3": "fp8", "int8": "w8a8", "int4": "w4a8"}
    return "fp8-block" if scheme.strategy == "block" else measured[scheme.element]


CONTESTANTS = (
    Contestant(name="qbench", make=layer, told=told),
    Contestant(name="qbench", make=product, part="product", prepare=given, told=told),
)
