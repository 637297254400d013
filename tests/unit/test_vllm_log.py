from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qbench.workers.engines.vllm_log import LogFacts, compute_path, read_log, root_cause

START = """\
(APIServer pid=7) INFO 07-01 10:00:00 [api_utils.py:330] vLLM server version 0.26.0, serving model m
(EngineCore pid=9) INFO 07-01 10:00:09 [core.py:117] Initializing a V1 LLM engine (v0.26.0) with \
config: model='org/m', speculative_config=None, tokenizer='org/m', dtype=torch.bfloat16, \
max_seq_len=4096, tensor_parallel_size=1, quantization={quantization}, quantization_config=None, \
enforce_eager=False, kv_cache_dtype=auto, seed=0, served_model_name=m
(EngineCore pid=9) INFO 07-01 10:00:11 [cuda.py:483] Using FLASH_ATTN attention backend out of \
potential backends: ['FLASH_ATTN', 'TRITON_ATTN'].
{lines}
(EngineCore pid=9) INFO 07-01 10:00:20 [gpu_model_runner.py:5348] Model loading took 5.4 GiB \
memory and 8.123456 seconds
"""


def log(quantization: str = "None", *lines: str) -> LogFacts:
    return read_log(START.format(quantization=quantization, lines="\n".join(lines)))


def test_an_unquantized_start_is_read() -> None:
    facts = log()
    assert facts == LogFacts(
        version="0.26.0",
        quantization="None",
        attention="FLASH_ATTN",
        weights_gib=5.4,
        settings={
            "dtype": "torch.bfloat16",
            "max_seq_len": "4096",
            "kv_cache_dtype": "auto",
            "tensor_parallel_size": "1",
        },
    )
    assert compute_path(facts, activation_bits=None) == "native"
    assert facts.kernel == ""


@pytest.mark.parametrize(
    ("lines", "activation_bits", "kernel", "path"),
    [
        (
            ["Using MacheteLinearKernel for CompressedTensorsWNA16"],
            None,
            "MacheteLinearKernel",
            "native",
        ),
        (
            ["Using MarlinLinearKernel for CompressedTensorsWNA16"],
            None,
            "MarlinLinearKernel",
            "native",
        ),
        (
            ["Selected CutlassFP8ScaledMMLinearKernel for CompressedTensorsW8A8Fp8"],
            8,
            "CutlassFP8ScaledMMLinearKernel",
            "native",
        ),
        (
            ["Using MarlinNvFp4LinearKernel for NVFP4 GEMM"],
            4,
            "MarlinNvFp4LinearKernel",
            "weight-only fallback",
        ),
        (
            [
                "Selected CutlassFP8ScaledMMLinearKernel for Fp8LinearMethod",
                "WARNING Your GPU does not have native support for FP8 computation but FP8 ...",
            ],
            8,
            "CutlassFP8ScaledMMLinearKernel",
            "weight-only fallback",
        ),
        (
            ["Using EmulationNvFp4LinearKernel for NVFP4 GEMM"],
            4,
            "EmulationNvFp4LinearKernel",
            "emulated",
        ),
        (
            [
                "Selected CutlassFP8ScaledMMLinearKernel for a",
                "Selected MarlinFP8ScaledMMLinearKernel for b",
            ],
            8,
            "CutlassFP8ScaledMMLinearKernel, MarlinFP8ScaledMMLinearKernel",
            "weight-only fallback",
        ),
        ([], 8, "", "unknown"),
        ([], None, "", "unknown"),
    ],
)
def test_the_kernel_decides_whether_a_format_really_ran(
    lines: list[str], activation_bits: int | None, kernel: str, path: str
) -> None:
    facts = log("compressed-tensors", *lines)
    assert facts.quantization == "compressed-tensors"
    assert facts.kernel == kernel
    assert compute_path(facts, activation_bits=activation_bits) == path


def test_repeated_lines_count_once() -> None:
    line = "Selected AKernel for layers.0"
    assert log("fp8", line, line).kernels == (("AKernel", "layers.0"),)


def test_an_old_or_silent_log_makes_facts_unknown() -> None:
    facts = read_log("nothing to see\n")
    assert facts == LogFacts()
    assert compute_path(facts, activation_bits=None) == "unknown"


@given(st.text())
def test_no_text_breaks_the_reader(text: str) -> None:
    assert isinstance(read_log(text), LogFacts)
    assert isinstance(root_cause(text.splitlines()), str)


FAILED = """\
(EngineCore pid=9) ERROR 07-01 [core.py:980] Traceback (most recent call last):
(EngineCore pid=9) ERROR 07-01 [core.py:980]   File "/x/worker.py", line 1, in init_device
(EngineCore pid=9) ERROR 07-01 [core.py:980] ValueError: Free memory on device (3.1/79.1 GiB) on \
startup is less than desired GPU memory utilization (0.9, 71.2 GiB).
(APIServer pid=7) Traceback (most recent call last):
(APIServer pid=7) RuntimeError: Engine core initialization failed. See root cause above.
"""


def test_the_reason_is_found_above_the_last_exception_with_what_to_do() -> None:
    said = root_cause(FAILED.splitlines())
    assert said.startswith("ValueError: Free memory on device (3.1/79.1 GiB) on startup is less")
    assert said.endswith("Free the GPU's memory, or lower -o gpu_memory.")


def test_a_log_without_an_exception_has_no_reason() -> None:
    assert root_cause(["INFO all is well"]) == ""
