"""GPTQ: codes that make up for each other's rounding (Frantar et al., arXiv 2210.17323).

Columns are rounded one after the other; the error of each is spread over the columns that are
still to come, by the inverse Hessian of the layer's squared output error. Works for every weight
Scheme. Scales are fixed before the sweep and belong to the columns' places, so an order by
activation (``act_order``) changes codes alone and no reader needs to know of it (MR-GPTQ's
static order, arXiv 2509.23202).

Two choices of ours:

- Columns that calibration never reached are rounded to nearest. (The authors' code sets them to
  zero. An input that was silent in calibration may speak in use.)
- The Hessian is inverted in float64; codes are found in float32, as in ``reference``.
"""

from __future__ import annotations

import torch
from msgspec import Struct
from msgspec.structs import replace
from torch import Tensor

from qbench.errors import ConfigError
from qbench.kernels.reference import Quantized, Scales, dequantize, find_scales, quantize
from qbench.kernels.schemes import Scheme

DAMP = 1e-2
"""Added to the Hessian's diagonal, as a share of its mean."""
BLOCK = 128
"""Columns whose errors are gathered before the rest of the matrix is corrected."""


class Hessian:
    """``2/n X^T X`` of a layer's inputs, gathered over batches of any size."""

    def __init__(self, columns: int, device: torch.device | str = "cpu") -> None:
        """Begin with no inputs of ``columns`` values each."""
        self.tokens = 0
        self.matrix = torch.zeros(columns, columns, dtype=torch.float32, device=device)

    def add(self, inputs: Tensor) -> None:
        """Take in a batch (..., columns). Products are summed in float32."""
        rows = inputs.reshape(-1, inputs.shape[-1]).float()
        total = self.tokens + len(rows)
        if not len(rows):
            return
        self.matrix.mul_(self.tokens / total).addmm_(rows.t(), rows, alpha=2.0 / total)
        self.tokens = total


class _Columns(Struct, frozen=True, kw_only=True):
    """Scales and zero points of single columns, each (out, groups)."""

    scheme: Scheme
    scale: Tensor
    zero: Tensor | None
    global_scale: Tensor | None
    group: int

    def quantized(self, column: Tensor, place: int) -> Quantized:
        """Round one column (out,) with the scale of its place."""
        at = slice(place // self.group, place // self.group + 1)
        scales = Scales(
            scale=self.scale[:, at],
            zero=None if self.zero is None else self.zero[:, at],
            global_scale=self.global_scale,
        )
        return quantize(column[:, None], self.scheme, scales=scales)


def gptq(  # noqa: PLR0913 - the method has these knobs
    weight: Tensor,
    hessian: Tensor,
    scheme: Scheme,
    *,
    scales: Scales | None = None,
    damp: float = DAMP,
    block: int = BLOCK,
    act_order: bool = False,
) -> Quantized:
    """Return codes of ``weight`` (out, in) that keep the layer's outputs.

    Args:
        weight: any float type; one float32 copy is made.
        hessian: (in, in), ``Hessian.matrix``: symmetric and not negative.
        scheme: how weights are stored.
        scales: fixed ones; found from the peaks where None.
        damp: of the mean diagonal, added to the diagonal.
        block: columns swept before the rest is corrected; changes nothing but the rounding of sums.
        act_order: sweep columns from the largest diagonal of the Hessian to the smallest.

    Raises:
        ConfigError: the Hessian is not finite, or not positive with this ``damp``.

    """
    fixed = scales or find_scales(weight, scheme)
    columns = _columns(fixed, scheme, weight.shape)
    diagonal = hessian.diagonal()
    places = torch.arange(weight.shape[1], device=weight.device)
    if act_order:
        places = torch.argsort(diagonal, descending=True, stable=True)
    upper = _inverse_factor(hessian[places][:, places], damp)
    swept = weight.detach().to(torch.float32)[:, places]
    codes = _sweep(swept, upper, columns, places.tolist(), block)
    back = torch.empty_like(codes)
    back[:, places] = codes
    return Quantized(
        codes=back,
        scheme=scheme,
        scale=fixed.scale,
        zero=fixed.zero,
        global_scale=fixed.global_scale,
    )


def _columns(fixed: Scales, scheme: Scheme, shape: torch.Size) -> _Columns:
    """Return scales as (out, groups), whatever shares them."""

    def spread(tensor: Tensor | None) -> Tensor | None:
        if tensor is None:
            return None
        if scheme.rows is not None:
            tensor = tensor.repeat_interleave(scheme.rows, dim=0)[: shape[0]]
        return tensor.reshape(-1, tensor.shape[-1]).expand(shape[0], -1)

    scale = spread(fixed.scale)
    assert scale is not None
    single = replace(scheme, strategy="channel", group=None, rows=None)
    return _Columns(
        scheme=single,
        scale=scale,
        zero=spread(fixed.zero),
        global_scale=fixed.global_scale,
        group=scheme.group or shape[1],
    )


def _inverse_factor(hessian: Tensor, damp: float) -> Tensor:
    """Return the upper Cholesky factor of the damped inverse, float32."""
    wide = hessian.to(torch.float64, copy=True)
    diagonal = wide.diagonal()
    if not bool(wide.isfinite().all()):
        raise ConfigError(
            "The calibration inputs of a layer are not finite.",
            hint="The checkpoint is damaged, or its storage type too narrow: try fp32.",
        )
    live = diagonal > 0
    mean = diagonal[live].mean() if bool(live.any()) else wide.new_ones(())
    diagonal[~live] = mean
    diagonal += damp * mean
    lower, failed = torch.linalg.cholesky_ex(wide)
    if bool(failed):
        raise ConfigError(
            f"The Hessian of a layer is not positive with dampening {damp:g}.",
            hint="Give more calibration tokens than the layer has columns, or more dampening.",
        )
    inverse = torch.cholesky_inverse(lower)
    factor: Tensor = torch.linalg.cholesky(inverse, upper=True)
    return factor.to(torch.float32)


def _sweep(
    weight: Tensor, upper: Tensor, columns: _Columns, places: list[int], block: int
) -> Tensor:
    """Round the columns of ``weight`` (overwritten) from left to right; return their codes."""
    codes: list[Tensor] = []
    for start in range(0, weight.shape[1], block):
        end = min(start + block, weight.shape[1])
        errors = []
        for at in range(start, end):
            made = columns.quantized(weight[:, at], places[at])
            codes.append(made.codes)
            off = weight[:, at : at + 1] - dequantize(made, torch.float32)
            errors.append(off / upper[at, at])
            weight[:, at + 1 : end].addmm_(errors[-1], upper[at : at + 1, at + 1 : end], alpha=-1)
        weight[:, end:].addmm_(torch.cat(errors, dim=1), upper[start:end, end:], alpha=-1)
    return torch.cat(codes, dim=1)
