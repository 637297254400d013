"""Checks of kernels for activations: norms and gates against float64, codes against the reference.

What rounds to codes is compared with the reference in plain torch, which rounds as the format
says; norm and SiLU, which give 16-bit numbers, with float64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from msgspec import Struct
from torch import Tensor
from torch.nn import functional

from qbench.kernels.activation import fourbits, gating, norms, quantizing, reference, rotating
from qbench.kernels.checking.bounds import ROUNDED_INPUTS, ROUNDING, elementwise_bound
from qbench.kernels.checking.exact import numbers_of, relative_error
from qbench.kernels.checking.poison import poisoned
from qbench.kernels.checking.values import Checked, Size
from qbench.kernels.formats import E4M3_GROUP, FORMATS
from qbench.kernels.reference import FLOATS
from qbench.kernels.schemes import Element, FloatName, Scheme

EPSILON = 1e-5
BLOCKS = (16, 128)
"""Hadamard blocks that are checked: the least and the largest."""
ELEMENTS: tuple[Element, ...] = ("int8", "e4m3")
FOUR_BITS = ("mxfp4", "nvfp4", "int4-mr")


class Case(Struct, frozen=True, kw_only=True):
    """One way to call a kernel."""

    label: str
    """What it makes: an element, or a format and a rotation."""
    call: Callable[..., Any]
    wanted: Callable[..., Any]
    """Takes the same and returns what must come out."""
    given: tuple[Any, ...]
    bound: float
    scheme: Scheme | None = None
    """Of the codes and scales that come out first; None: 16-bit numbers do."""
    same: bool = False
    """Whether the very bits of the reference must come out."""


def cases(name: str, dtype: FloatName, size: Size, source: torch.Generator) -> Iterator[Case]:
    """Yield the ways to call the kernel called ``name`` on tokens (m, k) of ``size``."""
    x = _tokens(size.m, size.k, dtype, source)
    yield from _CASES[name](x, dtype, source)


def _tokens(m: int, k: int, dtype: FloatName, source: torch.Generator) -> Tensor:
    """Draw tokens as layers give them: a few columns are much larger than the others."""
    x = torch.randn(m, k, device=source.device, generator=source)
    x[:, :: max(1, k // 3)] *= 20
    return x.to(FLOATS[dtype])


def _scheme(element: Element) -> Scheme:
    return reference.TOKEN_SCHEMES[element]


def _quantize_tokens(x: Tensor, dtype: FloatName, source: torch.Generator) -> Iterator[Case]:
    del dtype, source
    for element in ELEMENTS:
        yield Case(
            label=element,
            call=quantizing.quantize_tokens,
            wanted=reference.quantize_tokens,
            given=(x, element),
            bound=ROUNDED_INPUTS,
            scheme=_scheme(element),
            same=True,
        )


def _quantize_groups(x: Tensor, dtype: FloatName, source: torch.Generator) -> Iterator[Case]:
    del dtype, source
    yield Case(
        label="e4m3",
        call=quantizing.quantize_groups,
        wanted=reference.quantize_groups,
        given=(x,),
        bound=ROUNDED_INPUTS,
        scheme=E4M3_GROUP,
        same=True,
    )


def _rotate_quantize(x: Tensor, dtype: FloatName, source: torch.Generator) -> Iterator[Case]:
    del dtype, source
    for block in BLOCKS:
        for element in ELEMENTS:
            yield Case(
                label=f"{element}, blocks of {block}",
                call=rotating.rotate_quantize,
                wanted=reference.rotate_quantize,
                given=(x, block, element),
                bound=ROUNDED_INPUTS,
                scheme=_scheme(element),
            )


def _rotate_round(x: Tensor, dtype: FloatName, source: torch.Generator) -> Iterator[Case]:
    del source
    for block in (None, *BLOCKS):
        for name in FOUR_BITS:
            scheme = FORMATS[name].activations
            yield Case(
                label=name if block is None else f"{name}, blocks of {block}",
                call=fourbits.rotate_round,
                wanted=reference.rotate_round,
                given=(x, block, scheme),
                bound=ROUNDED_INPUTS + ROUNDING[dtype],
                same=block is None,
            )


def _norm(x: Tensor, dtype: FloatName, source: torch.Generator) -> Iterator[Case]:
    gain = _gain(x, source)
    yield Case(
        label="alone",
        call=norms.norm,
        wanted=exact_norm,
        given=(x, gain, EPSILON),
        bound=elementwise_bound(dtype, 2),
    )
    yield Case(
        label="with a residual",
        call=norms.norm,
        wanted=exact_norm,
        given=(x, gain, EPSILON, _like(x, source)),
        bound=elementwise_bound(dtype, 3),
    )


def _norm_quantize(x: Tensor, dtype: FloatName, source: torch.Generator) -> Iterator[Case]:
    del dtype
    for element in ELEMENTS:
        yield Case(
            label=element,
            call=norms.norm_quantize,
            wanted=reference.norm_quantize,
            given=(x, _gain(x, source), EPSILON, element, _like(x, source)),
            bound=ROUNDED_INPUTS,
            scheme=_scheme(element),
        )


def _silu_multiply(x: Tensor, dtype: FloatName, source: torch.Generator) -> Iterator[Case]:
    yield Case(
        label="",
        call=gating.silu_multiply,
        wanted=exact_gate,
        given=(torch.cat([x, _like(x, source)], dim=1),),
        bound=elementwise_bound(dtype, 2),
    )


def _silu_quantize(x: Tensor, dtype: FloatName, source: torch.Generator) -> Iterator[Case]:
    del dtype
    for element in ELEMENTS:
        yield Case(
            label=element,
            call=gating.silu_quantize,
            wanted=reference.silu_quantize,
            given=(torch.cat([x, _like(x, source)], dim=1), element),
            bound=ROUNDED_INPUTS,
            scheme=_scheme(element),
        )


_CASES: dict[str, Callable[[Tensor, FloatName, torch.Generator], Iterator[Case]]] = {
    "quantize_tokens": _quantize_tokens,
    "quantize_groups": _quantize_groups,
    "rotate_quantize": _rotate_quantize,
    "rotate_round": _rotate_round,
    "norm": _norm,
    "norm_quantize": _norm_quantize,
    "silu_multiply": _silu_multiply,
    "silu_quantize": _silu_quantize,
}


def _gain(x: Tensor, source: torch.Generator) -> Tensor:
    gain = torch.rand(x.shape[1], device=x.device, generator=source) + 0.5
    return gain.to(x.dtype)


def _like(x: Tensor, source: torch.Generator) -> Tensor:
    return torch.randn(x.shape, device=x.device, generator=source).to(x.dtype)


def exact_norm(
    x: Tensor, gain: Tensor, epsilon: float, residual: Tensor | None = None
) -> Tensor | tuple[Tensor, Tensor]:
    """Return ``norm`` in float64."""
    total = x.double() if residual is None else x.double() + residual.double()
    root = torch.rsqrt(total.pow(2).mean(-1, keepdim=True) + epsilon)
    made = gain.double() * total * root
    return made if residual is None else (made, total)


def exact_gate(gate_up: Tensor) -> Tensor:
    """Return ``silu_multiply`` in float64."""
    gate, up = gate_up.double().chunk(2, dim=-1)
    return functional.silu(gate) * up


def check_case(name: str, case: Case, dtype: FloatName, size: Size) -> Checked:
    """Check one way to call a kernel. Raises what the kernel raises."""
    with poisoned():
        first = _tuple(case.call(*case.given))
        again = _tuple(case.call(*case.given))
    wanted = _tuple(case.wanted(*case.given))
    numbers, exact = _numbers(first, case.scheme), _numbers(wanted, case.scheme)
    written = all(bool(torch.isfinite(one).all()) for one in numbers)
    error = max(relative_error(*pair) for pair in zip(numbers, exact, strict=True))
    return Checked(
        kernel=name,
        format=case.label,
        dtype=dtype,
        size=size,
        error=error if written else None,
        bound=case.bound,
        written=written,
        exact=_same(first, wanted) if case.same else None,
        repeats=_same(first, again),
    )


def _tuple(made: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (made,) if isinstance(made, Tensor) else tuple(made)


def _numbers(made: tuple[Tensor, ...], scheme: Scheme | None) -> list[Tensor]:
    """Return what came out as float64 numbers, codes with their scales as one."""
    if scheme is None:
        return [one.double() for one in made]
    codes, scale, *rest = made
    return [numbers_of(codes, scale, scheme), *(one.double() for one in rest)]


def _same(one: tuple[Tensor, ...], other: tuple[Tensor, ...]) -> bool:
    """Compare numbers, so that both zeros are one; NaN equals nothing."""
    pairs = zip(one, other, strict=True)
    return all(torch.equal(a.double(), b.double()) for a, b in pairs)
