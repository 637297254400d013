"""Rotation, if any, and rounding to 4 bits in groups: MXFP4, NVFP4 and int4, in one pass.

``rotate_round`` gives back 16-bit numbers that lie on the format's grid, for GPUs that multiply in
16 bits; ``rotate_pack`` gives codes and scales, for GPUs that multiply 4-bit floats. I/O: 2 bytes
read per value, and 2 or about 0.56 written.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from qbench.errors import Unsupported
from qbench.kernels.activation.launch import (
    early,
    options,
    programs,
    require,
    require_element,
    rotation_warps,
    rows,
    stages,
)
from qbench.kernels.activation.rotating import refuse_block
from qbench.kernels.activation.rounding import (
    e2m1,
    e2m1_code,
    e4m3_scale,
    narrowed,
    quotient,
    reciprocal,
    start,
    through,
    token_step,
    whole_bits,
)
from qbench.kernels.activation.turning import largest, pieces, placed, scaled, signs, turned
from qbench.kernels.schemes import ScaleName, Scheme

_KINDS: dict[tuple[str, ScaleName, int | None], str] = {
    ("e2m1", "e8m0", 32): "mx",
    ("e2m1", "e4m3", 16): "nv",
    ("int4", "float32", 32): "int",
}
_SCALES = {"mx": torch.uint8, "nv": torch.float8_e4m3fn, "int": torch.float32}


class FourBits(NamedTuple):
    """Tokens (M, K) as 4-bit codes."""

    codes: Tensor
    """(M, K / 2) uint8: even columns in the low half. E2M1, or two's complement."""
    scale: Tensor
    """(M, K / group): E8M0 exponents as uint8, E4M3, or float32."""
    factor: Tensor | None
    """(M, 1) float32 that ``scale`` is divided by (NVFP4); None elsewhere."""


def rotate_round(
    x: Tensor, block: int | None, scheme: Scheme, *, shared: Tensor | None = None
) -> Tensor:
    """Return ``fake_quantize(rotate(x, block), scheme)``, (M, K) in the type of ``x``.

    Without a block equal to the reference bit for bit; with one as close as ``rotate_quantize``.
    ``shared``: NVFP4's global scale, one float32 number on the device, where calibration found it;
    else each token has its own.

    Raises:
        Unsupported: another scheme than the three; columns that its groups or the blocks do not
            divide; see also ``launch.require``.

    """
    kind = _kind(x, block, scheme)
    made = torch.empty_like(x)
    _start(x, made, made, shared, block, kind, packed=False)
    return made


