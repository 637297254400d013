"""What vLLM 0.26 multiplies with: weights laid out by its functions, products by its operators.

Read from its ``kernels/linear`` (which operator takes which layout) and ``quantization/utils``.
Each function takes a format and a weight (N, K) in bfloat16 on a CUDA GPU, and returns the product
with it, or None. Needs vLLM.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from vllm import _custom_ops as ops
from vllm.model_executor.layers.quantization.utils.fp8_utils import per_token_group_quant_fp8
from vllm.model_executor.layers.quantization.utils.machete_utils import (
    check_machete_supports_shape,
    query_machete_supported_group_sizes,
)
from vllm.model_executor.layers.quantization.utils.marlin_utils import (
    MARLIN_SUPPORTED_GROUP_SIZES,
    apply_gptq_marlin_linear,
    marlin_make_workspace_new,
    marlin_padded_nk,
    marlin_permute_scales,
    marlin_zero_points,
)
from vllm.model_executor.layers.quantization.utils.marlin_utils_fp4 import (
    apply_fp4_marlin_linear,
    prepare_fp4_layer_for_marlin,
)
from vllm.model_executor.layers.quantization.utils.marlin_utils_fp8 import (
    apply_fp8_marlin_linear,
    apply_mxfp8_marlin_linear,
    prepare_fp8_layer_for_marlin,
    prepare_mxfp8_layer_for_marlin,
)
from vllm.model_executor.layers.quantization.utils.quant_utils import convert_bf16_scales_to_fp8
from vllm.scalar_type import scalar_types

from qbench.kernels.checkpoints.packing import layout_of, pack
from qbench.kernels.formats import Format
from qbench.kernels.reference import Quantized, quantize
from qbench.kernels.schemes import Element, Scheme
from qbench.kernels.speed.contestant import Product

BIASED = {"int4": scalar_types.uint4b8, "int8": scalar_types.uint8b128}
"""Codes that were moved up by half their range."""
POSITIVE = {"int4": scalar_types.uint4, "int8": scalar_types.uint8}
"""The same with zero points beside them."""
HOPPER = (9, 0)


def words(codes: Tensor, bits: int, *, moved: bool = True) -> Tensor:
    """Return int8 codes (N, K) of 4 or 8 bits as int32 (N, K x bits / 32), the first one lowest.

    ``moved``: up to be positive; else in two's complement.
    """
    wide = codes.to(torch.int32) + ((1 << (bits - 1)) if moved else 0)
    parts = (wide & ((1 << bits) - 1)).view(len(codes), -1, 32 // bits)
    packed = parts[..., 0].clone()
    for at in range(1, 32 // bits):
        packed |= parts[..., at] << (at * bits)
    return packed


def _integers(fmt: Format, *elements: Element) -> Scheme | None:
    """Return the weights' scheme where it is of these integers and inputs stay in 16 bits."""
    scheme = fmt.weights
    wanted = scheme is not None and fmt.activations is None and scheme.element in elements
    return scheme if wanted else None


def marlin(fmt: Format, weight: Tensor) -> Product | None:
    """Weights of 4 and 8 bits beside 16-bit inputs."""
    if fmt.activations is not None or fmt.weights is None:
        return None
    if fmt.weights.element == "e2m1":
        return _marlin_e2m1(fmt, weight)
    scheme = _integers(fmt, "int4", "int8")
    if scheme is None or (scheme.group or -1) not in MARLIN_SUPPORTED_GROUP_SIZES:
        return None
    return _marlin_integers(quantize(weight, scheme))


