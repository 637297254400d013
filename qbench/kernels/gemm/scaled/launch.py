"""Products of 8-bit inputs with packed weights: which program runs, and its launch."""

from __future__ import annotations

from typing import TypeVar

import torch
import triton
from msgspec.structs import replace
from torch import Tensor
from triton.tools.tensor_descriptor import TensorDescriptor

from qbench.errors import ConfigError, Unsupported
from qbench.kernels.gemm.packed import PackedWeight
from qbench.kernels.gemm.scaled.configs import Config, Narrow, Wide, find_config
from qbench.kernels.gemm.scaled.narrow import narrow
from qbench.kernels.gemm.scaled.wide import spell, wide
from qbench.kernels.gemm.workspace import COUNTERS, PARTS, workspace

PLAIN = Narrow(block_m=64, block_n=64, block_k=128, stages=3)
"""Runs anywhere, whatever the shape."""
C = TypeVar("C", Narrow, Wide)
COMPILED = not triton.knobs.runtime.interpret
"""Triton's interpreter knows no assembly."""


def multiply_scaled(
    codes: Tensor,
    scale: Tensor,
    weight: PackedWeight,
    dtype: torch.dtype = torch.bfloat16,
    config: Config | None = None,
) -> Tensor:
    """Return ``codes`` (M, K) times the weight (N, K) transposed, scaled: (M, N) of ``dtype``.

    ``scale``: float32 (M, 1), or one number, or (M, K / 128) where the weight comes in blocks.
    ``config``: the program's layout; None: what was measured to be best for the shape.

    Raises:
        ConfigError: shapes or types that do not belong together.
        Unsupported: the GPU has no E4M3 products.

    """
    _check(codes, scale, weight)
    out = torch.empty(codes.shape[0], weight.rows, dtype=dtype, device=codes.device)
    if codes.shape[0]:
        run(codes, scale, weight, out, config or choose(weight, codes.shape[0]))
    return out


def kernel_name(weight: PackedWeight) -> str:
    """Return the name under which a weight's programs were measured."""
    if weight.scheme.strategy == "block":
        return "fp8-block"
    return {"e4m3": "fp8", "int8": "w8a8", "int4": "w4a8"}[weight.scheme.element]


def choose(weight: PackedWeight, m: int) -> Config:
    """Return the program's layout for ``m`` inputs."""
    if not (9, 0) <= _capability(weight.codes.device) < (12, 0):
        return PLAIN  # the table's layouts want the shared memory of a Hopper GPU
    return find_config(kernel_name(weight), weight.rows, weight.columns, m)


def _capability(device: torch.device) -> tuple[int, int]:
    """Return a GPU's compute capability; Hopper's where Triton interprets."""
    return torch.cuda.get_device_capability(device) if device.type == "cuda" else (9, 0)


def run(codes: Tensor, scale: Tensor, weight: PackedWeight, out: Tensor, config: Config) -> None:
    """Write the product to ``out`` (M, N) with the program of ``config``, or one that fits."""
    if isinstance(config, Wide) and (codes.shape[1] % 16 or codes.data_ptr() % 16):
        config = PLAIN
    if isinstance(config, Narrow):
        _run_narrow(codes, scale, weight, out, config)
    else:
        _run_wide(codes, scale, weight, out, config)


def _check(codes: Tensor, scale: Tensor, weight: PackedWeight) -> None:
    blocks = weight.scheme.strategy == "block"
    wanted = torch.int8 if weight.scheme.element == "int8" else torch.float8_e4m3fn
    shapes = [(codes.shape[0], weight.scale.shape[-1])] if blocks else [(codes.shape[0], 1)]
    fits = tuple(scale.shape) in shapes or (not blocks and scale.numel() == 1)
    if codes.shape[1:] != (weight.columns,) or codes.dtype != wanted or not fits:
        raise ConfigError(
            f"Inputs {tuple(codes.shape)} {codes.dtype} with scales {tuple(scale.shape)} do not go "
            f"with a {kernel_name(weight)} weight {(weight.rows, weight.columns)}.",
            hint=f"Quantize them as the weight wants: {weight.activations}.",
        )
    if wanted.is_floating_point and _capability(codes.device) < (8, 9):
        raise Unsupported(
            "E4M3 products need compute capability 8.9 (Ada) or newer.",
            hint="Use w8a8 here, or a weight-only format.",
        )
    if not (codes.is_contiguous() and scale.is_contiguous() and scale.dtype == torch.float32):
        raise ConfigError(
            "Codes and scales must lie in rows without gaps, scales in float32.",
            hint="Call contiguous() and float() on them.",
        )


def _step(scale: Tensor) -> int:
    """Return how far apart scales of neighbouring inputs lie; 0 where all share one."""
    return scale.shape[-1] if scale.numel() > 1 else 0


