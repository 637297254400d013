"""What the tensors of a quantized layer mean, by who wrote them.

======================== ============================================ ============================
``quant_method``         codes                                        value
======================== ============================================ ============================
compressed-tensors       ``kernels.checkpoints.packing``              (code - zero) x scale, or
                                                                      code x (scale / global)
gptq, auto-round         ``qweight`` int32 (in x bits / 32, out),     (code - zero - 1) x scale of
                         dense, lowest bit first; ``qzeros``          the column's ``g_idx``
awq                      ``qweight`` int32 (in, out / 8), columns     (code - zero) x scale
                         in the order 0 2 4 6 1 3 5 7
fp8                      ``weight`` E4M3                              code x ``weight_scale_inv`` of
                                                                      its block, or x
                                                                      ``weight_scale``
modelopt FP8             ``weight`` E4M3                              code x ``weight_scale``
modelopt NVFP4           ``weight`` two codes a byte, low half first  code x ``weight_scale`` x
                                                                      ``weight_scale_2``
bitsandbytes NF4         ``kernels.checkpoints.packing``              code x ``absmax``
======================== ============================================ ============================

Products are made in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from qbench.errors import Unsupported
from qbench.kernels.checkpoints.packing import unpack, unpack_bits
from qbench.kernels.floats import E2M1, decode
from qbench.kernels.formats import E4M3_GROUP, E4M3_TOKEN, NF4_BLOCK, NVFP4
from qbench.kernels.linears.linear import Inputs
from qbench.kernels.reference import dequantize
from qbench.kernels.schemes import Scheme
from qbench.workers.embedded.stored import Layer, Read
from qbench.workers.embedded.stored_groups import groups_of

Json = dict[str, Any]

AWQ_ORDER = (0, 4, 1, 5, 2, 6, 3, 7)
"""Where the columns of eight lie among a word's eight halves of bytes."""
NESTED = "weight.nested_absmax"


def reader_of(told: Json) -> Read:
    """Return what reads the layers of a checkpoint whose config says ``told``.

    Raises:
        Unsupported: nothing here knows that kind; names it.

    """
    method = str(told.get("quant_method", ""))
    maker = READERS.get(method)
    if maker is None:
        raise _unsupported(f"{method or 'an unnamed method'} has no reader here")
    return maker(told)


def _unsupported(said: str) -> Unsupported:
    return Unsupported(
        f"The checkpoint cannot be turned back: {said}.",
        hint="Serve it with --engine vllm, or make one with `qbench quantize`.",
    )


def spread(
    scale: Tensor,
    shape: torch.Size,
    *,
    rows: int = 1,
    columns: int = 1,
    groups: Tensor | None = None,
) -> Tensor:
    """Return ``scale`` so that it multiplies a matrix of ``shape``, in float32.

    Args:
        scale: one number, (out,), (out, 1), (out, groups) or (row blocks, column blocks).
        shape: (out, in).
        rows: rows that share a scale.
        columns: columns that share a scale.
        groups: (in,): which of the groups a column belongs to, where that is not its place.

    """
    wide = scale.float().reshape(-1, 1) if scale.ndim < 2 else scale.float()
    if wide.shape[0] not in (1, shape[0]):
        wide = wide.repeat_interleave(rows, dim=0)[: shape[0]]
    if groups is not None:
        return wide[:, groups.long()]
    if wide.shape[1] not in (1, shape[1]):
        wide = wide.repeat_interleave(columns, dim=1)[:, : shape[1]]
    return wide


def _compressed(told: Json) -> Read:
    find = groups_of(told)

    def read(name: str, parts: Mapping[str, Tensor]) -> Layer:
        group = find(name)
        made = unpack(parts, group.weights, group.layout)
        whole = group.weights.group is None or made.codes.shape[1] % group.weights.group == 0
        if whole and "weight_g_idx" not in parts:
            return Layer(dequantize(made, torch.float32), group.inputs(parts), made)
        share = {"rows": group.weights.rows or 1, "columns": group.weights.group or 1}
        order = parts.get("weight_g_idx")
        numbers = made.codes.float()
        if made.zero is not None:
            numbers = numbers - spread(made.zero, numbers.shape, **share, groups=order)
        step = spread(made.step, numbers.shape, **share, groups=order)
        return Layer(numbers * step, group.inputs(parts))

    return read


def _gptq(told: Json) -> Read:
    bits = int(told["bits"])
    size = int(told.get("group_size") or -1)
    moved = 0 if told.get("checkpoint_format") == "gptq_v2" else 1
    if "awq" in str(told.get("packing_format", "")):
        return _awq(told | {"w_bit": bits, "version": "gemm"})

    def read(_: str, parts: Mapping[str, Tensor]) -> Layer:
        words, scales = parts["qweight"], parts["scales"]
        columns = words.shape[0] * 32 // bits
        codes = unpack_bits(words.t(), bits, columns).float()
        zeros = unpack_bits(parts["qzeros"], bits, scales.shape[1]).t().float() + moved
        share = size if size > 0 else columns
        order = parts.get("g_idx")
        zero = spread(zeros, codes.shape, columns=share, groups=order)
        return Layer(
            (codes - zero) * spread(scales.t(), codes.shape, columns=share, groups=order), Inputs()
        )

    return read


