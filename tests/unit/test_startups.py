from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from qbench.service.domain import ComputePath, Endpoint
from qbench.service.reports.startups import kernel_notes, parser_notes, startup_notes


def endpoint(*, kernel: str = "", path: ComputePath = "native", **details: Any) -> Endpoint:
    return Endpoint(
        id="e",
        run_id="r",
        engine_key="k",
        base_url="",
        served_name="m",
        started_at=datetime(2026, 1, 1, tzinfo=UTC),
        format_requested="fp8",
        architecture="sm_90",
        engine_version="vllm 0.26.0",
        kernel=kernel,
        path=path,
        details=details,
    )


def test_starts_are_told_apart_from_serving() -> None:
    startup = {"process": 20.0, "weights": 2.1, "compile": 28.9, "graphs": 0.0, "total": 54.3}
    told = endpoint(startup={**startup, "preflight": 4.0})
    assert startup_notes([told, told]) == [
        "Starts, not counted as serving: fp8 54.3 s (compile 28.9)."
    ]
    assert startup_notes([endpoint()]) == []


def test_what_a_preflight_warned_of_is_told() -> None:
    told = endpoint(preflight={"finding": "sees calls", "warnings": ["2 replies held a call"]})
    assert parser_notes([told, endpoint()]) == ["Preflight of fp8: 2 replies held a call."]


def test_the_kernel_of_each_format_is_told_with_version_and_gpu() -> None:
    cutlass = endpoint(kernel="CutlassFP8ScaledMMLinearKernel")
    marlin = endpoint(kernel="MarlinFP8ScaledMMLinearKernel", path="weight-only fallback")
    emulated = endpoint(kernel="qbench reference", path="emulated")
    (said,) = kernel_notes([cutlass, marlin, cutlass, endpoint(), emulated])
    assert said == (
        "Kernels of vllm 0.26.0 on sm_90: fp8 by CutlassFP8ScaledMMLinearKernel (native), fp8 by "
        "MarlinFP8ScaledMMLinearKernel (weight-only fallback)."
    )
