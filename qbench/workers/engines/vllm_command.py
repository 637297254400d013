"""The command that serves a model with vLLM. Pure, but for the search for the executable."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

from qbench.errors import ConfigError, Unsupported
from qbench.service.domain import System
from qbench.workers.hardware import Machine

VARIABLE = "QBENCH_VLLM"
INSTALL = (
    "Install it into an environment of its own (python -m venv ~/vllm && ~/vllm/bin/pip install "
    f"vllm) and set {VARIABLE}=~/vllm/bin/vllm."
)

DTYPES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}
"""Formats that are a data type: any unquantized checkpoint serves them."""

ON_THE_FLY = {"fp8": "fp8"}
"""Formats that vLLM makes while loading, on GPUs: weights per tensor, activations dynamic."""

TOOL_PARSERS = (
    ("llama-4", "llama4_pythonic"),
    ("llama-3", "llama3_json"),
    ("llama3", "llama3_json"),
    ("qwen3-coder", "qwen3_coder"),
    ("qwen", "hermes"),
    ("smollm", "hermes"),
    ("hermes", "hermes"),
    ("mistral", "mistral"),
    ("ministral", "mistral"),
    ("mixtral", "mistral"),
    ("devstral", "mistral"),
    ("magistral", "mistral"),
    ("granite-4", "granite4"),
    ("granite", "granite"),
    ("deepseek-v3.1", "deepseek_v31"),
    ("deepseek-v3", "deepseek_v3"),
    ("deepseek-r1", "deepseek_v3"),
    ("kimi-k2", "kimi_k2"),
    ("glm-4.7", "glm47"),
    ("glm-4", "glm45"),
    ("gpt-oss", "openai"),
    ("phi-4-mini", "phi4_mini_json"),
    ("olmo-3", "olmo3"),
    ("minimax-m2", "minimax_m2"),
    ("seed-oss", "seed_oss"),
    ("internlm", "internlm"),
    ("jamba", "jamba"),
    ("xlam", "xlam"),
)
"""Part of a model's name, parser that reads its calls; the first that fits counts."""

REASONING_PARSERS = (
    ("deepseek-r1", "deepseek_r1"),
    ("qwen3-coder", ""),
    ("qwen3-next-80b-a3b-instruct", ""),
    ("instruct-2507", ""),
    ("qwen3", "qwen3"),
    ("glm-4.7", "glm47"),
    ("glm-4.5", "glm45"),
    ("magistral", "mistral"),
)


class VllmOptions(Struct, frozen=True, kw_only=True):
    """``System.options`` of this engine."""

    device: Literal["", "cuda", "cpu"] = ""
    """Empty: the GPU where there is one."""
    checkpoint: dict[str, str] = {}
    """Folder or Hub id of the quantized weights, by format."""
    dtype: str = ""
    """Of activations, for quantized formats; empty: the checkpoint's."""
    tensor_parallel: Annotated[int, Meta(ge=1)] = 1
    max_model_len: Annotated[int, Meta(ge=1)] | None = None
    gpu_memory: Annotated[float, Meta(gt=0, le=1)] | None = None
    """Share of GPU memory to use; None: vLLM's default."""
    tool_call_parser: str = ""
    """Empty: by the model's family; ``none``: no parser."""
    reasoning_parser: str = ""
    """Likewise."""
    args: tuple[str, ...] = ()
    """Further arguments of ``vllm serve``, as they are."""
    stream: bool = True
    start_s: Annotated[float, Meta(gt=0)] = 1800.0
    """Longest wait for health, downloads included."""