def _marlin_integers(made: Quantized) -> Product | None:
    (rows, columns), scheme, device = made.codes.shape, made.scheme, made.codes.device
    group, bits = scheme.group or -1, scheme.element_bits
    if marlin_padded_nk(rows, columns, group) != (rows, columns):
        return None
    none = torch.empty(0, dtype=torch.int32, device=device)
    packed = words(made.codes, bits).t().contiguous()
    zero = none
    if made.zero is not None:
        moved = made.zero.t().contiguous().int() + (1 << (bits - 1))
        zero = marlin_zero_points(moved, len(moved), rows, bits)
    return partial(
        apply_gptq_marlin_linear,
        weight=ops.gptq_marlin_repack(packed, none, columns, rows, bits),
        weight_scale=marlin_permute_scales(made.scale.t().contiguous(), columns, rows, group),
        weight_zp=zero,
        g_idx=none,
        g_idx_sort_indices=none,
        workspace=marlin_make_workspace_new(device),
        wtype=(BIASED if scheme.symmetric else POSITIVE)[scheme.element],
        output_size_per_partition=rows,
        input_size_per_partition=columns,
        is_k_full=True,
    )


def _layer(fmt: Format, weight: Tensor) -> Any:
    """Return what vLLM repacks: a module with the tensors of a checkpoint's layer."""
    assert fmt.weights is not None
    tensors = pack(quantize(weight, fmt.weights), layout_of(fmt))
    layer: Any = nn.Module()
    layer.output_size_per_partition, layer.input_size_per_partition = weight.shape
    layer.params_dtype = layer.orig_dtype = weight.dtype
    named = {name.removesuffix("_packed"): tensor for name, tensor in tensors.items()}
    if "weight_global_scale" in named:
        named["weight_global_scale"] = 1.0 / named["weight_global_scale"].reshape(())
    for name, tensor in named.items():
        layer.register_parameter(name, nn.Parameter(tensor, requires_grad=False))
    return layer


def _marlin_e2m1(fmt: Format, weight: Tensor) -> Product:
    layer = _layer(fmt, weight)
    prepare_fp4_layer_for_marlin(layer)
    return partial(
        apply_fp4_marlin_linear,
        weight=layer.weight,
        weight_scale=layer.weight_scale,
        weight_global_scale=getattr(layer, "weight_global_scale", None),
        workspace=layer.workspace,
        size_n=weight.shape[0],
        size_k=weight.shape[1],
    )


def marlin_fallback(fmt: Format, weight: Tensor) -> Product | None:
    """What vLLM runs where a GPU cannot multiply a format's small floats: inputs stay in 16 bits.

    vLLM takes it for fp8 below sm_89, for the 4-bit floats and mxfp8 below sm_100.
    """
    scheme = fmt.weights
    if scheme is None or fmt.activations is None or fmt.rotation is not None:
        return None
    if scheme.element == "e2m1" and fmt.activations.element == "e2m1":
        return _marlin_e2m1(fmt, weight)
    if scheme.element == "e4m3" and scheme.rows is None:
        return _marlin_e4m3(fmt, weight)
    return None


def _marlin_e4m3(fmt: Format, weight: Tensor) -> Product:
    layer = _layer(fmt, weight)
    grouped = fmt.weights is not None and fmt.weights.group is not None
    if grouped:
        prepare_mxfp8_layer_for_marlin(layer)
    else:
        prepare_fp8_layer_for_marlin(layer, size_k_first=False)
    return partial(
        apply_mxfp8_marlin_linear if grouped else apply_fp8_marlin_linear,
        weight=layer.weight,
        weight_scale=layer.weight_scale,
        workspace=layer.workspace,
        size_n=weight.shape[0],
        size_k=weight.shape[1],
        bias=None,
    )


def machete(fmt: Format, weight: Tensor) -> Product | None:
    """Integer weights of 4 and 8 bits beside 16-bit inputs, on Hopper."""
    scheme, (rows, columns) = _integers(fmt, "int4", "int8"), weight.shape
    if scheme is None or torch.cuda.get_device_capability(weight.device) != HOPPER:
        return None
    group = scheme.group or -1
    if group not in query_machete_supported_group_sizes(weight.dtype):
        return None
    if not check_machete_supports_shape(columns, rows)[0]:
        return None
    made = quantize(weight, scheme)
    kind = (BIASED if scheme.symmetric else POSITIVE)[scheme.element]
    scale = made.scale.t().contiguous()
    packed = words(made.codes, scheme.element_bits).t()
    repacked = ops.machete_prepack_B(packed, weight.dtype, kind, weight.dtype)
    return partial(
        ops.machete_mm,
        b_q=repacked,
        b_type=kind,
        b_group_scales=scale,
        b_group_zeros=_scaled_zeros(made, scale),
        b_group_size=group,
    )