def _awq(told: Json) -> Read:
    bits = int(told.get("bits") or told["w_bit"])
    version = str(told.get("version", "gemm")).lower()
    size = int(told.get("group_size") or told.get("q_group_size") or -1)
    if bits != 4 or version != "gemm":
        raise _unsupported(f"AWQ with {bits} bits in the layout {version!r} has no reader here")

    def read(_: str, parts: Mapping[str, Tensor]) -> Layer:
        codes = _awq_codes(parts["qweight"]).t()
        zeros = _awq_codes(parts["qzeros"]).t()
        share = size if size > 0 else codes.shape[1]
        zero = spread(zeros, codes.shape, columns=share)
        scale = spread(parts["scales"].t(), codes.shape, columns=share)
        return Layer((codes - zero) * scale, Inputs())

    return read


def _awq_codes(words: Tensor) -> Tensor:
    """Return the unsigned codes (rows, 8 x words) in float32."""
    shifts = torch.tensor([4 * place for place in AWQ_ORDER], dtype=torch.int32)
    return ((words[:, :, None] >> shifts) & 15).reshape(len(words), -1).float()


def _fp8(told: Json) -> Read:
    """Read DeepSeek's blocks and the plain kind with one scale a tensor or channel.

    Dynamic activations are rounded per token, as vLLM's kernels do; in groups of the block's
    columns where weights have blocks.
    """
    block = told.get("weight_block_size")
    static = told.get("activation_scheme", "dynamic") == "static"
    rows, columns = (int(size) for size in block) if block else (1, 1)

    def read(_: str, parts: Mapping[str, Tensor]) -> Layer:
        codes = parts["weight"].float()
        scale = parts["weight_scale_inv" if "weight_scale_inv" in parts else "weight_scale"]
        weight = codes * spread(scale, codes.shape, rows=rows, columns=columns)
        if static:
            return Layer(weight, _static(parts["input_scale"]))
        live = E4M3_TOKEN if block is None else _of_size(E4M3_GROUP, columns)
        return Layer(weight, Inputs(scheme=live))

    return read


def _of_size(scheme: Scheme, columns: int) -> Scheme:
    return Scheme(
        element=scheme.element,
        strategy="group",
        group=columns,
        scale_dtype=scheme.scale_dtype,
        dynamic=True,
    )


def _static(scale: Tensor) -> Inputs:
    """Return E4M3 inputs below the one scale that calibration found."""
    fixed = Scheme(element="e4m3", strategy="tensor", scale_dtype="float32")
    return Inputs(scheme=fixed, scale=float(scale.float().max()))


def _modelopt(told: Json) -> Read:
    algorithm = str(told.get("quant_algo", "")).upper()
    kinds: dict[str, Read] = {"FP8": _modelopt_fp8, "NVFP4": _modelopt_nvfp4}
    if algorithm not in kinds:
        raise _unsupported(f"modelopt's {algorithm or 'unnamed algorithm'} has no reader here")
    return kinds[algorithm]


def _modelopt_fp8(_: str, parts: Mapping[str, Tensor]) -> Layer:
    codes = parts["weight"].float()
    return Layer(codes * spread(parts["weight_scale"], codes.shape), _static(parts["input_scale"]))


def _modelopt_nvfp4(_: str, parts: Mapping[str, Tensor]) -> Layer:
    """Read codes below scales below ``weight_scale_2``, the inverse of a global scale."""
    packed = parts["weight"]
    pairs = torch.stack([packed & 15, packed >> 4], dim=-1).reshape(len(packed), -1)
    codes = decode(pairs, E2M1)
    step = parts["weight_scale"].float() * parts["weight_scale_2"].float()
    weight = codes * spread(step, codes.shape, columns=16)
    live = Scheme(element="e2m1", strategy="group", group=16, scale_dtype="e4m3", dynamic=True)
    given = parts.get("input_scale")
    return Layer(
        weight, Inputs(scheme=live, global_scale=None if given is None else 1 / float(given))
    )


def _bitsandbytes(told: Json) -> Read:
    if told.get("bnb_4bit_quant_type") != "nf4":
        raise _unsupported("of bitsandbytes only NF4 has a reader here")

    def read(_: str, parts: Mapping[str, Tensor]) -> Layer:
        if NESTED in parts:
            raise _unsupported("its scales are quantized twice (bnb_4bit_use_double_quant)")
        return Layer(dequantize(unpack(parts, NF4_BLOCK, "bitsandbytes"), torch.float32), Inputs())

    return read


READERS: dict[str, Callable[[Json], Read]] = {
    "compressed-tensors": _compressed,
    "gptq": _gptq,
    "auto-round": _gptq,
    "awq": _awq,
    "fp8": _fp8,
    "modelopt": _modelopt,
    "bitsandbytes": _bitsandbytes,
}
"""By ``quant_method``."""
assert NVFP4.group == 16
