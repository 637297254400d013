from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from qbench.service.domain import ComputePath, Endpoint
from qbench.service.startups import kernel_notes, parser_notes, startup_notes


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


def test_a_start_is_told_by_its_phases_apart_from_serving() -> None:
    startup = {"process": 20.0, "weights": 8.1, "graphs": 0.0, "rest": 3.2, "total": 31.3}
    told = endpoint(startup={**startup, "preflight": 4.0})
    (said,) = startup_notes([told, told])
    assert said == (
        "Start of fp8, not counted as serving: 31.3 s (process and imports 20.0, weights 8.1, "
        "the rest 3.2); preflight 4.0 s."
    )
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
