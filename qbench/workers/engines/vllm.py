"""vLLM in a process and an environment of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec

from qbench.errors import QbenchError
from qbench.service.domain import ComputePath, Endpoint, EngineSeconds, System, new_id
from qbench.workers.engines import Say
from qbench.workers.engines.openai_chat import ClientSettings, OpenAIChat
from qbench.workers.engines.openai_models import Found, look_up
from qbench.workers.engines.options import DEFAULT_KEY
from qbench.workers.engines.process import ServerProcess, running
from qbench.workers.engines.schemes import Scheme
from qbench.workers.engines.serving import MeasuredServing
from qbench.workers.engines.vllm_kernels import path_of
from qbench.workers.engines.vllm_lent import lending
from qbench.workers.engines.vllm_log import LogFacts, phases, read_log
from qbench.workers.engines.vllm_parsers import TOOL_PARSERS, by_family
from qbench.workers.engines.vllm_plan import (
    Plan,
    asked_kernels,
    check_log,
    check_scheme,
    make_command,
    make_plan,
    tool_template,
    with_local_weights,
)
from qbench.workers.engines.vllm_weights import DTYPES
from qbench.workers.limiter import FixedLimit, Gate
from qbench.workers.preflight import Checked, Target, preflight
from qbench.workers.quantize.locks import in_thread


class VllmEngine:
    """Starts ``vllm serve``, starts it again when it dies, and ends all of its processes."""

    def refuse(self, system: System) -> str:
        """Say what is missing: vLLM, a checkpoint, a GPU, options that exist."""
        try:
            check_scheme(make_plan(system))
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
                when what came up is not the format that was asked for, or when its parser does
                not see the tool calls that it writes.

        """
        first = make_plan(system)
        plan = await in_thread(lambda stop: with_local_weights(first, say, stop))
        check_scheme(plan)
        kernels = bool(asked_kernels(plan))
        with lending(plan.environment, chat_template=tool_template(plan), kernels=kernels) as lent:
            command = make_command(plan, lent)
            say(f"starting {command.line}")
            if not by_family(system.model, TOOL_PARSERS, plan.options.tool_call_parser):
                say(f"no tool-call parser is known for {system.model}: name one, or use text")
            async with running(command, say=say) as server:
                endpoint, checked = await _look_over(plan, server, say)
                async with _client(plan, server, concurrency) as chat:
                    checked_s = checked.seconds if checked else 0.0
                    yield MeasuredServing(endpoint, chat, lambda: server.load_s + checked_s)


async def _look_over(
    plan: Plan, server: ServerProcess, say: Say
) -> tuple[Endpoint, Checked | None]:
    """Read what came up, check that it is what was asked for, and describe it.

    Raises:
        EngineStartError: it is something else, or its parser is blind.

    """
    facts = read_log(server.log.read_text(errors="replace"))
    scheme = check_scheme(plan)  # again: a Hub id is in the cache by now
    check_log(plan, facts)
    found = await look_up(f"{server.command.root_url}/v1", "", key_name=DEFAULT_KEY)
    checked = await _preflight(plan, server, say)
    endpoint = _endpoint(plan, server, (facts, found, scheme, checked))
    say(_summary(endpoint, server))
    return endpoint, checked


async def _preflight(plan: Plan, server: ServerProcess, say: Say) -> Checked | None:
    """Judge the parser; None where the calls are not parsed by the server, or nobody wants it."""
    system, options = plan.system, plan.options
    if not options.preflight or system.strategy.tool_protocol != "native":
        return None
    parser = by_family(system.model, TOOL_PARSERS, options.tool_call_parser)
    target = Target(
        base_url=f"{server.command.root_url}/v1",
        model=system.model,
        parser=parser,
        settings=ClientSettings(stream=options.stream),
        raw={"skip_special_tokens": False},
    )
    checked = await preflight(target)
    for warning in checked.warnings:
        say(f"preflight: {warning}")
    return checked


def _client(plan: Plan, server: ServerProcess, concurrency: int) -> OpenAIChat:
    return OpenAIChat(
        f"{server.command.root_url}/v1",
        plan.system.model,
        gate=Gate(FixedLimit(concurrency)),
        settings=ClientSettings(stream=plan.options.stream),
        ready=server.ready,
    )


Told = tuple[LogFacts, Found, Scheme | None, Checked | None]


def _endpoint(plan: Plan, server: ServerProcess, told: Told) -> Endpoint:
    facts, found, scheme, _ = told
    system = plan.system
    return Endpoint(
        id=new_id(),
        run_id="",
        engine_key=system.engine_key,
        base_url=f"{server.command.root_url}/v1",
        served_name=system.model,
        started_at=datetime.now(UTC),
        seconds=EngineSeconds(load=server.load_s),
        hardware=plan.machine.name,
        devices=plan.options.tensor_parallel,
        architecture=plan.machine.architecture,
        format_requested=system.format,
        format_effective=_effective(plan, scheme),
        checkpoint=f"{scheme.label if scheme else 'unverified'} ({plan.weights.source})",
        kernel=facts.kernel,
        path=_path(plan, facts),
        engine_version=f"vllm {found.version or facts.version}".strip(),
        details=_details(plan, server, told),
    )


def _details(plan: Plan, server: ServerProcess, told: Told) -> dict[str, Any]:
    """Return what a row does not hold: settings, sizes, how the start went."""
    facts, found, _, checked = told
    card = found.card(plan.system.model)
    known = {
        "attention": facts.attention,
        "weights_gib": facts.weights_gib,
        "max_model_len": card.max_model_len if card else None,
        "weights_from": plan.weights.origin,
        "gpus": list(plan.gpus),
        "kernels": [f"{kernel} for {what}" for kernel, what in facts.kernels],
        "warned_of_weight_only": facts.weight_only,
        "preflight": msgspec.to_builtins(checked) if checked else None,
    }
    process_s = server.marks.get("process")
    startup = phases(facts.times, process_s=process_s, total_s=server.load_s)
    if checked:
        startup["preflight"] = checked.seconds
    kept = {name: value for name, value in known.items() if value}
    return {**facts.settings, "command": server.command.line, **kept, "startup": startup}


def _effective(plan: Plan, scheme: Scheme | None) -> str:
    """Name what was really made, as far as it is known."""
    if plan.weights.effective or plan.system.format in DTYPES:
        return plan.weights.effective or plan.system.format
    return scheme.label if scheme else ""


def _path(plan: Plan, facts: LogFacts) -> ComputePath:
    """Judge by kernels; a data type needs none, and bitsandbytes names none."""
    if plan.system.format in DTYPES:
        return "native" if facts.quantization == "None" else "unknown"
    names = [name for name, _ in facts.kernels]
    if not names and facts.quantization == "bitsandbytes":
        names = ["bitsandbytes"]
    return path_of(plan.system.format, names, plan.machine.architecture, warned=facts.weight_only)


def _summary(endpoint: Endpoint, server: ServerProcess) -> str:
    kernel = endpoint.kernel or "kernel not told"
    return (
        f"{endpoint.engine_version} is up after {server.load_s:.0f} s: "
        f"{endpoint.format_requested} by {kernel} ({endpoint.path}) on {endpoint.hardware}"
    )
