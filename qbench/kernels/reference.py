"""What quantization means, exactly: the arithmetic every faster path is tested against.

Conventions of compressed-tensors, rounded to nearest even:

============ =========================== ==========================================
element      scale of a group            codes
============ =========================== ==========================================
int b        peak / ((2^b - 1) / 2)      -2^(b-1) .. 2^(b-1)-1
int b, zero  (max - min) / (2^b - 1)     the same, the zero point among them
e4m3         peak / 448                  E4M3, saturating
e2m1         peak / 6                    E2M1, saturating
nf4          peak                        nearest of 16 quantiles (arXiv 2305.14314)
============ =========================== ==========================================

Scales that are powers of two (E8M0) are ``2^(floor(log2 peak) - emax)``, emax being the exponent
of the element's largest number (OCP MX v1.0, 6.3), for E2M1. For E4M3 they are the least power
that does not saturate the peak, as kernels round them (arXiv 2506.08027): the OCP rule clips peaks
by up to an eighth, and doubles the divergence of a model.

Scales in E4M3 (NVFP4) lie below a float32 global scale ``g = 448 * 6 / peak of the tensor``: what
is stored is ``e4m3(scale * g)``, what is multiplied is that divided by g.

Two choices of ours, both towards what GPU kernels do:

- Quotients and products are computed in float32 and rounded once. (compressed-tensors divides in
  the weight's own type; in bfloat16 that rounds int8 twice.)
- A scale is rounded to ``Scheme.scale_dtype`` *before* codes are made, so codes fit the scale that
  is kept. Weight scales are bfloat16, the type in which checkpoints hold the weights. Activation
  scales are float32: they are never stored, and kernels keep them so.

Scales have a floor (the smallest number of their type that divides safely), so rows of zeros give
zeros.
"""

from __future__ import annotations

from typing import Any

import torch
from msgspec import Struct
from torch import Tensor

from qbench.errors import EngineError, Unsupported
from qbench.kernels import floats
from qbench.kernels.floats import E2M1, E4M3, NF4, decode, encode, round_to
from qbench.kernels.schemes import ELEMENT_BITS, Element, FloatName, ScaleName, Scheme

FLOATS: dict[FloatName, torch.dtype] = {
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "float32": torch.float32,
}
_DIVISORS: dict[Element, float] = {
    "int8": 127.5,
    "int4": 7.5,
    "int3": 3.5,
    "int2": 1.5,
    "e4m3": E4M3.largest,
    "e2m1": E2M1.largest,
    "nf4": 1.0,
}
SMALL_FLOATS: dict[Element, floats.Grid | floats.Levels] = {"e2m1": E2M1, "nf4": NF4}
"""Elements whose codes are indices into a table."""
_LARGEST_EXPONENT: dict[Element, int] = {"e4m3": 8, "e2m1": 2}
_FLOORS: dict[ScaleName, float] = {
    "bfloat16": 2**-126,
    "float16": 2**-24,
    "float32": 2**-126,
    "e8m0": 2**-127,
    "e4m3": 2**-9,
}


class Quantized(Struct, frozen=True, kw_only=True):
    """A quantized tensor of shape (..., columns)."""

    codes: Tensor
    """Shape of the tensor. int8 for integers, float8_e4m3fn for e4m3, uint8 for e2m1 and nf4."""
    scale: Tensor
    """In the scheme's scale type (small floats as float32 numbers). (..., 1) by channel or token,
    (..., groups), (row blocks, groups), or all ones."""
    scheme: Scheme
    zero: Tensor | None = None
    """Zero points, int8, in the shape of ``scale``; None where symmetric."""
    global_scale: Tensor | None = None
    """g of a two-level scheme: one number, or (..., 1) where ``dynamic``. None elsewhere."""

    @property
    def step(self) -> Tensor:
        """What a code is multiplied by, float32, in the shape of ``scale``."""
        return self.scale.float() if self.global_scale is None else self.scale / self.global_scale


class Scales(Struct, frozen=True, kw_only=True):
    """Scales found for a tensor, before codes are made with them."""

    scale: Tensor
    zero: Tensor | None = None
    global_scale: Tensor | None = None


def quantize(
    values: Tensor, scheme: Scheme, *, scale: Tensor | None = None, scales: Scales | None = None
) -> Quantized:
    """Return codes and scales of ``values`` (out, in) or (..., columns), found from their peaks.

    Given ``scales`` (or a plain ``scale``) are used instead. Needs one float32 copy of ``values``.

    Raises:
        EngineError: NaN, infinity, or a peak so large that its dequantized value may overflow.
        Unsupported: groups that do not divide the columns.

    """
    found = scales or (Scales(scale=scale) if scale is not None else find_scales(values, scheme))
    made = Quantized(codes=values, scheme=scheme, **_parts(found))
    quotient = _grouped(values.to(torch.float32, copy=True), scheme)
    quotient.div_(_spread(made.step, values, scheme))
    if found.zero is not None:
        quotient.round_().add_(_spread(found.zero.float(), values, scheme))
    codes = _codes(quotient, scheme.element).reshape(values.shape)
    return Quantized(codes=codes, scheme=scheme, **_parts(found))


