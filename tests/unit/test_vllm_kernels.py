from __future__ import annotations

import pytest

from qbench.kernels.formats import FORMATS
from qbench.kernels.paths import compute_path
from qbench.workers.engines.vllm_kernels import element_of, inputs_of, other_activations, path_of

X86 = "x86_64 avx512_bf16 avx512_vnni"


@pytest.mark.parametrize(
    ("format_name", "kernels", "architecture", "path"),
    [
        ("w4a16", ["MacheteLinearKernel"], "sm_90", "native"),
        ("w4a16", ["MarlinLinearKernel"], "sm_80", "native"),
        ("w4a16", ["CPUWNA16LinearKernel"], X86, "native"),
        ("w8a16", ["AllSparkLinearKernel"], "sm_80", "native"),
        ("fp8", ["CutlassFP8ScaledMMLinearKernel"], "sm_90", "native"),
        ("fp8", ["MarlinFP8ScaledMMLinearKernel"], "sm_80", "weight-only fallback"),
        ("fp8", ["CutlassFP8ScaledMMLinearKernel"], "sm_80", "unknown"),
        ("fp8", ["ChannelWiseTorchFP8ScaledMMLinearKernel"], X86, "emulated"),
        ("fp8", ["CPUFp8PerTensorScaledMMLinearKernel"], X86, "weight-only fallback"),
        ("w8a8", ["CutlassInt8ScaledMMLinearKernel"], "sm_90", "native"),
        ("w8a8", ["CutlassInt8ScaledMMLinearKernel"], "sm_100", "unknown"),
        ("w8a8", ["CPUInt8ScaledMMLinearKernel"], X86, "native"),
        ("w8a8", ["CPUInt8ScaledMMLinearKernel"], "x86_64 avx2", "unknown"),
        ("w4a8", ["CutlassW4A8LinearKernel"], "sm_90", "native"),
        ("nvfp4", ["MarlinNvFp4LinearKernel"], "sm_90", "weight-only fallback"),
        ("nvfp4", ["MarlinNvFp4LinearKernel"], "sm_120", "weight-only fallback"),
        ("nvfp4", ["FlashInferCutlassNvFp4LinearKernel"], "sm_100", "native"),
        ("nvfp4", ["FlashInferCuteDslNvFp4W4A16LinearKernel"], "sm_100", "weight-only fallback"),
        ("nvfp4", ["B12xNvFp4LinearKernel"], "sm_120", "native"),
        ("nvfp4", ["HummingNvFp4LinearKernel"], "sm_90", "unknown"),
        ("nvfp4", ["EmulationNvFp4LinearKernel"], "sm_90", "emulated"),
        (
            "nvfp4",
            ["MARLIN", "FlashInferCutlassNvFp4LinearKernel"],
            "sm_100",
            "weight-only fallback",
        ),
        ("nvfp4a16", ["MarlinNvFp4LinearKernel"], "sm_90", "native"),
        ("mxfp4", ["MarlinMxFp4LinearKernel"], "sm_90", "weight-only fallback"),
        ("mxfp4", ["FlashInferMxFp4LinearKernel"], "sm_100", "native"),
        ("mxfp4a16", ["MarlinMxFp4LinearKernel"], "sm_100", "native"),
        ("mxfp4a16", ["FlashInferMxFp4LinearKernel"], "sm_100", "unknown"),
        ("nf4", ["bitsandbytes"], "sm_90", "native"),
        ("int4-mr", ["MarlinLinearKernel"], "sm_90", "weight-only fallback"),
        ("w3a16", ["QbenchTritonIntegerLinearKernel"], "sm_90", "native"),
        ("mxfp4a16", ["QbenchTritonMxFp4LinearKernel"], "sm_100", "native"),
        ("mxfp4", ["QbenchTritonMxFp4LinearKernel"], "sm_90", "weight-only fallback"),
        ("mxfp4-mr", ["QbenchRoundingMxFp4LinearKernel"], "sm_90", "emulated"),
        ("mxfp8", ["QbenchRoundingMarlinMxfp8LinearKernel"], "sm_90", "emulated"),
        ("w8a8", ["SomethingNewKernel"], "sm_90", "unknown"),
        ("w8a8", [], "sm_90", "unknown"),
        ("w4a16", [], "sm_90", "unknown"),
    ],
)
def test_kernel_format_and_gpu_decide_what_really_ran(
    format_name: str, kernels: list[str], architecture: str, path: str
) -> None:
    assert path_of(format_name, kernels, architecture) == path


