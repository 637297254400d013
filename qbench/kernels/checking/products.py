"""Checks of a product: near to float64, exact on one-hot inputs, all written, the same twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from msgspec import Struct
from torch import Tensor

from qbench.kernels.checking.bounds import ROUNDING, product_bound
from qbench.kernels.checking.exact import exact_weight, numbers_of, relative_error
from qbench.kernels.checking.poison import poisoned
from qbench.kernels.checking.values import Checked, Size
from qbench.kernels.formats import Format
from qbench.kernels.reference import FLOATS, dequantize, quantize
from qbench.kernels.schemes import FloatName
from qbench.kernels.speed.contestant import Product
from qbench.kernels.speed.work import rounds_inputs

WEIGHT_SIZE = 0.02
"""Standard deviation of weights, as models have them."""
PROBES = 256
"""One-hot inputs, spread over all columns; fewer where a product has few rows."""
SLOP = 2**-10
"""Of half a last place: what float32 steps before the one rounding may add to it."""
_LEAST_EXPONENT = {"bfloat16": -126, "float16": -14, "float32": -126}

Make = Callable[[Format, Tensor], Product | None]
"""Maps a format and a weight (N, K) to its product, from x (M, K) in 16 bits; where the format
rounds inputs to 8 bits, from ``(codes, scale, dtype)``."""


class Trial(Struct, frozen=True, kw_only=True):
    """What a product is checked with: a format fitted to the size, random weight and inputs."""

    kernel: str
    format: Format
    dtype: FloatName
    size: Size
    weight: Tensor
    """(N, K) float32: rounded by the format alone."""
    x: Tensor
    """(M, K) in ``dtype``."""
    cut: bool = False
    """Whether 16-bit numbers are cut, not rounded: Triton's interpreter does so with bfloat16."""
    rounds: bool = False
    """Whether the product rounds its inputs to the format's 4 bits itself."""


def drawn(kernel: str, fmt: Format, dtype: FloatName, size: Size, source: torch.Generator) -> Trial:
    """Draw a trial: normally distributed, one token and one row of the weight much larger."""
    device = source.device
    weight = torch.randn(size.n, size.k, device=device, generator=source) * WEIGHT_SIZE
    x = torch.randn(size.m, size.k, device=device, generator=source)
    weight[size.n // 2] *= 30
    x[size.m // 2] *= 30
    if fmt.weights is None:
        weight = weight.to(FLOATS[dtype]).float()
    return Trial(
        kernel=kernel, format=fmt, dtype=dtype, size=size, weight=weight, x=x.to(FLOATS[dtype])
    )


def check_product(make: Make, trial: Trial) -> Checked | None:
    """Check a product; None where ``make`` has none for the format. Raises what it raises."""
    product = make(trial.format, trial.weight)
    if product is None:
        return None
    given, numbers = _inputs(trial)
    exact = exact_weight(trial.format, trial.weight)
    with poisoned():
        first = product(given)
        again = product(given)
    error = relative_error(first, numbers @ exact.T)
    written = bool(torch.isfinite(first).all())
    return Checked(
        kernel=trial.kernel,
        format=trial.format.effective_name,
        dtype=trial.dtype,
        size=trial.size,
        error=error if written else None,
        bound=product_bound(trial.format, trial.dtype, trial.size.k, cut=trial.cut),
        written=written,
        exact=columns_are_exact(product, trial, exact),
        repeats=torch.equal(first.view(torch.int16), again.view(torch.int16)),
    )


def _inputs(trial: Trial) -> tuple[Any, Tensor]:
    """Return what the product takes, and its numbers in float64."""
    scheme = trial.format.activations
    if scheme is not None and trial.rounds:
        return trial.x, dequantize(quantize(trial.x, scheme), torch.float32).double()
    if scheme is None or not rounds_inputs(trial.format):
        return trial.x, trial.x.double()
    made = quantize(trial.x, scheme)
    numbers = numbers_of(made.codes, made.step, scheme)
    return (made.codes, made.step, FLOATS[trial.dtype]), numbers


def columns_are_exact(product: Product, trial: Trial, exact: Tensor) -> bool:
    """Tell whether one-hot inputs give columns of the weight (N, K), each rounded once.

    Where a number fits the type, as with scales that are powers of two, it must come out as it
    is; where it does not, within half a last place.
    """
    columns = _probed(trial.size)
    for some in columns.split(trial.size.m):
        with poisoned():
            made = product(_one_hot(trial, some))
        if not rounded_once(made[: len(some)], exact[:, some].T, trial.dtype, cut=trial.cut):
            return False
    return True


def _probed(size: Size) -> Tensor:
    """Return the columns that are probed: spread over all, the first and the last among them."""
    most = min(size.k, PROBES, 8 * size.m)
    found: Tensor = torch.linspace(0, size.k - 1, most, dtype=torch.float64).round().long().unique()
    return found


def _one_hot(trial: Trial, columns: Tensor) -> Any:
    """Return inputs whose row i is 1 at ``columns[i]`` and 0 elsewhere, as the product takes."""
    size, scheme = trial.size, trial.format.activations
    device, rows = trial.x.device, torch.arange(len(columns))
    hot = torch.zeros(size.m, size.k, device=device)
    hot[rows, columns] = 1.0
    if scheme is None or not rounds_inputs(trial.format):
        return hot.to(trial.x.dtype)
    codes = hot.to(torch.int8 if scheme.element == "int8" else torch.float8_e4m3fn)
    scales = size.k // scheme.group if scheme.group else 1
    return codes, torch.ones(size.m, scales, device=device), FLOATS[trial.dtype]


def rounded_once(made: Tensor, exact: Tensor, dtype: FloatName, *, cut: bool = False) -> bool:
    """Tell whether ``made`` is ``exact`` (float64) where that fits ``dtype``, else its neighbour.

    NaN is neither. ``cut``: the neighbour may be a whole last place away.
    """
    got = made.double()
    fits = exact.to(FLOATS[dtype]).double() == exact
    exponents = torch.frexp(exact)[1] - 1
    lowest = torch.full_like(exponents, _LEAST_EXPONENT[dtype])
    half = torch.ldexp(torch.full_like(exact, ROUNDING[dtype]), torch.maximum(exponents, lowest))
    near = (got - exact).abs() <= half * (1 + SLOP) * (2 if cut else 1)
    return bool(torch.where(fits, got == exact, near).all())
