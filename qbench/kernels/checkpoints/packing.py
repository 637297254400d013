"""Quantized layers as a checkpoint stores them: the tensor layouts of compressed-tensors.

====================== ============================================== ==========================
layout                 codes                                          scales
====================== ============================================== ==========================
pack-quantized         ``weight_packed`` int32: codes + 2^(b-1), b    ``weight_scale`` 16-bit,
                       bits each, lowest first, without gaps          ``weight_zero_point`` packed
                                                                      down the rows
int-quantized          ``weight`` int8                                ``weight_scale``
float-quantized        ``weight`` E4M3                                ``weight_scale``
mxfp8-quantized        ``weight`` E4M3                                ``weight_scale`` uint8: E8M0
mxfp4-pack-quantized   ``weight_packed`` uint8, two codes a byte, the ``weight_scale`` uint8: E8M0
                       first in the low half
nvfp4-pack-quantized   the same                                       ``weight_scale`` E4M3,
                                                                      ``weight_global_scale``
bitsandbytes           ``weight`` uint8 (n / 2, 1), the first code in ``weight.absmax`` float32
                       the *high* half
====================== ============================================== ==========================

The last is no layout of compressed-tensors, which has no NF4: it is how bitsandbytes serializes a
``Params4bit``, which transformers and vLLM read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec
import numpy as np
import torch
from torch import Tensor

from qbench.errors import ConfigError, Unsupported
from qbench.kernels.floats import NF4
from qbench.kernels.formats import Format
from qbench.kernels.reference import FLOATS, Quantized
from qbench.kernels.schemes import FloatName, Scheme

Layout = Literal[
    "pack-quantized",
    "int-quantized",
    "float-quantized",
    "mxfp8-quantized",
    "mxfp4-pack-quantized",
    "nvfp4-pack-quantized",
    "bitsandbytes",
]

QUANT_STATE = "weight.quant_state.bitsandbytes__nf4"
E8M0_BIAS = 127


def layout_of(fmt: Format) -> Layout:
    """Return the layout of a format's weights, the one that vLLM's kernels for it read.

    Raises:
        Unsupported: the format has no codes to store.

    """
    scheme = fmt.weights
    if scheme is None:
        raise Unsupported(
            f"{fmt.name} stores no codes.", hint="Save the checkpoint in its storage type instead."
        )
    if scheme.element == "nf4":
        return "bitsandbytes"
    if scheme.element == "e2m1":
        return "nvfp4-pack-quantized" if scheme.two_level else "mxfp4-pack-quantized"
    if scheme.element == "e4m3":
        return "mxfp8-quantized" if scheme.scale_dtype == "e8m0" else "float-quantized"
    bytewise = scheme.element == "int8" and fmt.activations is not None
    return "int-quantized" if bytewise else "pack-quantized"


def pack(
    quantized: Quantized, layout: Layout, *, storage: FloatName = "bfloat16"
) -> dict[str, Tensor]:
    """Return the tensors of one layer (out, in) by their names below the layer's.

    ``storage``: the type to which bitsandbytes dequantizes; others have it in their scales.

    Raises:
        ConfigError: scales that the layout cannot hold.

    """
    if layout == "bitsandbytes":
        return _pack_nf4(quantized, storage)
    if layout in ("mxfp4-pack-quantized", "nvfp4-pack-quantized"):
        named = {"weight_packed": _pack_pairs(quantized.codes)}
    elif layout == "pack-quantized":
        bits = quantized.scheme.element_bits
        named = {
            "weight_packed": pack_bits(quantized.codes, bits),
            "weight_shape": torch.tensor(quantized.codes.shape),
        }
        if quantized.zero is not None:
            named["weight_zero_point"] = pack_bits(quantized.zero.t(), bits).t().contiguous()
    else:
        named = {"weight": quantized.codes}
    named["weight_scale"] = _stored_scale(quantized)
    if quantized.global_scale is not None:
        named["weight_global_scale"] = quantized.global_scale.float().reshape(1).clone()
    return named


def unpack(tensors: Mapping[str, Tensor], scheme: Scheme, layout: Layout) -> Quantized:
    """Return what ``pack`` was given, from the tensors of one layer.

    Raises:
        ConfigError: a tensor is missing.

    """
    try:
        return _unpack(tensors, scheme, layout)
    except KeyError as missing:
        raise ConfigError(
            f"A {layout} layer has no tensor {missing}; it has {', '.join(sorted(tensors))}.",
            hint="The checkpoint is incomplete: make it again.",
        ) from missing


def _unpack(tensors: Mapping[str, Tensor], scheme: Scheme, layout: Layout) -> Quantized:
    if layout == "bitsandbytes":
        return _unpack_nf4(tensors, scheme)
    zero = None
    if layout in ("mxfp4-pack-quantized", "nvfp4-pack-quantized"):
        codes = _unpack_pairs(tensors["weight_packed"])
    elif layout == "pack-quantized":
        bits = scheme.element_bits
        rows, columns = (int(size) for size in tensors["weight_shape"])
        codes = unpack_bits(tensors["weight_packed"], bits, columns)
        if not scheme.symmetric:
            zero = unpack_bits(tensors["weight_zero_point"].t(), bits, rows).t().contiguous()
    else:
        codes = tensors["weight"]
    shared = tensors["weight_global_scale"].reshape(()) if scheme.two_level else None
    scale = _read_scale(tensors["weight_scale"], scheme)
    return Quantized(codes=codes, scale=scale, scheme=scheme, zero=zero, global_scale=shared)


def pack_bits(codes: Tensor, bits: int) -> Tensor:
    """Return signed ``codes`` (rows, columns) as int32 (rows, words), ``bits`` each, no gaps.

    Code i of a row, moved up to be positive, lies at bit ``i * bits`` of the row's words, its
    lowest bit first.
    """
    moved = (codes.to(torch.int16) + (1 << (bits - 1))).to(torch.uint8).cpu().numpy()
    single = np.unpackbits(moved[..., None], axis=-1, count=bits, bitorder="little")
    row = single.reshape(len(moved), -1)
    filled = np.pad(row, ((0, 0), (0, -row.shape[1] % 32)))
    words = np.packbits(filled, axis=-1, bitorder="little").view("<i4")
    return torch.from_numpy(words.astype(np.int32))


def unpack_bits(words: Tensor, bits: int, columns: int) -> Tensor:
    """Return int8 codes (rows, columns) of ``pack_bits``."""
    raw = np.ascontiguousarray(words.cpu().numpy().astype("<i4")).view(np.uint8)
    single = np.unpackbits(raw, axis=-1, count=columns * bits, bitorder="little")
    moved = np.packbits(single.reshape(len(raw), columns, bits), axis=-1, bitorder="little")
    half = 1 << (bits - 1)
    return torch.from_numpy((moved[..., 0].astype(np.int16) - half).astype(np.int8))


def _pack_pairs(codes: Tensor) -> Tensor:
    return codes[:, 0::2] | (codes[:, 1::2] << 4)


def _unpack_pairs(packed: Tensor) -> Tensor:
    return torch.stack([packed & 15, packed >> 4], dim=-1).reshape(len(packed), -1)


def _stored_scale(quantized: Quantized) -> Tensor:
    scale = quantized.scale
    if quantized.scheme.scale_dtype == "e8m0":
        return _exponents(scale)
    if quantized.scheme.scale_dtype == "e4m3":
        return scale.to(torch.float8_e4m3fn)
    return scale


def _exponents(scale: Tensor) -> Tensor:
    """Return powers of two as E8M0 bytes: the exponent, 127 added."""
    fraction, exponent = torch.frexp(scale.float())
    if not bool((fraction == 0.5).all()):
        raise ConfigError(
            "Scales that are no powers of two cannot be stored in an MX layout.",
            hint="Find them by the rule 'peak' or 'mse'.",
        )
    return (exponent - 1 + E8M0_BIAS).to(torch.uint8)


def _read_scale(stored: Tensor, scheme: Scheme) -> Tensor:
    if scheme.scale_dtype == "e8m0":
        exponents = stored.to(torch.int32) - E8M0_BIAS
        return torch.ldexp(torch.ones_like(exponents, dtype=torch.float32), exponents)
    return stored.float() if scheme.scale_dtype == "e4m3" else stored


def _pack_nf4(quantized: Quantized, storage: FloatName) -> dict[str, Tensor]:
    codes = quantized.codes.reshape(-1, 2)
    state = {
        "quant_type": "nf4",
        "blocksize": quantized.scheme.group,
        "dtype": storage,
        "shape": list(quantized.codes.shape),
    }
    return {
        "weight": (codes[:, :1] << 4) | codes[:, 1:],
        "weight.absmax": quantized.scale.float().flatten(),
        "weight.quant_map": torch.tensor(NF4.values, dtype=torch.float32),
        QUANT_STATE: torch.tensor(list(msgspec.json.encode(state)), dtype=torch.uint8),
    }


def _unpack_nf4(tensors: Mapping[str, Tensor], scheme: Scheme) -> Quantized:
    state = msgspec.json.decode(bytes(tensors[QUANT_STATE].tolist()))
    packed = tensors["weight"].reshape(-1, 1)
    codes = torch.cat([packed >> 4, packed & 15], dim=1).reshape(state["shape"])
    scale = tensors["weight.absmax"].reshape(len(codes), -1).to(_kept(scheme))
    return Quantized(codes=codes, scale=scale, scheme=scheme)


def _kept(scheme: Scheme) -> torch.dtype:
    return FLOATS[scheme.scale_dtype]  # type: ignore[index] # nf4 has no small float scales
