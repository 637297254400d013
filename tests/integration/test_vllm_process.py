"""The vLLM engine around a stand-in: a program named ``vllm`` that serves the mock endpoint."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from qbench.errors import ConfigError, EngineStartError, EngineUnavailable, Unsupported
from qbench.service.domain import System
from qbench.workers.engines import load_engine
from qbench.workers.engines.vllm import VllmEngine
from tests.integration.endpoints import ask

PROGRAM = """\
    #!{python}
    import os, sys
    from qbench.workers.mock_endpoint import main

    told = dict(zip(sys.argv[3::2], sys.argv[4::2]))
    mode = os.environ.get("STAND_IN", "")
    print("(APIServer pid=1) INFO vLLM server version 0.26.0, serving model m", flush=True)
    if mode == "broken":
        print("ValueError: To serve at least one request, 4 GiB KV cache is needed")
        print("RuntimeError: Engine core initialization failed. See root cause above.")
        sys.exit(1)
    dtype = told["--dtype"] if told["--dtype"] != "auto" else "bfloat16"
    print(f"Initializing a V1 LLM engine (v0.26.0) with config: dtype=torch.{{dtype}}, "
          f"max_seq_len=512, quantization={{mode or None}}, seed=0")
    print("Starting to load model m...", flush=True)
    if mode:
        kernel = os.environ.get("KERNEL", "MarlinLinearKernel")
        print(f"Using {{kernel}} for CompressedTensorsWNA16")
    print("Model loading took 0.25 GiB memory and 0.010000 seconds", flush=True)
    print("init engine (profile, create kv cache, warmup model) took 0.02 s", flush=True)
    sys.exit(main(["--port", told["--port"], "--model", told["--served-model-name"],
                   "--reply", os.environ.get("REPLY", "sum"), "--accuracy", "1",
                   "--calls", os.environ.get("CALLS", "parsed")]))