def _in_blocks(weight: PackedWeight, config: C) -> C:
    """Return ``config`` with steps of what shares a scale, where that is on the way."""
    scheme = weight.scheme
    rows = min(config.block_n, scheme.rows or config.block_n)
    return replace(config, block_k=scheme.group or config.block_k, block_n=rows)


def _kind(weight: PackedWeight) -> str:
    if weight.scheme.element == "int4":
        return "group"
    return "block" if weight.scheme.strategy == "block" else "channel"


def _run_narrow(
    codes: Tensor, scale: Tensor, weight: PackedWeight, out: Tensor, config: Narrow
) -> None:
    config = _in_blocks(weight, config)
    block_k, width = config.block_k, weight.codes.shape[1]
    tiles = -(-weight.rows // config.block_n) * -(-len(codes) // config.block_m)
    split = min(config.split, -(-width // block_k))
    if tiles > COUNTERS or tiles * split * config.block_m * config.block_n > PARTS:
        split = 1
    room = workspace(codes.device)
    whole = codes.element_size() * weight.columns == width * (2 if _kind(weight) == "group" else 1)
    tile = [config.block_n, block_k]
    narrow[tiles, split](
        codes,
        weight.codes,
        TensorDescriptor.from_tensor(weight.codes, tile) if config.tma else None,
        out,
        scale,
        weight.scale,
        room.parts if codes.dtype == torch.int8 else room.parts.view(torch.float32),
        room.arrivals,
        len(codes),
        weight.rows,
        weight.columns,
        width,
        weight.scale.shape[-1],
        _step(scale),
        KIND=_kind(weight),
        ROWS=weight.scheme.rows or 1,
        BLOCK_M=config.block_m,
        BLOCK_N=config.block_n,
        BLOCK_K=block_k,
        SPLIT=split,
        EVEN=whole and width % block_k == 0,
        TMA=config.tma,
        STAGES=config.stages,
        PRECISE=min(config.precise, block_k) if codes.dtype != torch.int8 else 0,
        ASM=COMPILED,
        PDL=config.pdl and COMPILED,
        LATE=config.late,
        PREFETCH=config.prefetch,
        num_warps=config.warps,
        num_stages=config.stages,
        launch_pdl=config.pdl,
    )


def _multiprocessors(device: torch.device) -> int:
    """Return those of a GPU; a few where Triton interprets."""
    if device.type != "cuda":
        return 4
    return torch.cuda.get_device_properties(device).multi_processor_count


def _run_wide(
    codes: Tensor, scale: Tensor, weight: PackedWeight, out: Tensor, config: Wide
) -> None:
    config = _in_blocks(weight, config)
    if out.element_size() == 4:  # a tile on its way out takes twice the room
        config = replace(config, stages=max(2, config.stages - 1), subtiles=2)
    n = weight.rows
    tiles = -(-len(codes) // config.block_m) * -(-n // config.block_n)
    store_tma = config.store_tma and n * out.element_size() % 16 == 0
    spelled, steps = weight.codes, weight.scale
    if _kind(weight) == "group":
        spelled, steps = _spelled(weight), weight.scale.float()  # narrower ones are not prefetched
    part = [config.block_m, config.block_n // config.subtiles]
    wide[min(tiles, _multiprocessors(codes.device) * config.resident),](
        TensorDescriptor.from_tensor(codes, [config.block_m, config.block_k]),
        TensorDescriptor.from_tensor(spelled, [config.block_n, config.block_k]),
        TensorDescriptor.from_tensor(out, part) if store_tma else None,
        spelled,
        out,
        scale,
        steps,
        len(codes),
        n,
        spelled.shape[1],
        weight.scale.shape[-1],
        _step(scale),
        KIND=_kind(weight),
        ROWS=weight.scheme.rows or 1,
        INT8=codes.dtype == torch.int8,
        BLOCK_M=config.block_m,
        BLOCK_N=config.block_n,
        BLOCK_K=config.block_k,
        GROUP_M=config.group_m,
        STAGES=config.stages,
        PRECISE=config.precise if codes.dtype != torch.int8 else 0,
        STORE_TMA=store_tma,
        SUBTILES=config.subtiles,
        FLATTEN=config.flatten,
        PDL=config.pdl and COMPILED,
        PREFETCH=config.prefetch,
        num_warps=config.warps,
        num_stages=config.stages,
        launch_pdl=config.pdl,
    )


def _spelled(weight: PackedWeight) -> Tensor:
    """Return int4 codes (N, K) in E4M3: a byte each, gone after the product."""
    group, (n, width) = weight.scheme.group or 128, weight.codes.shape
    spelled = weight.codes.new_empty(n, 2 * width)
    spell[width // group, -(-n // 32)](weight.codes, spelled, n, width, GROUP=group, BLOCK_N=32)
    return spelled.view(torch.float8_e4m3fn)