def _parts(found: Scales) -> dict[str, Any]:
    return {"scale": found.scale, "zero": found.zero, "global_scale": found.global_scale}


def dequantize(quantized: Quantized, dtype: torch.dtype) -> Tensor:
    """Return (code - zero point) x scale, rounded once to ``dtype``, in the shape of the codes."""
    scheme, codes = quantized.scheme, quantized.codes
    wide = _grouped(_numbers(codes, scheme.element), scheme)
    if quantized.zero is not None:
        wide.sub_(_spread(quantized.zero.float(), codes, scheme))
    product = wide.mul_(_spread(quantized.step, codes, scheme))
    return product.to(dtype).reshape(codes.shape)


def fake_quantize(
    values: Tensor,
    scheme: Scheme,
    *,
    global_scale: Tensor | None = None,
    checked: bool = True,
) -> Tensor:
    """Return what ``dequantize(quantize(values, scheme), values.dtype)`` does, without codes.

    For activations, (..., columns), each token scaled by its own peak. ``global_scale``: of a
    two-level scheme whose checkpoint brings a calibrated one. Raises as ``quantize``; unless
    ``checked``, NaN and infinity become NaN instead, and nothing waits for a GPU.
    """
    if values.numel() == 0:
        return values
    if not scheme.symmetric:
        return dequantize(quantize(values, scheme), values.dtype)
    found = find_scales(values, scheme, global_scale=global_scale, checked=checked)
    step = Quantized(codes=values, scheme=scheme, **_parts(found)).step
    scale = _spread(step, values, scheme)
    wide = _grouped(values.to(torch.float32, copy=True), scheme)
    rounded = _rounded(wide.div_(scale), scheme.element)
    return rounded.mul_(scale).to(values.dtype).reshape(values.shape)


def find_scales(
    values: Tensor,
    scheme: Scheme,
    *,
    global_scale: Tensor | None = None,
    checked: bool = True,
) -> Scales:
    """Return the scales of ``values``, in the scheme's scale type; see the module's table.

    ``global_scale``: of a two-level scheme, where it is given and not found from the peak.
    ``checked``: whether values too large to be scaled are refused.
    """
    if not scheme.symmetric:
        return _with_zero(values, scheme)
    peaks = _peaks(values, scheme)
    if checked:
        _refuse_overflow(peaks)
    wide = _over(peaks.float(), _DIVISORS[scheme.element])
    if scheme.two_level:
        return _two_levels(values, wide, scheme, global_scale)
    if scheme.scale_dtype == "e8m0":
        return Scales(scale=_power_of_two(peaks.float(), scheme.element))
    kept = FLOATS[scheme.scale_dtype]  # type: ignore[index] # small floats were answered above
    return Scales(scale=wide.to(kept).clamp_min_(_FLOORS[scheme.scale_dtype]))


def _peaks(values: Tensor, scheme: Scheme) -> Tensor:
    """Return the largest magnitude of what shares a scale, in the shape of the scale."""
    sizes = values.abs()
    if scheme.strategy == "tensor":
        return sizes.amax().view((1,) * values.ndim)
    if scheme.rows is not None:
        sizes = _blocks(sizes, scheme.rows).amax(dim=-2)
    return _grouped(sizes, scheme).amax(dim=-1, keepdim=scheme.group is None)


def _over(values: Tensor, divisor: float) -> Tensor:
    """Return the correctly rounded quotient: GPUs multiply by 1 / divisor where it is a number."""
    return values / torch.full((), divisor, dtype=values.dtype, device=values.device)


def _blocks(values: Tensor, rows: int) -> Tensor:
    """Return (out, in) as (row blocks, rows, in), the last block filled with zeros."""
    missing = -values.shape[0] % rows
    filled = torch.nn.functional.pad(values, (0, 0, 0, missing)) if missing else values
    return filled.reshape(-1, rows, values.shape[1])