"""


@pytest.fixture(autouse=True)
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "bin" / "vllm"
    path.parent.mkdir()
    path.write_text(textwrap.dedent(PROGRAM).format(python=sys.executable))
    path.chmod(0o755)
    monkeypatch.setenv("QBENCH_VLLM", str(path))
    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))  # logs of failures are kept
    return path


def system(format_name: str = "bf16", model: str = "org/llama-3.2-1b", **options: Any) -> System:
    told = {"device": "cpu", **options}
    return System(model=model, format=format_name, engine="vllm", options=told)


def checkpoint(folder: Path, bits: int) -> str:
    folder.mkdir()
    told = {"quant_method": "gptq", "bits": bits, "group_size": 128}
    (folder / "config.json").write_text(json.dumps({"quantization_config": told}))
    return str(folder)


async def test_it_is_started_asked_described_and_ended() -> None:
    said: list[str] = []
    told = system()
    async with load_engine("vllm").serve(told, concurrency=4, say=said.append) as serving:
        turn = await serving.chat.reply(ask("20 + 22"))
        seconds = await serving.seconds()
    endpoint = serving.endpoint
    assert turn.message.content == "42"
    assert turn.served_model == "org/llama-3.2-1b"
    assert turn.timing.ttft_s is not None
    assert seconds.load > 0
    assert seconds.busy > 0
    assert (endpoint.served_name, endpoint.format_effective) == ("org/llama-3.2-1b", "bf16")
    assert (endpoint.engine_version, endpoint.path) == ("vllm 0.26.0", "native")
    assert endpoint.hardware.startswith("cpu-")
    assert endpoint.checkpoint == "unverified (org/llama-3.2-1b)"
    assert "--tool-call-parser llama3_json" in endpoint.details["command"]
    assert endpoint.base_url.removesuffix("/v1").rpartition(":")[2] in endpoint.details["command"]
    assert said[0].startswith("starting ")
    assert "vllm 0.26.0 is up after" in said[-1]
    startup = endpoint.details["startup"]
    assert startup["weights"] == 0.01
    assert startup["cache"] == 0.02
    assert 0 < startup["process"] <= startup["total"]
    assert endpoint.details["preflight"]["finding"] == "nothing to judge"
    assert seconds.load == pytest.approx(startup["total"] + startup["preflight"], abs=0.02)


async def test_a_checkpoint_is_named_read_and_recorded_with_its_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN", "gptq_marlin")
    folder = checkpoint(tmp_path / "int4", 4)
    told = system("w4a16", checkpoint={"w4a16": folder})
    async with VllmEngine().serve(told, concurrency=4, say=print) as serving:
        endpoint = serving.endpoint
    assert endpoint.format_effective == "gptq int4 group 128, activations 16"
    assert endpoint.checkpoint == f"gptq int4 group 128, activations 16 ({folder})"
    assert (endpoint.kernel, endpoint.path) == ("MarlinLinearKernel", "native")


async def test_a_checkpoint_of_another_format_is_refused_before_anything_starts(
    tmp_path: Path,
) -> None:
    told = system("w4a16", checkpoint={"w4a16": checkpoint(tmp_path / "int8", 8)})
    assert "holds gptq int8 group 128, activations 16, which is not w4a16" in VllmEngine().refuse(
        told
    )
    with pytest.raises(Unsupported, match="not w4a16"):
        async with VllmEngine().serve(told, concurrency=4, say=print):
            pass


async def test_a_parser_that_sees_nothing_is_refused_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "script.json"
    script.write_text(json.dumps({"*": [{"call": "add", "arguments": {"a": 1, "b": 2}}]}))
    monkeypatch.setenv("REPLY", str(script))
    monkeypatch.setenv("CALLS", "text")
    with pytest.raises(EngineStartError, match="parser llama3_json does not see the calls"):
        async with VllmEngine().serve(system(), concurrency=4, say=print):
            pass
    skipped = system(preflight=False)
    async with VllmEngine().serve(skipped, concurrency=4, say=print) as serving:
        assert "preflight" not in serving.endpoint.details


async def test_what_came_up_as_something_else_is_not_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STAND_IN", "gptq")
    with pytest.raises(EngineStartError, match=r"quantization=gptq, dtype=bfloat16, which is not"):
        async with VllmEngine().serve(system("bf16"), concurrency=4, say=print):
            pass


async def test_a_kernel_that_rounds_what_the_format_keeps_is_not_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN", "compressed-tensors")
    monkeypatch.setenv("KERNEL", "FlashInferMxFp4LinearKernel")
    folder = tmp_path / "mxfp4a16"
    folder.mkdir()
    weights = {"num_bits": 4, "type": "float", "group_size": 32}
    groups = {"group_0": {"weights": weights, "input_activations": None}}
    told = {"quant_method": "compressed-tensors", "config_groups": groups}
    (folder / "config.json").write_text(json.dumps({"quantization_config": told}))
    asked = system("mxfp4a16", checkpoint={"mxfp4a16": str(folder)})
    with pytest.raises(EngineStartError, match="FlashInferMxFp4LinearKernel, which rounds"):
        async with VllmEngine().serve(asked, concurrency=4, say=print):
            pass


async def test_a_failed_start_tells_reason_remedy_command_and_log(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STAND_IN", "broken")
    with pytest.raises(EngineStartError, match="exit code 1") as caught:
        async with VllmEngine().serve(system(), concurrency=4, say=print):
            pass
    said = caught.value.what
    assert "ValueError: To serve at least one request" in said
    assert "lower -o max_model_len" in said.lower()
    assert "--dtype bfloat16" in said
    assert "See root cause above" in said  # the log's own end


async def test_a_server_that_dies_is_started_again_and_the_request_answered() -> None:
    died = asyncio.Event()

    def say(line: str) -> None:
        if "died" in line:
            died.set()

    async with VllmEngine().serve(system(), concurrency=4, say=say) as serving:
        first = await serving.seconds()
        kill_servers_on(serving.endpoint.base_url)
        await died.wait()
        turn = await serving.chat.reply(ask("20 + 22"))
        second = await serving.seconds()
    assert turn.message.content == "42"
    assert second.load > first.load


async def test_a_server_that_keeps_dying_is_given_up_as_unavailable() -> None:
    said: list[str] = []
    gone = asyncio.Event()

    def say(line: str) -> None:
        said.append(line)
        if "died" in line:
            gone.set()

    async with VllmEngine().serve(system(), concurrency=4, say=say) as serving:
        for _ in range(3):
            kill_servers_on(serving.endpoint.base_url)
            await gone.wait()
            gone.clear()
            if not said[-1].endswith("."):
                await serving.chat.reply(ask("1 + 1"))
        with pytest.raises(EngineUnavailable, match="killed by SIGKILL"):
            await serving.chat.reply(ask("1 + 1"))


def kill_servers_on(base_url: str) -> None:
    """Kill the server itself, not the leash that leads its group."""
    port = base_url.removesuffix("/v1").rpartition(":")[2]
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and port in command_line(entry) and is_server(entry):
            os.kill(int(entry.name), signal.SIGKILL)


def command_line(entry: Path) -> list[str]:
    try:
        return (entry / "cmdline").read_text().split("\0")
    except OSError:
        return []


def is_server(entry: Path) -> bool:
    return not any(part.endswith("leash.py") for part in command_line(entry))


@pytest.mark.parametrize(
    ("format_name", "options", "said"),
    [
        ("w4a16", {}, "qbench quantize org/llama-3.2-1b --format w4a16"),
        ("mxfp8", {}, "cannot make mxfp8 while loading on a CPU"),
        ("layercast", {}, "no layercast"),
        ("bf16", {"device": "cuda", "tensor_parallel": 64}, "GPU"),
        ("bf16", {"tool_call_parser": "none"}, "need a tool-call parser"),
        ("bf16", {"max_model_length": 5}, "Did you mean max_model_len?"),
    ],
)
def test_what_is_missing_is_said_before_anything_starts(
    format_name: str, options: dict[str, Any], said: str
) -> None:
    assert said in VllmEngine().refuse(system(format_name, **options))


async def test_without_vllm_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QBENCH_VLLM", "/nowhere/vllm")
    assert "pip install vllm" in VllmEngine().refuse(system())
    with pytest.raises(ConfigError, match="QBENCH_VLLM"):
        async with VllmEngine().serve(system(), concurrency=4, say=print):
            pass


def test_a_complete_system_is_not_refused() -> None:
    assert VllmEngine().refuse(system()) == ""
