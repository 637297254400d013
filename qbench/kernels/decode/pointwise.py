"""Norms and gates of single tokens: what stands between the products of a layer."""

from __future__ import annotations

from torch import Tensor

from qbench.kernels.decode import plain
from qbench.kernels.decode.layout import Scratch
from qbench.kernels.decode.ways import program
from qbench.kernels.schemes import Element


def norm(
    values: Tensor, gain: Tensor, epsilon: float, residual: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Add ``residual`` to ``values`` (tokens, columns); return the sum's RMSNorm, and the sum.

    Rounded where transformers' Llama rounds: the sum, the quotient, the product with ``gain``.
    """
    if not values.is_cuda:
        return plain.norm(values, gain, epsilon, residual)
    found: tuple[Tensor, Tensor] = program("norm")(values, gain, epsilon, residual)
    return found


def silu_multiply(gate_up: Tensor) -> Tensor:
    """Return SiLU of the first half of the columns times the second half, (tokens, columns / 2)."""
    if not gate_up.is_cuda:
        return plain.silu_multiply(gate_up)
    found: Tensor = program("silu_multiply")(gate_up)
    return found


def norm_quantize(
    values: Tensor, gain: Tensor, epsilon: float, element: Element, residual: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return 8-bit codes of what ``norm`` returns, their scales (tokens, 1), and the sum.

    Raises:
        Unsupported: not on a GPU, or not in 16 bits.

    """
    found: tuple[Tensor, Tensor, Tensor] = program("norm_quantize")(
        values, gain, epsilon, element, residual
    )
    return found


def silu_quantize(gate_up: Tensor, element: Element) -> tuple[Tensor, Tensor]:
    """Return 8-bit codes of what ``silu_multiply`` returns, and their scales. Raises as above."""
    found: tuple[Tensor, Tensor] = program("silu_quantize")(gate_up, element)
    return found


def take_likeliest(
    logits: Tensor, ids: Tensor, positions: Tensor, spare: Scratch | None = None
) -> Tensor:
    """Return the token (batch,) int32 of each row's largest logit, the first of equal ones.

    ``ids`` becomes those tokens, and ``positions`` that are not below zero go one further, both
    int32 and in place: the inputs of the step that follows.
    """
    if spare is None or not logits.is_cuda:
        return plain.take_likeliest(logits, ids, positions)
    found: Tensor = program("take_likeliest")(logits, ids, positions, spare)
    return found
