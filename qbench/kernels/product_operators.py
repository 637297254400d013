"""Torch operators (namespace ``qbench``) for products with packed weights.

Operators take tensors and plain values, so a ``PackedWeight`` is taken apart once, when a layer is
made (``parts_of``), and put together again in the call, which costs a microsecond. On a GPU the
programs run; elsewhere the weight is unpacked and multiplied in float32, and rounded once.
"""

from __future__ import annotations

from functools import cache
from typing import Any, cast

import msgspec
import torch
from torch import Tensor
from torch.library import custom_op

from qbench.kernels.gemm.multiply import multiply, multiply_quantized
from qbench.kernels.gemm.packed import PackedWeight
from qbench.kernels.gemm.unpacked import unpacked
from qbench.kernels.schemes import Scheme

Parts = tuple[Tensor, Tensor | None, Tensor, Tensor | None, str, str | None, int, int, float]
"""codes, high, scale, zero, scheme, activations, rows, columns, factor."""


def parts_of(weight: PackedWeight) -> Parts:
    """Return what the operators take after their inputs; schemes as JSON."""
    activations = None if weight.activations is None else _text(weight.activations)
    return (
        weight.codes,
        weight.high,
        weight.scale,
        weight.zero,
        _text(weight.scheme),
        activations,
        weight.rows,
        weight.columns,
        weight.factor,
    )


def _text(scheme: Scheme) -> str:
    return msgspec.json.encode(scheme).decode()


@cache
def _scheme(text: str) -> Scheme:
    return msgspec.json.decode(text, type=Scheme)


def _together(parts: Parts) -> PackedWeight:
    codes, high, scale, zero, scheme, activations, rows, columns, factor = parts
    return PackedWeight(
        scheme=_scheme(scheme),
        activations=None if activations is None else _scheme(activations),
        rows=rows,
        columns=columns,
        codes=codes,
        high=high,
        scale=scale,
        zero=zero,
        factor=factor,
    )


@custom_op("qbench::weight_only", mutates_args=(), device_types="cpu")
def weight_only(  # noqa: PLR0913, PLR0917 # a PackedWeight's fields
    x: Tensor,
    codes: Tensor,
    high: Tensor | None,
    scale: Tensor,
    zero: Tensor | None,
    scheme: str,
    activations: str | None,
    rows: int,
    columns: int,
    factor: float,
) -> Tensor:
    """Return 16-bit ``x`` (M, K) times the weight (N, K) transposed; see ``multiply``."""
    parts = (codes, high, scale, zero, scheme, activations, rows, columns, factor)
    return (x.float() @ unpacked(_together(parts)).T).to(x.dtype)


@custom_op("qbench::scaled", mutates_args=(), device_types="cpu")
def scaled(  # noqa: PLR0913, PLR0917 # a PackedWeight's fields
    inputs: Tensor,
    steps: Tensor,
    dtype: torch.dtype,
    codes: Tensor,
    high: Tensor | None,
    scale: Tensor,
    zero: Tensor | None,
    scheme: str,
    activations: str | None,
    rows: int,
    columns: int,
    factor: float,
) -> Tensor:
    """Return 8-bit ``inputs`` (M, K) below ``steps`` times the weight; ``multiply_quantized``."""
    parts = (codes, high, scale, zero, scheme, activations, rows, columns, factor)
    wide = inputs.float() * steps.repeat_interleave(inputs.shape[1] // steps.shape[1], dim=1)
    return (wide @ unpacked(_together(parts)).T).to(dtype)


@weight_only.register_kernel("cuda")
def _weight_only(x: Tensor, *parts: Any) -> Tensor:
    return multiply(x, _together(cast("Parts", parts)))


@scaled.register_kernel("cuda")
def _scaled(inputs: Tensor, steps: Tensor, dtype: torch.dtype, *parts: Any) -> Tensor:
    return multiply_quantized(inputs, steps, _together(cast("Parts", parts)), dtype)


@weight_only.register_fake
def _weight_only_shape(x: Tensor, *parts: Any) -> Tensor:
    return x.new_empty(x.shape[0], parts[6])


@scaled.register_fake
def _scaled_shape(inputs: Tensor, steps: Tensor, dtype: torch.dtype, *parts: Any) -> Tensor:
    del steps
    return inputs.new_empty(inputs.shape[0], parts[6], dtype=dtype)
