"""How a system is to be served by vLLM here: looked around, decided, checked. Starts nothing."""

from __future__ import annotations

import threading

from msgspec import Struct
from msgspec.structs import replace

from qbench.errors import ConfigError, EngineStartError, Unsupported
from qbench.kernels.formats import FORMATS
from qbench.kernels.lent.asked import EMULATE, KERNELS
from qbench.kernels.paths import way
from qbench.service.domain import System
from qbench.workers.checkpoints import CARRIED, Say, resolve
from qbench.workers.engines.options import read_options
from qbench.workers.engines.process import ServerCommand, free_port, own_gpus
from qbench.workers.engines.schemes import Scheme, contradiction, find_config, read_scheme
from qbench.workers.engines.vllm_command import (
    VllmOptions,
    check_heads,
    serve_command,
    uses_gpu,
    variables,
)
from qbench.workers.engines.vllm_environment import (
    INSTALL,
    VARIABLE,
    VllmEnvironment,
    find_vllm,
)
from qbench.workers.engines.vllm_kernels import other_activations
from qbench.workers.engines.vllm_lent import Lent
from qbench.workers.engines.vllm_log import LogFacts, root_cause
from qbench.workers.engines.vllm_template import template_for
from qbench.workers.engines.vllm_weights import DTYPES, Place, Weights, weights
from qbench.workers.hardware import Machine, this_machine
from qbench.workers.quantize import ensure

RESTARTS = 2
MARKS = {"process": "Starting to load model"}


class Plan(Struct, frozen=True, kw_only=True):
    """A system whose options were read, and where and with what it is to run."""

    system: System
    options: VllmOptions
    environment: VllmEnvironment
    machine: Machine
    on_gpu: bool
    gpus: tuple[str, ...]
    """Numbers of the GPUs that are this engine's own; empty: all, or none."""
    weights: Weights


def make_plan(system: System) -> Plan:
    """Read the options and look around. Raises ConfigError and Unsupported."""
    options = read_options(system, VllmOptions)
    program = find_vllm()
    if not program:
        raise ConfigError(f"vLLM is neither at ${VARIABLE} nor on PATH.", hint=INSTALL)
    if system.strategy.tool_protocol == "native" and options.tool_call_parser == "none":
        raise ConfigError(
            "Native tool calls need a tool-call parser.",
            hint="Name one with -o tool_call_parser=..., or use --tool-protocol text.",
        )
    own = own_gpus()
    machine = this_machine(gpu=options.device != "cpu", only=own)
    on_gpu = uses_gpu(options, machine, own)
    check_heads(system.model, options.tensor_parallel)
    options = options if on_gpu else replace(options, eager=True)
    environment = VllmEnvironment(program)
    place = Place(
        architecture=machine.architecture,
        environment=environment,
        tensor_parallel=options.tensor_parallel,
    )
    return Plan(
        system=system,
        options=options,
        environment=environment,
        machine=machine,
        on_gpu=on_gpu,
        gpus=(own or ()) if on_gpu else (),
        weights=weights(system, options.wanted, place),
    )


def with_local_weights(plan: Plan, say: Say, stop: threading.Event | None = None) -> Plan:
    """Make the checkpoint that is to be made; put a folder where vLLM would ask the Hub in vain.

    Raises:
        EngineStartError: the weights cannot be had, or made.

    """
    if plan.weights.origin == "to be made":
        system = plan.system
        recipe = plan.options.wanted.recipe_of(system.format)
        made = ensure(system.model, system.format, recipe=recipe, say=say, stop=stop)
        return replace(plan, weights=replace(plan.weights, source=made.path, origin="cached"))
    if plan.weights.source not in CARRIED:
        return plan
    folder = resolve(plan.weights.source, say).path
    return replace(plan, weights=replace(plan.weights, source=folder))


def check_scheme(plan: Plan) -> Scheme | None:
    """Return how the weights are quantized, None where nobody can tell.

    Raises:
        Unsupported: they are not what the format's name says.

    """
    config = find_config(plan.weights.source)
    scheme = read_scheme(config) if config else None
    if scheme is None:
        return None
    unmade = plan.weights.origin in ("made while loading", "to be made")
    wanted = "bf16" if unmade else plan.system.format
    if said := contradiction(wanted, scheme):
        raise Unsupported(
            f"{plan.weights.source}: {said}.",
            hint="Ask for the format that it holds, or name another -o checkpoint.",
        )
    return scheme


def check_log(plan: Plan, facts: LogFacts) -> None:
    """Raise EngineStartError when the log says that something else came up."""
    said, name = facts.quantization, plan.system.format
    if said is None:
        return
    told = plan.weights.said_as
    wrong = said not in told if told else said == "None"
    dtype = facts.settings.get("dtype", "").removeprefix("torch.")
    if wrong or (dtype and name in DTYPES and dtype != DTYPES[name]):
        raise EngineStartError(
            f"vLLM came up with quantization={said}, dtype={dtype}, which is not {name}.",
            hint="Check the checkpoint and the options; nothing was measured.",
        )
    if name not in DTYPES and (
        kernel := other_activations(name, [one for one, _ in facts.kernels])
    ):
        raise EngineStartError(
            f"vLLM chose {kernel}, which rounds activations otherwise than {name} says.",
            hint='Ask for the format that it computes, or for -o \'args=["--linear-backend", '
            '"marlin"]\'; nothing was measured.',
        )


def tool_template(plan: Plan) -> str:
    """Return a chat template for models that have no place for tools; empty: not needed."""
    named = plan.options.chat_template or plan.system.strategy.tool_protocol != "native"
    return "" if named else template_for(plan.weights.source)


def asked_kernels(plan: Plan) -> dict[str, str]:
    """Return the variable that asks for kernels which qbench lends, and the format.

    On a CPU for any format with codes: vLLM's own come first where it has any. On a GPU for those
    that ``paths`` says so of, unless the options want vLLM's. Empty: none.
    """
    fmt = FORMATS.get(plan.system.format)
    if fmt is None or not fmt.quantized:
        return {}
    if not plan.on_gpu:
        return {EMULATE: fmt.name}
    lent = way(fmt, plan.machine.architecture).lent and plan.options.kernels == "qbench"
    return {KERNELS: fmt.name} if lent else {}


def make_command(plan: Plan, lent: Lent) -> ServerCommand:
    """Return what is to be started."""
    port, options = free_port(), plan.options
    if lent.chat_template:
        options = replace(options, chat_template=lent.chat_template)
    asked = asked_kernels(plan)
    env = variables(plan.environment, on_gpu=plan.on_gpu, lent=lent.folders, asked=asked)
    return ServerCommand(
        name="vllm",
        argv=serve_command(plan.environment.program, plan.system, options, plan.weights, port),
        root_url=f"http://127.0.0.1:{port}",
        env=env,
        start_s=plan.options.start_s,
        stop_s=30.0,
        restarts=RESTARTS,
        explain=root_cause,
        marks=MARKS,
    )
