"""Rows of kernels made up for tests: a stated roofline with a start, on a GPU that is none."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from qbench.kernels.formats import get_format
from qbench.kernels.layertime.kernels import Kernels
from qbench.kernels.speed.rows import Ceilings, Part, Row, Setting, Unit
from qbench.kernels.speed.shapes import DECODERS, TOKENS

GPU = "NVIDIA H100 80GB HBM3"
START_S = 2e-6
CEILINGS = Ceilings(copy=3.0, read=2.5, bf16=800.0, fp8=1500.0, int8=1400.0)
SETTING = Setting(
    gpu=GPU,
    driver="",
    torch="",
    cuda="",
    triton="",
    vllm="",
    qbench="",
    date="2026-11-26",
    seed=0,
    ceilings=CEILINGS,
)


class Made(Struct, frozen=True):
    """How good a made-up kernel is."""

    format: str
    contestant: str
    unit: Unit = "bf16"
    bandwidth: float = 0.8
    """Share of the copy bandwidth."""
    rate: float = 0.8
    """Share of its unit's rate."""
    part: Part = "whole"


MADE = (
    Made("bf16", "cublas"),
    Made("fp8", "qbench", "fp8"),
    Made("w8a8", "qbench", "int8"),
    Made("w4a16", "qbench", rate=0.6),
    Made("fp8", "cutlass product", "fp8"),
    Made("w4a16", "machete", rate=0.7),
)


def made_rows(
    kinds: Sequence[Made] = MADE,
    models: Sequence[str] = tuple(DECODERS),
    tokens: Sequence[int] = TOKENS,
) -> list[Row]:
    """Make rows of all layers of models."""
    return [
        _row(kind, model, layer.layer, (layer.rows, layer.columns, m))
        for kind in kinds
        for model in models
        for layer in DECODERS[model].linears
        if layer.quantized or kind.format == "bf16"
        for m in tokens
    ]


def made_kernels(kinds: Sequence[Made] = MADE) -> Kernels:
    """Make the kernels of the GPU."""
    return Kernels(made_rows(kinds))


def _row(kind: Made, model: str, layer: str, shape: tuple[int, int, int]) -> Row:
    n, k, m = shape
    moved = get_format(kind.format).packed_bits(n, k) // 8 + 2 * m * (n + k)
    flops = 2 * m * n * k
    floor = max(
        moved / (1e12 * CEILINGS.copy * kind.bandwidth),
        flops / (1e12 * CEILINGS.rate(kind.unit) * kind.rate),
    )
    micros = 1e6 * (START_S + floor)
    return Row(
        kernel=kind.contestant,
        format=kind.format,
        contestant=kind.contestant,
        part=kind.part,
        model=model,
        layer=layer,
        n=n,
        k=k,
        m=m,
        median_us=micros,
        p20_us=0.99 * micros,
        p80_us=1.01 * micros,
        replays=9,
        bytes=moved,
        flops=flops,
        unit=kind.unit,
        error=0.0,
        config="",
        setting=SETTING,
    )