@pytest.mark.parametrize(
    ("format_name", "kernel", "architecture"),
    [
        ("fp8", "MarlinFP8ScaledMMLinearKernel", "sm_80"),
        ("fp8", "CutlassFP8ScaledMMLinearKernel", "sm_89"),
        ("w8a8", "CutlassInt8ScaledMMLinearKernel", "sm_90"),
        ("w4a16", "MacheteLinearKernel", "sm_90"),
        ("w4a8", "CutlassW4A8LinearKernel", "sm_90"),
        ("nvfp4", "MarlinNvFp4LinearKernel", "sm_80"),
        ("nvfp4", "QbenchRoundingNvFp4LinearKernel", "sm_90"),
        ("nvfp4", "FlashInferCutlassNvFp4LinearKernel", "sm_100"),
        ("mxfp4-mr", "QbenchRoundingMxFp4LinearKernel", "sm_90"),
        ("mxfp4", "FlashInferMxFp4LinearKernel", "sm_100"),
        ("mxfp4a16", "QbenchTritonMxFp4LinearKernel", "sm_100"),
        ("w4a8-fp4", "QbenchRoundingMxFp4LinearKernel", "sm_100"),
        ("mxfp8", "QbenchRoundingMarlinMxfp8LinearKernel", "sm_90"),
        ("w2a16", "QbenchTritonIntegerLinearKernel", "sm_80"),
        ("mxfp8", "FlashInferCutlassMxfp8LinearKernel", "sm_100"),
        ("int4-mr", "QbenchRoundingIntegerLinearKernel", "sm_90"),
        ("fp8", "ChannelWiseTorchFP8ScaledMMLinearKernel", X86),
        ("nvfp4", "QbenchEmulationNvFp4LinearKernel", X86),
        ("w3a16", "QbenchEmulationIntegerLinearKernel", X86),
        ("w8a8", "CPUInt8ScaledMMLinearKernel", X86),
    ],
)
def test_the_forecast_is_what_the_log_then_says(
    format_name: str, kernel: str, architecture: str
) -> None:
    forecast = compute_path(FORMATS[format_name], architecture, emulated=False)
    assert path_of(format_name, [kernel], architecture) == forecast


def test_the_warning_never_decides_alone() -> None:
    assert path_of("nvfp4", [], "sm_100", warned=True) == "unknown"
    assert path_of("nvfp4", ["CutlassNvFp4LinearKernel"], "sm_120", warned=True) == "unknown"
    assert path_of("nvfp4a16", ["MarlinNvFp4LinearKernel"], "sm_120", warned=True) == "native"
    assert path_of("nvfp4", ["MarlinNvFp4LinearKernel"], "sm_90", warned=True) == (
        "weight-only fallback"
    )


def test_a_kernel_that_rounds_otherwise_than_the_format_is_named() -> None:
    four_bit = "FlashInferMxFp4LinearKernel"
    assert other_activations("mxfp4a16", [four_bit]) == four_bit
    assert other_activations("w4a8-fp4", [four_bit]) == four_bit
    assert other_activations("mxfp4", [four_bit]) == ""
    assert other_activations("mxfp4a16", ["MarlinMxFp4LinearKernel"]) == ""
    assert other_activations("fp8", ["CutlassFP8ScaledMMLinearKernel"]) == ""
    assert path_of("w4a8-fp4", [four_bit], "sm_100") == "unknown"


@pytest.mark.parametrize(
    ("kernel", "element"),
    [
        ("CutlassW4A8LinearKernel", "e4m3"),
        ("FlashInferCutlassMxfp8LinearKernel", "e4m3"),
        ("CutlassInt8ScaledMMLinearKernel", "int8"),
        ("B12xNvFp4LinearKernel", "e2m1"),
        ("SomethingNewKernel", ""),
    ],
)
def test_the_name_tells_what_a_kernel_takes(kernel: str, element: str) -> None:
    assert element_of(kernel) == element


def test_a_kernel_of_an_unknown_name_is_unknown() -> None:
    assert inputs_of("SomethingNewKernel") == "unknown"