def _scaled_zeros(made: Quantized, scale: Tensor) -> Tensor | None:
    """Return what Machete adds: minus zero point times scale, (groups, N), rounded to 16 bits."""
    if made.zero is None:
        return None
    moved = made.zero.t() + (1 << (made.scheme.element_bits - 1))
    return (-1.0 * scale * moved.to(scale.dtype)).contiguous()


def rounded(fmt: Format, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return codes (M, K) and scales (M, 1) of x, by token."""
    assert fmt.activations is not None
    if fmt.activations.element == "int8":
        codes, scale, _ = ops.scaled_int8_quant(x)
        return codes, scale
    codes, scale = ops.scaled_fp8_quant(x, use_per_token_if_dynamic=True)
    return codes, scale


def _by_token(fmt: Format) -> bool:
    live, scheme = fmt.activations, fmt.weights
    return bool(
        live is not None
        and scheme is not None
        and live.strategy == "token"
        and scheme.strategy == "channel"
        and scheme.element == live.element
    )


def scaled_product(fmt: Format, weight: Tensor) -> Product | None:
    """8-bit codes on both sides, those of x being made before: of what ``rounded`` returns."""
    if not _by_token(fmt) or any(size % 16 for size in weight.shape):
        return None
    assert fmt.weights is not None
    held = quantize(weight, fmt.weights)
    codes, scale = held.codes.t(), held.scale.float()

    def product(given: tuple[Tensor, Tensor]) -> Tensor:
        made: Tensor = ops.cutlass_scaled_mm(given[0], codes, given[1], scale, weight.dtype)
        return made

    return product


def scaled_mm(fmt: Format, weight: Tensor) -> Product | None:
    """8-bit codes on both sides, x being rounded within."""
    if fmt.weights is not None and fmt.weights.strategy == "block":
        return _scaled_blocks(fmt.weights, weight)
    product = scaled_product(fmt, weight)
    return None if product is None else lambda x: product(rounded(fmt, x))


def _scaled_blocks(scheme: Scheme, weight: Tensor) -> Product | None:
    if not scheme.group == scheme.rows == 128 or any(size % 128 for size in weight.shape):
        return None
    held = quantize(weight, scheme)
    codes, scale = held.codes.t(), held.scale.t()

    def product(x: Tensor) -> Tensor:
        given, by_group = per_token_group_quant_fp8(x, 128, column_major_scales=True)
        made: Tensor = ops.cutlass_scaled_mm(given, codes, by_group, scale, weight.dtype)
        return made

    return product


def w4a8(fmt: Format, weight: Tensor) -> Product | None:
    """int4 weights in groups of 128 beside E4M3 inputs, on Hopper.

    vLLM rounds the groups' scales to E4M3 below one float32 scale per row: not quite the format.
    """
    scheme, live = fmt.weights, fmt.activations
    if scheme is None or live is None or (scheme.element, live.element) != ("int4", "e4m3"):
        return None
    fits = scheme.group == 128 and scheme.symmetric and not any(size % 128 for size in weight.shape)
    if not fits or torch.cuda.get_device_capability(weight.device) != HOPPER:
        return None
    held = quantize(weight, scheme)
    by_token = partial(ops.scaled_fp8_quant, use_per_token_if_dynamic=True)
    small, by_row = convert_bf16_scales_to_fp8(by_token, held.scale.contiguous())
    codes = ops.cutlass_encode_and_reorder_int4b(words(held.codes, 4, moved=False).t())
    packed = ops.cutlass_pack_scale_fp8(small.t().contiguous())

    def product(x: Tensor) -> Tensor:
        given, scale = by_token(x)
        made: Tensor = ops.cutlass_w4a8_mm(given, codes, packed, 128, by_row, scale)
        return made

    return product
