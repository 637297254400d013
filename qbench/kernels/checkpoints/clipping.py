"""How a weight's scales are found: from the peak, by least error, or by a published rule.

Rules by name:

``peak``
    What ``reference.find_scales`` gives.
``mse``
    The best of 100 peaks shrunk by ``1 - 0.8 i / 100``, by the sum of ``|error|^2.4`` over what
    shares a scale (FP-Quant's search, arXiv 2509.23202; the exponent is GPTQ's code's). With
    power-of-two scales the next larger power is tried as well: ``peak`` clips there what lies
    between 6 and 8 times the scale (E2M1).
``three-quarters``
    FP-Quant's rule for MXFP4: ``2^(floor(log2 peak) - 2) / (3/4)``, so that nothing up to 8 times
    the power of two is clipped. Not a power of two itself: no checkpoint in an MX layout can hold
    it, and ``packing`` refuses it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, cast

import torch
from msgspec import Struct
from msgspec.structs import replace
from torch import Tensor

from qbench.errors import ConfigError
from qbench.kernels.reference import Quantized, Scales, dequantize, find_scales, quantize
from qbench.kernels.schemes import Scheme

Rule = Literal["peak", "mse", "three-quarters"]

CEILING = 4 / 3
"""Peaks so much larger lead to the next power of two exactly where E2M1 would clip."""
CHUNK = 1 << 18
"""Weights that are searched at a time: what fits a core's cache."""


class Search(Struct, frozen=True, kw_only=True):
    """What the rule ``mse`` tries."""

    steps: int = 100
    shrink: float = 0.8
    """The smallest peak is ``1 - shrink`` of the largest value."""
    exponent: float = 2.4
    """Of the error."""

    @property
    def sizes(self) -> list[float]:
        """Shares of the largest value, falling."""
        return [1 - self.shrink * step / self.steps for step in range(self.steps)]


def scales_by(
    weight: Tensor,
    scheme: Scheme,
    rule: Rule,
    *,
    search: Search | None = None,
    global_scale: Tensor | None = None,
) -> Scales:
    """Return scales of ``weight`` (out, in) found by ``rule``; see the module.

    ``global_scale``: of a two-level scheme, where several layers share one.

    Raises:
        ConfigError: ``three-quarters`` for anything but power-of-two scales.

    """
    if rule == "peak":
        return find_scales(weight, scheme, global_scale=global_scale)
    if rule == "mse":
        return _least_error(weight, scheme, search or Search(), global_scale)
    if scheme.scale_dtype != "e8m0":
        raise ConfigError(
            f"The three-quarters rule is one for power-of-two scales, not {scheme.scale_dtype}.",
            hint="Use it with mxfp4, or choose the rule 'mse'.",
        )
    return Scales(scale=find_scales(weight, scheme).scale / 0.75)


def _least_error(
    weight: Tensor, scheme: Scheme, search: Search, global_scale: Tensor | None
) -> Scales:
    """Search chunk by chunk of rows where rows share no scale with others."""
    whole = find_scales(weight, scheme, global_scale=global_scale)
    if scheme.strategy == "tensor":
        return _search(weight.float(), scheme, search, whole)
    step = scheme.rows or 1
    rows = max(step, CHUNK // weight.shape[1] // step * step)
    parts = [_search(part.float(), scheme, search, whole) for part in torch.split(weight, rows)]
    zeros = [part.zero for part in parts]
    return Scales(
        scale=torch.cat([part.scale for part in parts]),
        zero=torch.cat(cast("list[Tensor]", zeros)) if zeros[0] is not None else None,
        global_scale=whole.global_scale,
    )


def _search(weight: Tensor, scheme: Scheme, search: Search, whole: Scales) -> Scales:
    best, least = None, None
    for scales in _candidates(weight, scheme, search.sizes, whole.global_scale):
        error = _error(weight, quantize(weight, scheme, scales=scales), search.exponent)
        if best is None or least is None:
            best, least = scales, error
            continue
        better = error < least
        best = _chosen(better, scales, best)
        least = torch.where(better, error, least)
    assert best is not None
    return best


def _chosen(better: Tensor, new: Scales, old: Scales) -> Scales:
    zero = None
    if new.zero is not None and old.zero is not None:
        zero = torch.where(better, new.zero, old.zero)
    scale = torch.where(better, new.scale, old.scale)
    return Scales(scale=scale, zero=zero, global_scale=old.global_scale)


def _candidates(
    weight: Tensor, scheme: Scheme, sizes: list[float], shared: Tensor | None
) -> Iterator[Scales]:
    """Yield scales from the largest to the smallest, without repetition for small scale types."""
    ends, narrow = _ends(weight, scheme)
    if scheme.scale_dtype == "e8m0":
        sizes = [CEILING, *sizes]

    def of(size: float) -> Scales:
        return find_scales(ends * size, narrow, global_scale=shared)

    if scheme.scale_dtype not in ("e8m0", "e4m3"):
        return (of(size) for size in sizes)
    distinct = _distinct([of(size).scale for size in sizes])
    return (Scales(scale=scale, global_scale=shared) for scale in distinct)


def _distinct(scales: list[Tensor]) -> list[Tensor]:
    """Push each scale's different values to the front, so that few rounds see all of them.

    Values fall from one to the next; what has fewer than the others repeats its last one.
    """
    stacked = torch.stack(scales)
    changed = torch.ones_like(stacked, dtype=torch.int64)
    changed[1:] = (stacked[1:] != stacked[:-1]).long()
    place = changed.cumsum(0) - 1
    last = stacked[-1:].expand(int(place.max()) + 1, *stacked.shape[1:]).clone()
    return list(last.scatter_(0, place, stacked))


def _ends(weight: Tensor, scheme: Scheme) -> tuple[Tensor, Scheme]:
    """Return two columns per scale that hold its extremes, and the scheme that fits them."""
    if scheme.strategy == "tensor":
        flat = weight.flatten()
        return torch.stack([flat.amin(), flat.amax()])[None], scheme
    grouped = weight.reshape(len(weight), -1, scheme.group or weight.shape[1])
    ends = torch.stack([grouped.amin(-1), grouped.amax(-1)], dim=-1).reshape(len(weight), -1)
    return ends, scheme if scheme.group is None else replace(scheme, group=2)


def _error(weight: Tensor, made: Quantized, exponent: float) -> Tensor:
    """Return the sum of ``|error|^exponent`` in the shape of the scale."""
    scheme = made.scheme
    off = (weight - dequantize(made, torch.float32)).abs_().pow_(exponent)
    if scheme.strategy == "tensor":
        return off.sum().reshape(made.scale.shape)
    sums = off.reshape(len(off), -1, scheme.group or off.shape[1]).sum(-1)
    if scheme.rows is None:
        return sums
    missing = -len(sums) % scheme.rows
    filled = torch.nn.functional.pad(sums, (0, 0, 0, missing))
    return filled.reshape(-1, scheme.rows, sums.shape[1]).sum(1)
