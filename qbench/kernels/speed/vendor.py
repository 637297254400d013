"""torch's own products as contestants: cuBLAS for bfloat16, ``_scaled_mm`` and ``_int_mm``.

``scaled_mm`` is timed from codes alone and, as ``whole``, after torch's own operators have rounded
the activations one by one. ``_int_mm`` gives sums in int32 that nothing has scaled: its time is
that of the product and no more, so it is named ``int_mm unscaled``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from qbench.kernels.checking.exact import quantized_weight
from qbench.kernels.formats import Format
from qbench.kernels.reference import Quantized
from qbench.kernels.speed.contestant import Contestant, Product

INT_MM_ROWS = 17
"""``_int_mm`` refuses fewer rows of x on CUDA."""
E4M3_LARGEST = 448.0


def cublas(fmt: Format, weight: Tensor) -> Product | None:
    """Return the bfloat16 product."""
    if fmt.quantized or fmt.storage != "bfloat16" or fmt.arithmetic is not None:
        return None
    turned = weight.T
    return lambda x: torch.mm(x, turned)


def _channels(fmt: Format, weight: Tensor, element: str) -> Quantized | None:
    """Return a weight of one scale per channel with activations per token; else None."""
    weights, inputs = fmt.weights, fmt.activations
    if weights is None or inputs is None or fmt.rotation is not None:
        return None
    wanted = (weights.element, weights.strategy, inputs.element, inputs.strategy)
    if wanted != (element, "channel", element, "token"):
        return None
    return quantized_weight(fmt, weight)


def row_codes(_: Format, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return E4M3 codes of x (M, K) and float32 scales (M, 1), by torch's operators."""
    scale = x.abs().amax(dim=1, keepdim=True).float().clamp_min(1e-12) / E4M3_LARGEST
    return (x / scale).clamp(-E4M3_LARGEST, E4M3_LARGEST).to(torch.float8_e4m3fn), scale


def tensor_codes(_: Format, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return E4M3 codes of x (M, K) and one float32 scale, by torch's operators."""
    scale = x.abs().amax().float().clamp_min(1e-12) / E4M3_LARGEST
    return (x / scale).clamp(-E4M3_LARGEST, E4M3_LARGEST).to(torch.float8_e4m3fn), scale


def row_product(fmt: Format, weight: Tensor) -> Product | None:
    """Return ``_scaled_mm`` with a scale per token and per channel, from ``row_codes``."""
    found = _channels(fmt, weight, "e4m3")
    if found is None:
        return None
    codes, scale = found.codes.T, found.step.reshape(1, -1).contiguous()
    return lambda inputs: _scaled(inputs, codes, scale)


def tensor_product(fmt: Format, weight: Tensor) -> Product | None:
    """Return ``_scaled_mm`` with one scale on either side, from ``tensor_codes``."""
    if _channels(fmt, weight[:1], "e4m3") is None:
        return None
    codes, scale = tensor_codes(fmt, weight)
    return lambda inputs: _scaled(inputs, codes.T, scale)


def _scaled(inputs: tuple[Tensor, Tensor], weight: Tensor, weight_scale: Tensor) -> Tensor:
    codes, scale = inputs
    return torch._scaled_mm(  # noqa: SLF001 - torch's name for it
        codes,
        weight,
        scale_a=scale,
        scale_b=weight_scale,
        out_dtype=torch.bfloat16,
        use_fast_accum=True,
    )


def int_product(fmt: Format, weight: Tensor) -> Product | None:
    """Return ``_int_mm`` from ``int_codes``: int32 sums that nothing has scaled."""
    found = _channels(fmt, weight, "int8")
    if found is None:
        return None
    codes = found.codes.T
    return lambda inputs: torch._int_mm(inputs[0], codes)  # noqa: SLF001 - torch's name for it


def int_codes(_: Format, x: Tensor) -> tuple[Tensor, Tensor] | None:
    """Return int8 codes of x (M, K) and float32 scales (M, 1); None for too few rows."""
    if len(x) < INT_MM_ROWS:
        return None
    scale = x.abs().amax(dim=1, keepdim=True).float().clamp_min(1e-12) / 127.5
    return (x / scale).round().clamp(-128, 127).to(torch.int8), scale


def int_scaled(fmt: Format, weight: Tensor, inputs: Any, sums: Tensor) -> Tensor:
    """Return what ``int_product`` leaves to do, for its error: sums times both scales."""
    found = quantized_weight(fmt, weight)
    assert found is not None
    scale: Tensor = inputs[1]
    return sums.double() * scale.double() * found.step.reshape(1, -1).double()


def _after(
    codes: Callable[[Format, Tensor], tuple[Tensor, Tensor]],
    make: Callable[[Format, Tensor], Product | None],
) -> Callable[[Format, Tensor], Product | None]:
    """Return a maker of products from 16-bit inputs, rounded by ``codes``."""

    def whole(fmt: Format, weight: Tensor) -> Product | None:
        alone = make(fmt, weight)
        return None if alone is None else lambda x: alone(codes(fmt, x))

    return whole


CONTESTANTS = (
    Contestant(name="cublas", make=cublas),
    Contestant(name="scaled_mm row", make=row_product, part="product", prepare=row_codes),
    Contestant(name="scaled_mm tensor", make=tensor_product, part="product", prepare=tensor_codes),
    Contestant(name="scaled_mm row", make=_after(row_codes, row_product)),
    Contestant(name="scaled_mm tensor", make=_after(tensor_codes, tensor_product)),
    Contestant(
        name="int_mm unscaled",
        make=int_product,
        part="product",
        prepare=int_codes,
        finish=int_scaled,
    ),
)
