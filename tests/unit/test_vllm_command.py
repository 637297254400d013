from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from qbench.errors import ConfigError, QbenchError, Unsupported
from qbench.service.domain import System
from qbench.workers.engines.options import read_options
from qbench.workers.engines.vllm_command import (
    REASONING_PARSERS,
    TOOL_PARSERS,
    VllmOptions,
    by_family,
    find_vllm,
    serve_command,
    uses_gpu,
)
from qbench.workers.hardware import Machine

GPU = Machine(name="h100", architecture="sm_90", gpus=2)
CPU = Machine(name="cpu-2core", architecture="x86_64")


def command(
    format_name: str = "bf16",
    *,
    model: str = "Qwen/Qwen2.5-7B-Instruct",
    on_gpu: bool = True,
    **options: Any,
) -> str:
    system = System(model=model, format=format_name, engine="vllm", options=options)
    told = read_options(system, VllmOptions)
    return " ".join(serve_command(("vllm",), system, told, port=8123, on_gpu=on_gpu))


COMMON = "--generation-config vllm --enable-prompt-tokens-details --disable-uvicorn-access-log"


def test_the_whole_command() -> None:
    assert command() == (
        "vllm serve Qwen/Qwen2.5-7B-Instruct --host 127.0.0.1 --port 8123 "
        f"--served-model-name Qwen/Qwen2.5-7B-Instruct --dtype bfloat16 {COMMON} "
        "--enable-auto-tool-choice --tool-call-parser hermes"
    )


def test_options_become_arguments() -> None:
    said = command(
        tensor_parallel=2,
        max_model_len=4096,
        gpu_memory=0.9,
        tool_call_parser="pythonic",
        reasoning_parser="qwen3",
        args=["--max-num-seqs", "64"],
    )
    assert said.endswith(
        f"{COMMON} --tensor-parallel-size 2 --max-model-len 4096 --gpu-memory-utilization 0.9 "
        "--enable-auto-tool-choice --tool-call-parser pythonic --reasoning-parser qwen3 "
        "--max-num-seqs 64"
    )


@pytest.mark.parametrize(
    ("format_name", "dtype"), [("bf16", "bfloat16"), ("fp16", "float16"), ("fp32", "float32")]
)
def test_data_types_are_formats(format_name: str, dtype: str) -> None:
    assert f"--dtype {dtype} --generation" in command(format_name)
    with pytest.raises(ConfigError, match="a data type already"):
        command(format_name, dtype="float64")


def test_fp8_is_made_while_loading_on_a_gpu_and_loaded_where_a_checkpoint_is_named() -> None:
    assert "--dtype bfloat16 --quantization fp8" in command("fp8")
    named = command("fp8", checkpoint={"fp8": "org/model-fp8"})
    assert "vllm serve org/model-fp8 " in named
    assert "--served-model-name Qwen/Qwen2.5-7B-Instruct --dtype auto" in named
    assert "--quantization" not in named
    with pytest.raises(Unsupported, match="cannot make fp8 while loading on a CPU"):
        command("fp8", on_gpu=False)


@pytest.mark.parametrize("format_name", ["w4a16", "nvfp4", "w8a8", "layercast"])
def test_other_formats_need_a_checkpoint_and_say_how_to_name_it(format_name: str) -> None:
    with pytest.raises(ConfigError, match=format_name) as caught:
        command(format_name, checkpoint={"other": "x"})
    assert f'-o \'checkpoint={{"{format_name}":' in caught.value.hint
    assert "serve org/q " in command(format_name, checkpoint={format_name: "org/q"})


def test_a_cpu_runs_eagerly() -> None:
    assert "--enforce-eager" in command(on_gpu=False)
    assert "--enforce-eager" not in command()


@pytest.mark.parametrize(
    ("model", "tools", "thinking"),
    [
        ("Qwen/Qwen2.5-7B-Instruct", "hermes", ""),
        ("Qwen/Qwen3-8B", "hermes", "qwen3"),
        ("Qwen/Qwen3-4B-Instruct-2507", "hermes", ""),
        ("Qwen/Qwen3-Coder-30B-A3B-Instruct", "qwen3_coder", ""),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", "hermes", ""),
        ("meta-llama/Llama-3.1-8B-Instruct", "llama3_json", ""),
        ("meta-llama/Meta-Llama-3.1-8B-Instruct", "llama3_json", ""),
        ("meta-llama/Llama-4-Scout-17B-16E-Instruct", "llama4_pythonic", ""),
        ("mistralai/Mistral-7B-Instruct-v0.3", "mistral", ""),
        ("deepseek-ai/DeepSeek-V3.1", "deepseek_v31", ""),
        ("openai/gpt-oss-20b", "openai", ""),
        ("/models/llama-3.2-1b/", "llama3_json", ""),
        ("org/unheard-of-7b", "", ""),
    ],
)
def test_the_family_chooses_the_parsers(model: str, tools: str, thinking: str) -> None:
    assert by_family(model, TOOL_PARSERS, "") == tools
    assert by_family(model, REASONING_PARSERS, "") == thinking
    assert by_family(model, TOOL_PARSERS, "none") == ""
    assert by_family(model, TOOL_PARSERS, "pythonic") == "pythonic"


def executable(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_vllm_is_found_by_executable_environment_or_path(tmp_path: Path) -> None:
    program = executable(tmp_path / "env/bin/vllm")
    python = executable(tmp_path / "env/bin/python3")
    module = (str(python), "-m", "vllm.entrypoints.cli.main")
    assert find_vllm({"QBENCH_VLLM": str(program)}) == (str(program),)
    assert find_vllm({"QBENCH_VLLM": str(tmp_path / "env")}) == (str(program),)
    assert find_vllm({"QBENCH_VLLM": str(python)}) == module
    assert find_vllm({"PATH": str(program.parent)}) == (str(program),)
    assert find_vllm({"PATH": str(tmp_path)}) == ()
    assert find_vllm({"QBENCH_VLLM": "/nowhere", "PATH": str(program.parent)}) == ()


def test_gpus_are_used_where_there_are_enough() -> None:
    assert uses_gpu(VllmOptions(tensor_parallel=2), GPU)
    assert not uses_gpu(VllmOptions(), CPU)
    assert not uses_gpu(VllmOptions(device="cpu"), GPU)
    with pytest.raises(Unsupported, match="3 GPUs were asked for and there are 2"):
        uses_gpu(VllmOptions(tensor_parallel=3), GPU)
    with pytest.raises(Unsupported, match="no GPU"):
        uses_gpu(VllmOptions(device="cuda"), CPU)


@pytest.mark.parametrize(
    "options",
    [{"device": "tpu"}, {"tensor_parallel": 0}, {"gpu_memory": 1.5}, {"checkpoint": "x"}, {"x": 1}],
)
def test_options_are_checked(options: dict[str, Any]) -> None:
    with pytest.raises(QbenchError):
        command(**options)
