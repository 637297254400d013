from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qbench.workers.engines.vllm_log import LogFacts, phases, read_log, root_cause

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
memory and 8.120000 seconds
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
        times={"weights": 8.12},
        settings={
            "dtype": "torch.bfloat16",
            "max_seq_len": "4096",
            "kv_cache_dtype": "auto",
            "tensor_parallel_size": "1",
        },
    )
    assert facts.kernel == ""


@pytest.mark.parametrize(
    ("line", "kernel", "what"),
    [
        (
            "Using MacheteLinearKernel for CompressedTensorsWNA16",
            "MacheteLinearKernel",
            "CompressedTensorsWNA16",
        ),
        ("Using CPUWNA16LinearKernel for mixed-precision linear", "CPUWNA16LinearKernel", None),
        ("Using MarlinNvFp4LinearKernel for NVFP4 GEMM", "MarlinNvFp4LinearKernel", "NVFP4"),
        (
            "Selected CutlassFP8ScaledMMLinearKernel for Fp8PtpcOnlineLinearMethod",
            "CutlassFP8ScaledMMLinearKernel",
            "Fp8PtpcOnlineLinearMethod",
        ),
        ("Using 'MARLIN' NvFp4 MoE backend out of potential ...", "MARLIN", "NvFp4 experts"),
        ("Using DEEPGEMM Fp8 MoE backend out of potential ...", "DEEPGEMM", "Fp8 experts"),
        (
            "Using Mxfp8EmulationTritonExperts MoE backend. Weights are ...",
            "Mxfp8EmulationTritonExperts",
            "experts",
        ),
    ],
)
def test_kernels_are_read_as_both_versions_word_them(
    line: str, kernel: str, what: str | None
) -> None:
    facts = log("compressed-tensors", line)
    assert facts.quantization == "compressed-tensors"
    assert facts.kernels == ((kernel, what or "mixed-precision"),)


TIMES = """\
torch.compile took 21.50 s in total
Initial profiling/warmup run took 1.50 s
Graph capturing finished in 4 secs, took 0.52 GiB
init engine (profile, create kv cache, warmup model) took 30.25 s (compilation: 21.50 s)"""


def test_the_phases_of_a_start_add_up() -> None:
    facts = log("None", *TIMES.splitlines())
    found = phases(facts.times, process_s=14.0, total_s=60.0)
    assert found == {
        "process": 14.0,
        "weights": 8.12,
        "compile": 21.5,
        "profile": 1.5,
        "graphs": 4.0,
        "cache": 3.25,
        "rest": 7.63,
        "total": 60.0,
    }
    assert sum(found.values()) == pytest.approx(2 * found["total"], abs=0.05)


def test_phases_that_were_not_told_are_left_out() -> None:
    assert phases({}, process_s=None, total_s=5.0) == {"rest": 5.0, "total": 5.0}
    together = "torch.compile and initial profiling/warmup run together took 9.00 s in total"
    assert log("None", together).times["compile"] == 9.0


def test_of_workers_in_parallel_the_slowest_counts() -> None:
    lines = [f"Loading weights took {s} seconds" for s in (1.25, 3.5, 2.0)]
    assert read_log("\n".join(lines)).times == {"weights": 3.5}


def test_repeated_lines_count_once() -> None:
    line = "Selected AKernel for layers.0"
    assert log("fp8", line, line).kernels == (("AKernel", "layers.0"),)


def test_an_old_or_silent_log_makes_facts_unknown() -> None:
    facts = read_log("nothing to see\n")
    assert facts == LogFacts()


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