def _with_zero(values: Tensor, scheme: Scheme) -> Scales:
    """Return scales and zero points of integers; zero itself is always a code."""
    grouped = _grouped(values.float(), scheme)
    keep = scheme.group is None
    low = grouped.amin(dim=-1, keepdim=keep).clamp_max_(0)
    high = grouped.amax(dim=-1, keepdim=keep).clamp_min_(0)
    _refuse_overflow(torch.maximum(-low, high).to(values.dtype))
    bits = ELEMENT_BITS[scheme.element]
    scale = _over(high - low, (1 << bits) - 1).to(FLOATS[scheme.scale_dtype])  # type: ignore[index]
    scale = scale.clamp_min_(_FLOORS[scheme.scale_dtype])
    half = 1 << (bits - 1)
    zero = (-half - low / scale.float()).round_().clamp_(-half, half - 1)
    return Scales(scale=scale, zero=zero.to(torch.int8))


def _power_of_two(peaks: Tensor, element: Element) -> Tensor:
    """Return the E8M0 scale of each peak in float32, E8M0's smallest for zeros; see the module."""
    mantissas, exponents = torch.frexp(peaks)  # peak = m * 2^e with m in [1/2, 1)
    powers = exponents - 1 - _LARGEST_EXPONENT[element]
    if element == "e4m3":
        powers = powers + (mantissas > 1.75 / 2)  # 448 = 1.75 * 2^8
    powers = torch.where(peaks > 0, powers.clamp(-127, 127), -127)
    bits = torch.where(powers < -126, 1 << 22, (powers + 127) << 23)  # 2^-127 is subnormal
    return bits.to(torch.int32).view(torch.float32)


def _two_levels(
    values: Tensor, wide: Tensor, scheme: Scheme, global_scale: Tensor | None
) -> Scales:
    """Return E4M3 scales below a float32 one: of the tensor, or of each token where dynamic."""
    if global_scale is None:
        top = E4M3.largest * _DIVISORS[scheme.element]
        sizes = values.abs().float()
        peak = sizes.amax(dim=-1, keepdim=True) if scheme.dynamic else sizes.amax()
        global_scale = top / peak.clamp_min(_FLOORS["float32"] * top)
    scale = round_to(wide * global_scale, E4M3).clamp_min_(_FLOORS["e4m3"])
    return Scales(scale=scale, global_scale=global_scale)


def _refuse_overflow(peaks: Tensor) -> None:
    """Refuse NaN, infinity, and peaks whose code times scale could pass the type's largest."""
    largest = torch.finfo(peaks.dtype).max
    peak = float(peaks.max())
    if not peak <= 0.9 * largest:
        raise EngineError(
            f"Values to be quantized peak at {peak}, and {peaks.dtype} ends at {largest:.3g}.",
            hint="The checkpoint is damaged, or needs a wider type: compare with --formats fp32.",
        )


def _grouped(values: Tensor, scheme: Scheme) -> Tensor:
    """Return ``values`` with their columns split into (groups, group), where the scheme has any."""
    if scheme.group is None:
        return values
    columns = values.shape[-1]
    if columns % scheme.group:
        raise Unsupported(
            f"Groups of {scheme.group} do not divide {columns} columns.",
            hint="Fit the format to the layer first: qbench.kernels.formats.fitted.",
        )
    return values.reshape(*values.shape[:-1], -1, scheme.group)


def _spread(scale: Tensor, values: Tensor, scheme: Scheme) -> Tensor:
    """Return ``scale`` shaped to multiply grouped values."""
    if scheme.rows is not None:
        scale = scale.repeat_interleave(scheme.rows, dim=0)[: values.shape[0]]
    return scale if scheme.group is None else scale.unsqueeze(-1)


def _numbers(codes: Tensor, element: Element) -> Tensor:
    """Return the float32 numbers that codes stand for, before any scale."""
    if element in SMALL_FLOATS:
        return decode(codes, SMALL_FLOATS[element])
    return codes.to(torch.float32)


def _rounded(quotient: Tensor, element: Element) -> Tensor:
    """Round to the element's values and saturate; overwrites ``quotient`` where it can."""
    if element == "e4m3":
        return _e4m3(quotient).to(torch.float32)
    if element in SMALL_FLOATS:
        return round_to(quotient, SMALL_FLOATS[element])
    return _integers(quotient, element)


def _codes(quotient: Tensor, element: Element) -> Tensor:
    """Return the codes of ``quotient``, which is overwritten."""
    if element == "e4m3":
        return _e4m3(quotient)
    if element in SMALL_FLOATS:
        return encode(quotient, SMALL_FLOATS[element])
    return _integers(quotient, element).to(torch.int8)


def _e4m3(quotient: Tensor) -> Tensor:
    """Torch's conversion does not saturate, so clamp first; it then equals ``floats.encode``."""
    largest = _DIVISORS["e4m3"]
    return quotient.clamp_(-largest, largest).to(torch.float8_e4m3fn)


def _integers(quotient: Tensor, element: Element) -> Tensor:
    """Round in place to integers of two's complement."""
    half = 1 << (ELEMENT_BITS[element] - 1)
    return quotient.round_().clamp_(-half, half - 1)
