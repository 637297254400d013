"""Weight-only formats as chunks of words: what `narrow`, `wide` and `unpack` read.

Columns come in chunks of ``2 * words * slices``. Word j of a row's chunk holds, for every slice i,
the neighbours ``2 * words * i + 2 * j`` and one further: the first at bit ``bits * i``, the second
16 bits above. A shift and a mask of a word are then two neighbours of one slice, in the order in
which matrix instructions want them. The bits of E2M1 codes lie apart, as a float has sign and size:
those of three slices so that one shift and one mask find both. ``codes`` is int32 (chunks, rows,
words): what a program of any number of rows reads of a chunk is one piece of memory.

Scales of integers are 16-bit floats, two to a word, int32 (chunks, rows, words of scales). Scales
of E2M1 are bytes, byte i of a word for slice i: for MXFP4 exponents, moved so that the largest of
the matrix is 254, the difference being in ``factor``; for NVFP4 5 bits of exponent and 3 of
mantissa, which hold every positive E4M3 number as a normal one: the least, 2^-9, is 0.
"""

from __future__ import annotations

import functools
from typing import Literal

import torch
from msgspec import Struct
from torch import Tensor
from torch.nn.functional import pad

from qbench.errors import Unsupported
from qbench.kernels.gemm.packed import PackedWeight
from qbench.kernels.reference import Quantized
from qbench.kernels.schemes import Scheme

Kind = Literal["int8", "int4", "int3", "int2", "mxfp4", "nvfp4"]

ROWS = 128
"""Rows are filled up to a multiple of this."""
SMALLEST = (127 - 9) << 3
"""2^-9 in bfloat16, without the four bits that E4M3 scales do not use."""
SMALL_FLOATS = ((6, 7, 8, 15), (3, 4, 5, 12), (0, 1, 2, 9), (10, 11, 13, 14))
"""Where the bits of E2M1 codes lie, by slice: a bfloat16 has them where the first slice does."""


class Layout(Struct, frozen=True, kw_only=True):
    """How columns lie in words."""

    kind: Kind
    bits: int
    """Of the codes in ``codes``: 2 for 3-bit codes, whose third bits lie apart."""
    words: int
    """Of a row's chunk."""
    group: int = 0
    """Columns of a scale; 0: one scale a row."""

    @property
    def slices(self) -> int:
        """Pairs of columns in a word."""
        return 16 // self.bits

    def places(self, part: int) -> tuple[int, ...]:
        """Return where in a half the bits of codes of slice ``part`` lie, the lowest first."""
        if self.kind in ("mxfp4", "nvfp4"):
            return SMALL_FLOATS[part]
        return tuple(range(self.bits * part, self.bits * (part + 1)))

    @property
    def columns(self) -> int:
        """Columns of a chunk."""
        return 2 * self.words * self.slices

    @property
    def groups(self) -> int:
        """Scales of a row's chunk; 0: one scale a row."""
        return self.columns // self.group if self.group else 0


@functools.cache
def layout_of(scheme: Scheme) -> Layout:
    """Return the layout of a weight-only scheme.

    Raises:
        Unsupported: a scheme that no program here reads.

    """
    element, group = scheme.element, scheme.group or 0
    if element == "e2m1" and scheme.strategy == "group":
        return Layout(kind="nvfp4" if scheme.two_level else "mxfp4", bits=4, words=32, group=group)
    words = {"int8": 32, "int4": 16 if group == 32 else 32, "int3": 16, "int2": 16}.get(element)
    if words and scheme.strategy in ("group", "channel") and group in (0, 32, 64, 128):
        bits = {"int8": 8, "int4": 4}.get(element, 2)
        layout = Layout(kind=element, bits=bits, words=words, group=group)  # type: ignore[arg-type]
        if not group or 2 * words <= group <= layout.columns:
            return layout
    raise Unsupported(
        f"No program multiplies {element} weights with {scheme.strategy} scales of {group}.",
        hint="Use groups of 32, 64 or 128, or a channel's scale; or leave it to the emulation.",
    )


def pack_weight(quantized: Quantized) -> PackedWeight:
    """Return a weight-only ``quantized`` (rows, columns) as chunks, on its own device.

    Raises:
        Unsupported: a scheme that no program reads, or scales of groups that bfloat16 cannot hold.

    """
    layout = layout_of(quantized.scheme)
    rows, columns = quantized.codes.shape
    high, low = None, _filled(_unsigned(quantized), layout)
    if layout.kind == "int3":
        high, low = _third_bits(low, layout), low & 3
    scale, factor = _scales(quantized, layout)
    zero = None if quantized.zero is None else _zeros(quantized.zero, layout)
    return PackedWeight(
        scheme=quantized.scheme,
        activations=None,
        rows=rows,
        columns=columns,
        codes=_words(low, layout),
        high=high,
        scale=scale,
        zero=zero,
        factor=factor,
    )


