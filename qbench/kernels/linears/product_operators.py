"""Torch operators (namespace ``qbench``) for products with packed weights.

Operators take tensors and plain values, so a ``PackedWeight`` is taken apart once, when a layer is
made, and put together again in the call, which costs a microsecond. All numbers that differ between
layers of one shape come as tensors: then their graphs are the same, and are compiled once. On a GPU
the programs run; elsewhere the weight is unpacked and multiplied in float32, and rounded once.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec
import torch
from msgspec import Struct
from torch import Tensor
from torch.library import custom_op

from qbench.kernels.gemm.four_bits.packing import numbers_of_codes
from qbench.kernels.gemm.multiply import multiply, multiply_four_bits, multiply_quantized
from qbench.kernels.gemm.packed import PackedWeight
from qbench.kernels.gemm.unpacked import unpacked
from qbench.kernels.schemes import Scheme


class Parts(Struct, frozen=True, kw_only=True):
    """A packed weight taken apart for an operator."""

    tensors: dict[str, Tensor]
    """By the names of its fields."""
    factor: Tensor
    """One float32 number in the CPU's memory: reading it waits for nothing."""
    rows: int
    rest: str
    """The other fields, and the names of the tensors, as JSON."""

    @property
    def given(self) -> tuple[list[Tensor], Tensor, int, str]:
        """What the operators take after their inputs."""
        return [*self.tensors.values()], self.factor, self.rows, self.rest


def taken_apart(weight: PackedWeight) -> Parts:
    """Return a weight as operators take it."""
    fields = msgspec.structs.asdict(weight)
    tensors = {name: value for name, value in fields.items() if isinstance(value, Tensor)}
    rest = {name: value for name, value in fields.items() if name not in (*tensors, "factor")}
    return Parts(
        tensors=tensors,
        factor=torch.tensor(weight.factor, dtype=torch.float32, device="cpu"),
        rows=weight.rows,
        rest=msgspec.json.encode([rest, [*tensors]]).decode(),
    )


@lru_cache(maxsize=4096)
def _read(rest: str) -> tuple[dict[str, Any], list[str]]:
    fields, names = msgspec.json.decode(rest)
    for name in ("scheme", "activations"):
        if fields[name] is not None:
            fields[name] = msgspec.convert(fields[name], Scheme)
    return fields, names


def _together(parts: list[Tensor], factor: Tensor, rest: str) -> PackedWeight:
    fields, names = _read(rest)
    given = fields | dict(zip(names, parts, strict=True)) | {"factor": factor.item()}
    return PackedWeight(**given)


@custom_op("qbench::weight_only", mutates_args=(), device_types="cpu")
def weight_only(x: Tensor, parts: list[Tensor], factor: Tensor, rows: int, rest: str) -> Tensor:
    """Return 16-bit ``x`` (M, K) times the weight (N, K) transposed; see ``multiply``."""
    del rows
    return (x.float() @ unpacked(_together(parts, factor, rest)).T).to(x.dtype)


@custom_op("qbench::scaled", mutates_args=(), device_types="cpu")
def scaled(  # noqa: PLR0913, PLR0917 # inputs and a weight's parts
    inputs: Tensor,
    steps: Tensor,
    dtype: torch.dtype,
    parts: list[Tensor],
    factor: Tensor,
    rows: int,
    rest: str,
) -> Tensor:
    """Return 8-bit ``inputs`` (M, K) below ``steps`` times the weight; ``multiply_quantized``."""
    del rows
    wide = inputs.float() * steps.repeat_interleave(inputs.shape[1] // steps.shape[1], dim=1)
    return (wide @ unpacked(_together(parts, factor, rest)).T).to(dtype)


@custom_op("qbench::four_bits", mutates_args=(), device_types="cpu")
def four_bits(  # noqa: PLR0913, PLR0917 # inputs and a weight's parts
    inputs: Tensor,
    steps: Tensor,
    tops: Tensor,
    dtype: torch.dtype,
    parts: list[Tensor],
    factor: Tensor,
    rows: int,
    rest: str,
) -> Tensor:
    """Return E2M1 ``inputs`` (M, K / 2) times the weight; see ``multiply_four_bits``.

    ``tops``: factors of tokens, (M, 1), or no rows where the format has none.
    """
    del rows
    weight = _together(parts, factor, rest)
    made = numbers_of_codes(inputs, steps, weight.scheme).float() @ unpacked(weight).T
    return (made / tops if weight.scheme.two_level else made).to(dtype)


@weight_only.register_kernel("cuda")
def _weight_only(x: Tensor, parts: list[Tensor], factor: Tensor, rows: int, rest: str) -> Tensor:
    del rows
    return multiply(x.contiguous(), _together(parts, factor, rest))


@scaled.register_kernel("cuda")
def _scaled(  # noqa: PLR0913, PLR0917 # as the operator
    inputs: Tensor,
    steps: Tensor,
    dtype: torch.dtype,
    parts: list[Tensor],
    factor: Tensor,
    rows: int,
    rest: str,
) -> Tensor:
    del rows
    return multiply_quantized(inputs, steps, _together(parts, factor, rest), dtype)


@four_bits.register_kernel("cuda")
def _four_bits(  # noqa: PLR0913, PLR0917 # as the operator
    inputs: Tensor,
    steps: Tensor,
    tops: Tensor,
    dtype: torch.dtype,
    parts: list[Tensor],
    factor: Tensor,
    rows: int,
    rest: str,
) -> Tensor:
    del rows
    weight = _together(parts, factor, rest)
    given = tops if weight.scheme.two_level else None
    return multiply_four_bits(inputs, steps, given, weight, dtype)


@weight_only.register_fake
def _weight_only_shape(
    x: Tensor, parts: list[Tensor], factor: Tensor, rows: int, rest: str
) -> Tensor:
    del parts, factor, rest
    return x.new_empty(x.shape[0], rows)


@scaled.register_fake
def _scaled_shape(  # noqa: PLR0913, PLR0917 # as the operator
    inputs: Tensor,
    steps: Tensor,
    dtype: torch.dtype,
    parts: list[Tensor],
    factor: Tensor,
    rows: int,
    rest: str,
) -> Tensor:
    del steps, parts, factor, rest
    return inputs.new_empty(inputs.shape[0], rows, dtype=dtype)


@four_bits.register_fake
def _four_bits_shape(  # noqa: PLR0913, PLR0917 # as the operator
    inputs: Tensor,
    steps: Tensor,
    tops: Tensor,
    dtype: torch.dtype,
    parts: list[Tensor],
    factor: Tensor,
    rows: int,
    rest: str,
) -> Tensor:
    del steps, tops, parts, factor, rest
    return inputs.new_empty(inputs.shape[0], rows, dtype=dtype)
