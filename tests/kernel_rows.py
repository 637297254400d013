"""Made-up timings of kernels, as a file would hold them."""

from __future__ import annotations

from typing import Any

import msgspec

from qbench.kernels.speed.rows import Ceilings, Row, Setting

CEILINGS = Ceilings(copy=3.0, read=2.5, bf16=800.0, fp8=1500.0, int8=0.0)
SETTING = Setting(
    gpu="NVIDIA Test 80GB",
    driver="1.2",
    torch="2.11",
    cuda="13.0",
    triton="3.6",
    vllm="",
    qbench="0",
    date="2026-11-26T05:00:00Z",
    seed=1,
    ceilings=CEILINGS,
)
ROW = Row(
    kernel="narrow",
    format="w4a16",
    contestant="qbench",
    part="whole",
    model="llama-3.1-8b",
    layer="o",
    n=4096,
    k=4096,
    m=1,
    median_us=4.0,
    p20_us=3.9,
    p80_us=4.2,
    replays=20,
    bytes=9_000_000,
    flops=2 * 4096 * 4096,
    unit="bf16",
    error=0.002,
    config="16x64",
    setting=SETTING,
)


def row(**changes: Any) -> Row:
    """Return a row that differs from the usual one."""
    return msgspec.structs.replace(ROW, **changes)