def find_vllm(environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Return the beginning of the command line; empty when there is no vLLM.

    ``QBENCH_VLLM`` names the executable, or the folder or the Python of its environment; without
    it the executable is looked for on PATH.
    """
    told = environment.get(VARIABLE, "")
    if not told:
        found = shutil.which("vllm", path=environment.get("PATH"))
        return (found,) if found else ()
    path = Path(told).expanduser()
    if path.is_dir():
        path = path / "bin" / "vllm"
    if not (path.is_file() and os.access(path, os.X_OK)):
        return ()
    if path.name.startswith("python"):
        return (str(path), "-m", "vllm.entrypoints.cli.main")
    return (str(path),)


def by_family(model: str, table: tuple[tuple[str, str], ...], told: str) -> str:
    """Return the parser told, else the one of the model's family, else an empty string."""
    if told:
        return "" if told == "none" else told
    name = model.rstrip("/").rpartition("/")[2].lower()
    return next((parser for part, parser in table if part in name), "")


def weights(system: System, options: VllmOptions, *, on_gpu: bool) -> tuple[str, tuple[str, ...]]:
    """Return what to load and the arguments that make it the system's format.

    Raises:
        ConfigError: the format needs a checkpoint that was not named.
        Unsupported: the format cannot be made here.

    """
    checkpoint = options.checkpoint.get(system.format, "")
    if system.format in DTYPES:
        if options.dtype:
            raise ConfigError(
                f"{system.format} is a data type already.",
                hint=f"Leave -o dtype={options.dtype} out, or ask for that format.",
            )
        return checkpoint or system.model, ("--dtype", DTYPES[system.format])
    if checkpoint:
        return checkpoint, ("--dtype", options.dtype or "auto")
    if system.format in ON_THE_FLY:
        if not on_gpu:
            raise Unsupported(
                f"vLLM cannot make {system.format} while loading on a CPU.",
                hint=_name_one(system.format),
            )
        quantize = ("--quantization", ON_THE_FLY[system.format])
        return system.model, ("--dtype", options.dtype or "bfloat16", *quantize)
    raise ConfigError(
        f"vLLM needs a {system.format} checkpoint of {system.model}.",
        hint=_name_one(system.format),
    )


def _name_one(format_name: str) -> str:
    return (
        f"Make one with llm-compressor or choose one on the Hub, and name it: "
        f'-o \'checkpoint={{"{format_name}": "FOLDER_OR_HUB_ID"}}\'.'
    )


def serve_command(
    program: tuple[str, ...], system: System, options: VllmOptions, *, port: int, on_gpu: bool
) -> list[str]:
    """Return the whole command. Raises what ``weights`` raises.

    ``--generation-config vllm`` keeps a model's own sampling defaults (penalties, top-k) out, so
    that what a System says of its sampling is all there is.
    """
    model, shape = weights(system, options, on_gpu=on_gpu)
    command = [*program, "serve", model, "--host", "127.0.0.1", "--port", str(port)]
    command += ["--served-model-name", system.model, *shape, "--generation-config", "vllm"]
    command += ["--enable-prompt-tokens-details", "--disable-uvicorn-access-log"]
    if not on_gpu:
        command.append("--enforce-eager")
    if options.tensor_parallel > 1:
        command += ["--tensor-parallel-size", str(options.tensor_parallel)]
    if options.max_model_len:
        command += ["--max-model-len", str(options.max_model_len)]
    if options.gpu_memory:
        command += ["--gpu-memory-utilization", f"{options.gpu_memory:g}"]
    return [*command, *_parsers(system.model, options), *options.args]


def _parsers(model: str, options: VllmOptions) -> list[str]:
    arguments: list[str] = []
    if tools := by_family(model, TOOL_PARSERS, options.tool_call_parser):
        arguments += ["--enable-auto-tool-choice", "--tool-call-parser", tools]
    if thinking := by_family(model, REASONING_PARSERS, options.reasoning_parser):
        arguments += ["--reasoning-parser", thinking]
    return arguments


def uses_gpu(options: VllmOptions, machine: Machine) -> bool:
    """Whether the model goes onto a GPU. Raises Unsupported when there are not enough."""
    if options.device == "cpu":
        return False
    if options.device == "cuda" and not machine.gpus:
        raise Unsupported("There is no GPU here.", hint="Leave -o device=cuda out.")
    if machine.gpus and options.tensor_parallel > machine.gpus:
        raise Unsupported(
            f"{options.tensor_parallel} GPUs were asked for and there are {machine.gpus}.",
            hint=f"Lower -o tensor_parallel to {machine.gpus}.",
        )
    return machine.gpus > 0
