"""vLLM in a process and an environment of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from qbench.errors import ConfigError, EngineStartError, QbenchError, Unsupported
from qbench.service.domain import ComputePath, Endpoint, System, new_id
from qbench.workers.engines import Say
from qbench.workers.engines.openai_chat import ClientSettings, OpenAIChat
from qbench.workers.engines.openai_models import Found, look_up
from qbench.workers.engines.options import DEFAULT_KEY, read_options
from qbench.workers.engines.process import ServerCommand, ServerProcess, free_port, running
from qbench.workers.engines.schemes import (
    FORMATS,
    Scheme,
    contradiction,
    find_config,
    read_scheme,
)
from qbench.workers.engines.serving import MeasuredServing
from qbench.workers.engines.vllm_command import (
    DTYPES,
    INSTALL,
    ON_THE_FLY,
    TOOL_PARSERS,
    VARIABLE,
    VllmOptions,
    by_family,
    find_vllm,
    serve_command,
    uses_gpu,
    weights,
)
from qbench.workers.engines.vllm_log import LogFacts, compute_path, read_log, root_cause
from qbench.workers.hardware import Machine, this_machine
from qbench.workers.limiter import FixedLimit, Gate

RESTARTS = 2


class _Plan(Struct, frozen=True, kw_only=True):
    """A system whose options were read, and where it is to run."""

    system: System
    options: VllmOptions
    program: tuple[str, ...]
    machine: Machine
    on_gpu: bool

    @property
    def source(self) -> str:
        """Folder or Hub id of the weights."""
        return weights(self.system, self.options, on_gpu=self.on_gpu)[0]

    @property
    def made_while_loading(self) -> bool:
        """Whether vLLM quantizes, rather than load what is quantized."""
        named = self.system.format in self.options.checkpoint
        return self.system.format in ON_THE_FLY and not named


class VllmEngine:
    """Starts ``vllm serve``, starts it again when it dies, and ends all of its processes."""

    def refuse(self, system: System) -> str:
        """Say what is missing: vLLM, a checkpoint, a GPU, options that exist."""
        try:
            _check_scheme(_plan(system))
        except QbenchError as error:
            return str(error)
        return ""

    @asynccontextmanager
    async def serve(
        self, system: System, *, concurrency: int, say: Say
    ) -> AsyncIterator[MeasuredServing]:
        """Serve ``system`` at a fixed limit of ``concurrency`` requests in flight.

        The limit is fixed because batch shapes choose kernels, and so answers.

        Raises:
            ConfigError: vLLM, a checkpoint or a GPU is missing, or an option is wrong.
            EngineStartError: with the command, the reason and the last lines of the log; also
                when what came up is not the format that was asked for.

        """
        plan = _plan(system)
        _check_scheme(plan)
        command = _command(plan)
        say(f"starting {command.line}")
        if not by_family(system.model, TOOL_PARSERS, plan.options.tool_call_parser):
            say(f"no tool-call parser is known for {system.model}: -o tool_call_parser=... or text")
        async with running(command, say=say) as server:
            facts = read_log(server.log.read_text(errors="replace"))
            scheme = _check_scheme(plan)  # again: a Hub id is in the cache by now
            _check_log(plan, facts)
            url = f"{command.root_url}/v1"
            found = await look_up(url, "", key_name=DEFAULT_KEY)
            endpoint = _endpoint(plan, server.command, (facts, found, scheme))
            say(_summary(endpoint, server))
            chat = OpenAIChat(
                url,
                system.model,
                gate=Gate(FixedLimit(concurrency)),
                settings=ClientSettings(stream=plan.options.stream),
                ready=server.ready,
            )
            async with chat:
                yield MeasuredServing(endpoint, chat, lambda: server.load_s)


def _plan(system: System) -> _Plan:
    """Read the options and look around. Raises ConfigError."""
    options = read_options(system, VllmOptions)
    program = find_vllm()
    if not program:
        raise ConfigError(f"vLLM is neither at ${VARIABLE} nor on PATH.", hint=INSTALL)
    if system.strategy.tool_protocol == "native" and options.tool_call_parser == "none":
        raise ConfigError(
            "Native tool calls need a tool-call parser.",
            hint="Name one with -o tool_call_parser=..., or use --tool-protocol text.",
        )
    machine = this_machine(gpu=options.device != "cpu")
    on_gpu = uses_gpu(options, machine)
    plan = _Plan(system=system, options=options, program=program, machine=machine, on_gpu=on_gpu)
    weights(system, options, on_gpu=on_gpu)
    return plan


def _check_scheme(plan: _Plan) -> Scheme | None:
    """Return how the weights are quantized, None where nobody can tell.

    Raises:
        Unsupported: they are not what the format's name says.

    """
    config = find_config(plan.source)
    scheme = read_scheme(config) if config else None
    if scheme is None:
        return None
    wanted = "bf16" if plan.made_while_loading else plan.system.format
    if said := contradiction(wanted, scheme):
        raise Unsupported(
            f"{plan.source}: {said}.",
            hint="Ask for the format that it holds, or name another -o checkpoint.",
        )
    return scheme


def _check_log(plan: _Plan, facts: LogFacts) -> None:
    """Raise EngineStartError when the log says that something else came up."""
    said = facts.quantization
    if said is None:
        return
    name = plan.system.format
    if plan.made_while_loading:
        wrong = said != ON_THE_FLY[name]
    else:
        wrong = (said == "None") != (name in DTYPES)
    dtype = facts.settings.get("dtype", "").removeprefix("torch.")
    if dtype and name in DTYPES:
        wrong = wrong or dtype != DTYPES[name]
    if wrong:
        raise EngineStartError(
            f"vLLM came up with quantization={said}, dtype={dtype}, which is not {name}.",
            hint="Check the checkpoint and the options; nothing was measured.",
        )


def _command(plan: _Plan) -> ServerCommand:
    port = free_port()
    return ServerCommand(
        name="vllm",
        argv=serve_command(plan.program, plan.system, plan.options, port=port, on_gpu=plan.on_gpu),
        root_url=f"http://127.0.0.1:{port}",
        env={"VLLM_LOGGING_LEVEL": "INFO", "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"},
        start_s=plan.options.start_s,
        stop_s=30.0,
        restarts=RESTARTS,
        explain=root_cause,
    )


def _endpoint(
    plan: _Plan, command: ServerCommand, told: tuple[LogFacts, Found, Scheme | None]
) -> Endpoint:
    facts, found, scheme = told
    system = plan.system
    card = found.card(system.model)
    details: dict[str, Any] = {**facts.settings, "command": command.line}
    if facts.attention:
        details["attention"] = facts.attention
    if facts.weights_gib is not None:
        details["weights_gib"] = facts.weights_gib
    if card is not None and card.max_model_len:
        details["max_model_len"] = card.max_model_len
    return Endpoint(
        id=new_id(),
        run_id="",
        engine_key=system.engine_key,
        base_url=f"{command.root_url}/v1",
        served_name=system.model,
        started_at=datetime.now(UTC),
        hardware=plan.machine.name,
        devices=plan.options.tensor_parallel,
        architecture=plan.machine.architecture,
        format_requested=system.format,
        format_effective=_effective(plan, scheme),
        checkpoint=f"{scheme.label if scheme else 'unverified'} ({plan.source})",
        kernel=facts.kernel,
        path=_path(plan, facts),
        engine_version=f"vllm {found.version or facts.version}".strip(),
        details=details,
    )


def _effective(plan: _Plan, scheme: Scheme | None) -> str:
    """Name what was really made, as far as it is known."""
    if plan.made_while_loading:
        return f"{plan.system.format}, a scale per tensor, made while loading"
    if plan.system.format in DTYPES:
        return plan.system.format
    return scheme.label if scheme else ""


def _path(plan: _Plan, facts: LogFacts) -> ComputePath:
    wanted = FORMATS.get(plan.system.format)
    return compute_path(facts, activation_bits=wanted[2]) if wanted else "unknown"


def _summary(endpoint: Endpoint, server: ServerProcess) -> str:
    kernel = endpoint.kernel or "kernel not told"
    return (
        f"{endpoint.engine_version} is up after {server.load_s:.0f} s: "
        f"{endpoint.format_requested} by {kernel} ({endpoint.path}) on {endpoint.hardware}"
    )
