"""The command that serves a model with vLLM, and what its process needs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

from qbench.benchmarks.probe import TOP
from qbench.errors import Unsupported
from qbench.service.domain import System
from qbench.workers.engines.schemes import attention_heads
from qbench.workers.engines.vllm_environment import VllmEnvironment
from qbench.workers.engines.vllm_parsers import REASONING_PARSERS, TOOL_PARSERS, by_family
from qbench.workers.engines.vllm_weights import Wanted, Weights
from qbench.workers.hardware import Machine


class VllmOptions(Struct, frozen=True, kw_only=True):
    """``System.options`` of this engine."""

    device: Literal["", "cuda", "cpu"] = ""
    """Empty: the GPU where there is one."""
    checkpoint: dict[str, str] = {}
    """Folder or Hub id of the quantized weights, by format."""
    recipe: str | dict[str, str] = ""
    """How a cached checkpoint was made: for all formats, or by format; empty: the format's own."""
    dtype: str = ""
    """Of activations, for quantized formats; empty: the checkpoint's."""
    tensor_parallel: Annotated[int, Meta(ge=1)] = 1
    """GPUs that share one model."""
    max_model_len: Annotated[int, Meta(ge=1)] | None = None
    gpu_memory: Annotated[float, Meta(gt=0, le=1)] | None = None
    """Share of GPU memory to use; None: vLLM's default."""
    tool_call_parser: str = ""
    """Empty: by the model's family; ``none``: no parser."""
    reasoning_parser: str = ""
    """Likewise."""
    args: tuple[str, ...] = ()
    """Further arguments of ``vllm serve``, as they are."""
    kernels: Literal["qbench", "vllm"] = "qbench"
    """Whose serve formats that vLLM has no kernel for, or whose activations it does not round."""
    eager: bool = False
    """Neither torch.compile nor CUDA graphs: starts sooner, answers slower; always on a CPU."""
    chat_template: str = ""
    """File; empty: the model's own, and where it has no place for tools, qbench's ChatML."""
    preflight: bool = True
    """Ask ten canned prompts first, and refuse a tool-call parser that sees nothing."""
    stream: bool = True
    start_s: Annotated[float, Meta(gt=0)] = 1800.0
    """Longest wait for health, downloads included."""

    @property
    def wanted(self) -> Wanted:
        """What is said of weights."""
        return Wanted(checkpoint=self.checkpoint, recipe=self.recipe, dtype=self.dtype)


def serve_command(
    program: tuple[str, ...], system: System, options: VllmOptions, found: Weights, port: int
) -> list[str]:
    """Return the whole command.

    ``--generation-config vllm`` keeps a model's own sampling defaults (penalties, top-k) out, so
    that what a System says of its sampling is all there is.
    """
    command = [*program, "serve", found.source, "--host", "127.0.0.1", "--port", str(port)]
    command += ["--served-model-name", system.model, *found.arguments]
    command += ["--generation-config", "vllm"]
    command += ["--enable-prompt-tokens-details", "--disable-uvicorn-access-log"]
    command += ["--max-logprobs", str(TOP)]
    if options.eager:
        command.append("--enforce-eager")
    if options.tensor_parallel > 1:
        command += ["--tensor-parallel-size", str(options.tensor_parallel)]
    if options.max_model_len:
        command += ["--max-model-len", str(options.max_model_len)]
    if options.gpu_memory:
        command += ["--gpu-memory-utilization", f"{options.gpu_memory:g}"]
    if options.chat_template:
        command += ["--chat-template", options.chat_template]
    return [*command, *_parsers(system.model, options), *options.args]


def _parsers(model: str, options: VllmOptions) -> list[str]:
    arguments: list[str] = []
    if tools := by_family(model, TOOL_PARSERS, options.tool_call_parser):
        arguments += ["--enable-auto-tool-choice", "--tool-call-parser", tools]
    if thinking := by_family(model, REASONING_PARSERS, options.reasoning_parser):
        arguments += ["--reasoning-parser", thinking]
    return arguments


def variables(
    environment: VllmEnvironment,
    *,
    on_gpu: bool,
    lent: Sequence[Path],
    asked: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return what is added to the environment of the server.

    Args:
        environment: vLLM's.
        on_gpu: else it is a CPU's.
        lent: folders put before its own module path.
        asked: what asks for qbench's own kernels; nothing: none.

    """
    told = {"VLLM_LOGGING_LEVEL": "INFO", "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"}
    if not on_gpu:
        # w4a16 would become w4a8 where the CPU has AMX
        told |= {"VLLM_TARGET_DEVICE": "cpu", "VLLM_CPU_INT4_W4A8": "0"}
    told |= asked or {}
    if lent:
        told["PYTHONPATH"] = os.pathsep.join([*map(str, lent), *environment.told_path])
    return told


def uses_gpu(options: VllmOptions, machine: Machine, own: tuple[str, ...] | None) -> bool:
    """Whether the model goes onto a GPU.

    Args:
        options: the system's.
        machine: with all its GPUs.
        own: the GPUs that are this engine's; None: all there are.

    Raises:
        Unsupported: there are not enough.

    """
    if options.device == "cpu":
        return False
    gpus = machine.gpus if own is None else min(machine.gpus, len(own))
    if options.device == "cuda" and not gpus:
        raise Unsupported("There is no GPU here.", hint="Leave -o device=cuda out.")
    if gpus and options.tensor_parallel > gpus:
        raise Unsupported(
            f"{options.tensor_parallel} GPUs were asked for and there are {gpus}.",
            hint=f"Lower -o tensor_parallel to {gpus}.",
        )
    return gpus > 0


def check_heads(model: str, tensor_parallel: int) -> None:
    """Raise Unsupported when a model cannot be split over so many GPUs.

    Every GPU takes the same number of attention heads; key-value heads are shared out, or copied
    where there are fewer than GPUs. Nothing is said of a model whose config is not here.
    """
    heads, shared = attention_heads(model)
    if tensor_parallel == 1 or not heads:
        return
    groups = shared or heads
    uneven = heads % tensor_parallel or (groups % tensor_parallel and tensor_parallel % groups)
    if uneven:
        fitting = [n for n in range(1, heads + 1) if not (heads % n or (groups % n and n % groups))]
        raise Unsupported(
            f"{model} has {heads} attention heads ({groups} for keys and values), which cannot be "
            f"split over {tensor_parallel} GPUs.",
            hint=f"Use -o tensor_parallel={' or '.join(map(str, fitting[:6]))}.",
        )