def rotate_pack(x: Tensor, block: int | None, scheme: Scheme) -> FourBits:
    """Return the codes and scales that ``rotate_round`` multiplies. Raises as it does."""
    kind = _kind(x, block, scheme)
    require_element(x, "e4m3" if kind == "nv" else "int8")
    (tokens, columns), device = x.shape, x.device
    codes = torch.empty(tokens, columns // 2, dtype=torch.uint8, device=device)
    groups = columns // (scheme.group or columns)
    scale = torch.empty(tokens, groups, dtype=_SCALES[kind], device=device)
    factor = torch.empty(tokens, 1, dtype=torch.float32, device=device) if kind == "nv" else None
    _start(x, codes, scale, factor, block, kind, packed=True)
    return FourBits(codes=codes, scale=scale, factor=factor)


def _kind(x: Tensor, block: int | None, scheme: Scheme) -> str:
    if block is not None:
        refuse_block(x, block)
    kind = _KINDS.get((scheme.element, scheme.scale_dtype, scheme.group))
    if kind is None or not scheme.symmetric or x.shape[-1] % (scheme.group or 1):
        raise Unsupported(
            f"No program rounds {x.shape[-1]} columns to {scheme.element} in groups of "
            f"{scheme.group} with {scheme.scale_dtype} scales.",
            hint="Use activations of mxfp4, nvfp4 or int4-mr, and columns in whole groups.",
        )
    require(x)
    return kind


def _start(
    x: Tensor,
    made: Tensor,
    scale: Tensor,
    factor: Tensor | None,
    block: int | None,
    kind: str,
    *,
    packed: bool,
) -> None:
    tokens, columns = x.shape
    _four_bits[(programs(x, each=8),)](
        x,
        made,
        scale,
        scale if factor is None else factor,
        tokens,
        columns,
        rows(columns),
        block or 0,
        kind,
        packed,
        factor is not None and not packed,
        stages(x),
        early(x),
        num_warps=rotation_warps(columns, values=64),
        **options(x),
    )


@triton.jit
def _four_bits(
    x,
    made,
    scale,
    factor,
    tokens,
    COLUMNS: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
    KIND: tl.constexpr,
    PACKED: tl.constexpr,
    SHARED: tl.constexpr,
    STAGES: tl.constexpr,
    EARLY: tl.constexpr,
):
    columns = placed(ROWS)
    dtype: tl.constexpr = x.dtype.element_ty
    matrix = signs(128 if BLOCK == 0 else BLOCK, dtype)
    start(EARLY)
    for each in tl.range(tl.program_id(0), tokens, tl.num_programs(0), num_stages=STAGES):
        token = tl.cast(each, tl.int64)
        a, b, c, d = pieces(x + token * COLUMNS, columns, COLUMNS)
        if BLOCK > 0:
            a, b, c, d = turned(a, b, c, d, matrix, BLOCK)
            a, b = through(scaled(a, BLOCK), dtype), through(scaled(b, BLOCK), dtype)
            c, d = through(scaled(c, BLOCK), dtype), through(scaled(d, BLOCK), dtype)
        else:
            a, b, c, d = a.to(tl.float32), b.to(tl.float32), c.to(tl.float32), d.to(tl.float32)
        top = 1.0
        if KIND == "nv" and SHARED:
            top = tl.load(factor)
        elif KIND == "nv":
            peak = tl.maximum(largest(a, b, c, d), 2688.0 * 1.1754943508222875e-38)
            top = reciprocal(peak) * 2688.0
            if PACKED:
                tl.store(factor + token, top)
        _piece(a, 0, made, scale, token, top, dtype, COLUMNS, ROWS, KIND, PACKED)
        _piece(b, 1, made, scale, token, top, dtype, COLUMNS, ROWS, KIND, PACKED)
        _piece(c, 2, made, scale, token, top, dtype, COLUMNS, ROWS, KIND, PACKED)
        _piece(d, 3, made, scale, token, top, dtype, COLUMNS, ROWS, KIND, PACKED)


@triton.jit
def _piece(
    values,
    PIECE: tl.constexpr,
    made,
    scale,
    token,
    top,
    dtype: tl.constexpr,
    COLUMNS: tl.constexpr,
    ROWS: tl.constexpr,
    KIND: tl.constexpr,
    PACKED: tl.constexpr,
):
    """Round (ROWS, 32) numbers in groups, and write them or their codes and scales."""
    GROUP: tl.constexpr = 16 if KIND == "nv" else 32
    GROUPS: tl.constexpr = 32 // GROUP
    grouped = tl.reshape(values, (ROWS, GROUPS, GROUP))
    peak = tl.max(tl.abs(grouped), axis=2)
    kept, step, inverse = _group_scale(peak, top, KIND)
    numbers, codes = _rounded(grouped, step[:, :, None], inverse[:, :, None], KIND, PACKED)
    if PACKED:
        group = tl.arange(0, ROWS)[:, None] * (128 // GROUP) + tl.arange(0, GROUPS)[None, :]
        group += PIECE * GROUPS
        end: tl.constexpr = COLUMNS // GROUP
        stored = narrowed(kept, tl.float8e4nv) if KIND == "nv" else kept
        tl.store(scale + token * end + group, stored, mask=group < end)
        low, high = tl.split(tl.reshape(codes, (ROWS, 16, 2)))
        place = tl.arange(0, ROWS)[:, None] * 64 + tl.arange(0, 16)[None, :] + PIECE * 16
        both = (low | (high << 4)).to(tl.uint8)
        tl.store(made + token * (COLUMNS // 2) + place, both, mask=place < COLUMNS // 2)
    else:
        place = placed(ROWS) + PIECE * 32
        written = narrowed(tl.reshape(numbers * step[:, :, None], (ROWS, 32)), dtype)
        tl.store(made + token * COLUMNS + place, written, mask=place < COLUMNS)


@triton.jit
def _group_scale(peak, top, KIND: tl.constexpr):
    """Return a group's scale as it is stored, as codes are multiplied by it, and 1 / that."""
    if KIND == "mx":
        power = tl.maximum(((peak.to(tl.int32, bitcast=True) >> 23) & 0xFF) - 2, 0)
        bits = tl.where(power > 0, power << 23, 1 << 22)
        inverse = ((254 - power) << 23).to(tl.float32, bitcast=True)
        return power, bits.to(tl.float32, bitcast=True), inverse
    elif KIND == "nv":
        kept = e4m3_scale(quotient(peak, 6.0, 0.16666666666666666) * top)
        step = quotient(kept, top, reciprocal(top))
        # The step of zeros is so small that its inverse would be infinite.
        inverse = reciprocal(tl.maximum(step, 1.1754943508222875e-38))
        return kept, step, inverse
    else:
        step = token_step(peak, "int4")
        return step, step, reciprocal(step)


@triton.jit
def _rounded(values, step, inverse, KIND: tl.constexpr, PACKED: tl.constexpr):
    """Return values / step on the element's grid, and as 4-bit codes where they are wanted."""
    exact = values * inverse if KIND == "mx" else quotient(values, step, inverse)
    codes = exact
    if KIND == "int":
        bits = whole_bits(tl.minimum(exact, 7.0))
        numbers = bits.to(tl.float32, bitcast=True) - 12582912.0
        if PACKED:
            codes = bits & 15
    else:
        numbers = e2m1(exact)
        if PACKED:
            codes = e2m1_code(numbers)
    return numbers, codes
