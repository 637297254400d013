"""A format's linear layer by its definition, in float64 on the CPU: what emulation is held to."""

from __future__ import annotations

import torch
from msgspec import Struct
from torch import Tensor

from qbench.kernels.formats import Format, fitted
from qbench.kernels.reference import FLOATS, Quantized, dequantize, quantize
from qbench.kernels.rotation import rotate
from qbench.kernels.schemes import FloatName, Scheme

EPSILON: dict[FloatName, float] = {"bfloat16": 2**-9, "float16": 2**-12, "float32": 2**-25}
"""Half a step of each type below 1: the relative error of one rounding, of normal numbers."""

_SUM = 2**-24


class Exact(Struct, frozen=True, kw_only=True):
    """A layer's outputs and how far from them its emulation may be."""

    outputs: Tensor
    """(..., out), float64."""
    bound: Tensor
    """Likewise: the largest error that the roundings of an emulated layer can add up to."""


def exact_layer(weight: Tensor, fmt: Format, inputs: Tensor, bias: Tensor | None = None) -> Exact:
    """Return what ``fmt`` defines for a layer of ``weight`` (out, in) and ``inputs`` (..., in).

    Codes and scales are those of ``kernels.reference``; code x scale, products and sums are made
    in float64. An emulated layer rounds both factors and the result to the storage type and adds
    up to ``in`` products in float32, each sum with a relative error of 2^-24:
    ``|error| <= (2 e + in 2^-24) sum |w||x| + e |y|``, e being ``EPSILON`` with a small allowance.
    """
    fmt = fitted(fmt, weight.shape[1])
    values = inputs.cpu().to(FLOATS[fmt.arithmetic or fmt.storage])
    made = weight.cpu()
    if fmt.rotation is not None:
        made, values = rotate(made.float(), fmt.rotation), rotate(values, fmt.rotation)
    left, right = _numbers(values, fmt.activations), _numbers(_kept(made, fmt), fmt.weights)
    outputs, sizes = left @ right.T, left.abs() @ right.abs().T
    if bias is not None:
        kept = bias.cpu().to(FLOATS[fmt.storage]).double()
        outputs, sizes = outputs + kept, sizes + kept.abs()
    step = 1.01 * EPSILON[fmt.arithmetic or fmt.storage]
    bound = (2 * step + weight.shape[1] * _SUM) * sizes + step * outputs.abs()
    return Exact(outputs=outputs, bound=bound)


def _kept(weight: Tensor, fmt: Format) -> Tensor:
    """Return the weight as its codes are made from it: cast where there are none."""
    return weight if fmt.weights is not None else weight.to(FLOATS[fmt.storage])


def _numbers(values: Tensor, scheme: Scheme | None) -> Tensor:
    """Return code x scale in float64, the codes being those of the reference."""
    if scheme is None:
        return values.double()
    made = quantize(values, scheme)
    ones = Quantized(
        codes=made.codes, scale=torch.ones_like(made.step), scheme=scheme, zero=made.zero
    )
    whole = dequantize(ones, torch.float32).double()
    return whole * _spread(made.step.double(), scheme, whole.shape)


def _spread(step: Tensor, scheme: Scheme, shape: torch.Size) -> Tensor:
    """Repeat steps over the columns (and rows) that share them."""
    if scheme.group is None:
        return step
    wide = step.repeat_interleave(scheme.group, dim=-1)
    if scheme.rows is not None:
        wide = wide.repeat_interleave(scheme.rows, dim=0)[: shape[0]]
    return wide