def _unsigned(quantized: Quantized) -> Tensor:
    """Return codes that are 0 and more: integers moved up, but int8, whose programs sign it."""
    codes = quantized.codes
    if quantized.scheme.element in ("int8", "e2m1"):
        return codes.view(torch.uint8)
    return (codes + (1 << (quantized.scheme.element_bits - 1))).to(torch.uint8)


def _filled(codes: Tensor, layout: Layout) -> Tensor:
    """Return ``codes`` with zeros up to whole chunks and ``ROWS``."""
    return pad(codes, (0, -codes.shape[1] % layout.columns, 0, -codes.shape[0] % ROWS))


def _apart(codes: Tensor, layout: Layout) -> Tensor:
    """Return (rows, chunks, slices, words, 2)."""
    return codes.view(len(codes), -1, layout.slices, layout.words, 2)


def _words(codes: Tensor, layout: Layout) -> Tensor:
    """Return int32 (chunks, rows, words)."""
    apart, made = _apart(codes, layout), torch.zeros(1, dtype=torch.int32, device=codes.device)
    for part in range(layout.slices):
        for half in range(2):
            codes = apart[:, :, part, :, half].int()
            made = made | (_spread(codes, layout.places(part)) << (16 * half))
    return made.transpose(0, 1).contiguous()


def _spread(codes: Tensor, places: tuple[int, ...]) -> Tensor:
    """Return int32 ``codes`` with their bits moved to ``places``."""
    if places[-1] - places[0] == len(places) - 1:
        return codes << places[0]
    made = torch.zeros_like(codes)
    for bit, place in enumerate(places):
        made |= ((codes >> bit) & 1) << place
    return made


def _third_bits(codes: Tensor, layout: Layout) -> Tensor:
    """Return int16 (chunks, rows, words): bit i for the first of slice i, bit 8 + i the other."""
    apart, made = _apart(codes, layout), torch.zeros(1, dtype=torch.int32, device=codes.device)
    for part in range(layout.slices):
        for half in range(2):
            made = made | ((apart[:, :, part, :, half].int() >> 2) << (part + 8 * half))
    return made.transpose(0, 1).to(torch.int16).contiguous()


def _scales(quantized: Quantized, layout: Layout) -> tuple[Tensor, float]:
    """Return scales as programs read them, and the factor of all outputs."""
    scale = quantized.scale
    if layout.kind == "mxfp4":
        exponents = torch.frexp(scale.float())[1] - 1
        top = int(exponents.max())
        stored = (exponents - top + 254).clamp_min(0)
        return _bytes(stored, layout), 2.0 ** (top - 1)
    if layout.kind == "nvfp4":
        stored = (scale.bfloat16().view(torch.int16).int() >> 4) - SMALLEST
        return _bytes(stored, layout), 256.0 / float(quantized.global_scale)  # type: ignore[arg-type]
    if not layout.groups:
        return pad(scale.float().flatten(), (0, -len(scale) % ROWS)), 1.0
    return _halves(scale, layout), 1.0


def _chunked(scale: Tensor, layout: Layout) -> Tensor:
    """Return (chunks, rows, scales of a chunk), filled with zeros."""
    filled = pad(scale, (0, -scale.shape[1] % layout.groups, 0, -len(scale) % ROWS))
    return filled.view(len(filled), -1, layout.groups).transpose(0, 1)


def _bytes(stored: Tensor, layout: Layout) -> Tensor:
    """Return int32 (chunks, rows, words): byte i of word g is of slice i, group g of its groups."""
    chunked = _chunked(stored, layout)
    apart = chunked.reshape(*chunked.shape[:2], layout.slices, -1)
    shifts = torch.arange(0, 8 * layout.slices, 8, device=stored.device).view(-1, 1)
    return (apart.long() << shifts).sum(dim=2).to(torch.int32).contiguous()


def _halves(scale: Tensor, layout: Layout) -> Tensor:
    """Return int32 (chunks, rows, words): two 16-bit scales a word, the first in the low half."""
    stored = scale.bfloat16()
    if not torch.equal(stored.to(scale.dtype), scale):
        raise Unsupported(
            f"These scales are {scale.dtype}, and programs read bfloat16.",
            hint="Quantize to bfloat16 scales, or leave it to the emulation.",
        )
    bits = _chunked(stored.view(torch.int16), layout).int() & 0xFFFF
    if layout.groups == 1:
        return bits.contiguous()
    pairs = bits.reshape(*bits.shape[:2], -1, 2)
    return (pairs[..., 0] | (pairs[..., 1] << 16)).contiguous()


def _zeros(zero: Tensor, layout: Layout) -> Tensor:
    """Return int32 (chunks, rows): byte i is the zero point of group i, moved up as codes are."""
    chunked = _chunked(zero.int() + 8, layout)
    shifts = torch.arange(0, 8 * layout.groups, 8, device=zero.device)
    return (chunked.long() << shifts).sum(dim=2).to(torch.int32).contiguous()
