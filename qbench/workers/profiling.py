"""Measures a profile: one request at a time over a grid of token counts, each with exact counts.

A profile is what a run's recorded token counts are costed with, without running again.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from qbench import __version__
from qbench.benchmarks.analysis.efficiency.runtime import CannotFit, context_test, fit
from qbench.errors import ConfigError, EngineError
from qbench.service.domain import Endpoint, System
from qbench.service.profiles import (
    Busy,
    Consumption,
    Profile,
    Summary,
    Timed,
    grid_of,
    profile_id,
    weight_bytes,
)
from qbench.workers.checkpoints import resolve
from qbench.workers.consumption import sampled
from qbench.workers.engines import Say, load_engine
from qbench.workers.engines.process import own_gpus
from qbench.workers.engines.schemes import find_config
from qbench.workers.exact_lengths import ExactClient, exact_client
from qbench.workers.hardware import this_machine

WAVES = 2
"""Requests per stream at throughput."""
LOCAL = frozenset({"embedded", "vllm"})


class Plan(Struct, frozen=True, kw_only=True):
    """What to measure."""

    prompts: tuple[int, ...] = (32, 128, 512)
    outputs: tuple[int, ...] = (1, 16, 64)
    repeats: int = 3
    streams: int = 0
    """Requests in flight at throughput; 0: throughput is not measured."""
    denoised: bool = False
    """Fit the fastest repeat of each point: on a machine that others disturb."""
    seed: int = 0

    def check(self) -> None:
        """Raise ConfigError for a grid that no fit can be made of."""
        if min((*self.prompts, *self.outputs, self.repeats)) < 1 or not self.prompts:
            raise ConfigError(
                "A profile needs prompts, outputs and repeats of at least 1.",
                hint="For example: --prompts 32,128,512 --outputs 1,16,64 --repeats 3.",
            )
        each = len(self.outputs) * (1 if self.denoised else self.repeats)
        spare = len(self.prompts) * (each - 1) - 1
        if 1 not in self.outputs or max(self.outputs) == 1 or spare < 1:
            raise ConfigError(
                "The fit needs replies of one token, longer ones, and more points than unknowns.",
                hint="For example: --outputs 1,16,64.",
            )


async def profile(system: System, plan: Plan, say: Say) -> Profile:
    """Start the engine of a system as a run does, measure the grid, and stop it.

    Raises:
        ConfigError: the grid cannot be fitted, or the system cannot run here.
        EngineStartError: the engine did not come up.
        EngineError: it does not serve completions of exact lengths.

    """
    plan.check()
    engine = load_engine(system.engine)
    if why := engine.refuse(system):
        raise ConfigError(why, hint="See `qbench doctor` and docs/engines.md.")
    async with engine.serve(system, concurrency=max(1, plan.streams), say=say) as serving:
        endpoint = serving.endpoint
        async with exact_client(system, endpoint) as client:
            with sampled(_gpus_of(system)) as consumed:
                timings = await _grid(client, plan, say)
                found = consumed() if system.engine in LOCAL else _elsewhere()
            busy = [point async for point in _throughput(client, plan, say)]
    return _told(system, endpoint, timings, client, (busy, found, plan), say)


async def _grid(client: ExactClient, plan: Plan, say: Say) -> list[Timed]:
    """Measure every point, the repeats apart from one another and in a shuffled order."""
    for prompt in plan.prompts:
        await client.timed(prompt, min(2, max(plan.outputs)))  # warm
    client.discarded.clear()
    points = list(product(plan.prompts, plan.outputs))
    shuffler = random.Random(plan.seed)  # noqa: S311 - an order
    found: list[Timed] = []
    for number in range(plan.repeats):
        shuffler.shuffle(points)
        made = [await client.timed(*point) for point in points]
        found += [one for one in made if one is not None]
        say(f"grid measured {number + 1} of {plan.repeats} times")
    return found


async def _throughput(client: ExactClient, plan: Plan, say: Say) -> AsyncIterator[Busy]:
    """Yield what the corners of the grid reach with all streams in flight."""
    if not plan.streams:
        return
    longer = sorted(one for one in plan.outputs if one > 1)
    corners = dict.fromkeys(
        product((min(plan.prompts), max(plan.prompts)), (longer[0], longer[-1]))
    )
    for prompt, output in corners:
        point = await _busy(client, plan.streams, prompt, output)
        if point is not None:
            say(f"{plan.streams} streams of {prompt} + {output}: {_rate(point)}")
            yield point


def _rate(point: Busy) -> str:
    return f"{point.queries / point.seconds:.3g} queries/s"


async def _busy(client: ExactClient, streams: int, prompt: int, output: int) -> Busy | None:
    """Keep ``streams`` requests in flight; None where one did not have its tokens."""
    left: Iterator[int] = iter(range(WAVES * streams))
    kept: list[Timed | None] = []

    async def stream() -> None:
        for _ in left:
            made = await client.timed(prompt, output)
            kept.append(made)

    began = time.perf_counter()
    await asyncio.gather(*(stream() for _ in range(streams)))
    seconds = time.perf_counter() - began
    if None in kept:
        return None
    return Busy(streams=streams, prompt=prompt, output=output, queries=len(kept), seconds=seconds)


def _gpus_of(system: System) -> tuple[str, ...]:
    """Return the numbers of the GPUs that a local engine uses; empty on the CPU."""
    if system.engine not in LOCAL or system.options.get("device") == "cpu":
        return ()
    return this_machine(only=own_gpus()).numbers


def _elsewhere() -> Consumption:
    why = "the engine runs elsewhere"
    return Consumption(unknown={"memory": why, "power": why})


def _told(
    system: System,
    endpoint: Endpoint,
    timings: Sequence[Timed],
    client: ExactClient,
    beside: tuple[list[Busy], Consumption, Plan],
    say: Say,
) -> Profile:
    """Put a profile together. Raises EngineError where nothing can be fitted."""
    size, bits = weight_bytes(endpoint), endpoint.details.get("bits_per_weight")
    shape = _shape(system, say)
    for line in dict.fromkeys(client.discarded):
        say(f"discarded {line}")
    return Profile(
        id=profile_id(system, endpoint),
        model=system.model,
        format=system.format,
        engine=system.engine,
        engine_key=system.engine_key,
        engine_version=endpoint.engine_version,
        hardware=endpoint.hardware,
        devices=endpoint.devices,
        architecture=endpoint.architecture,
        effective=endpoint.format_effective or system.format,
        kernel=endpoint.kernel,
        path=endpoint.path,
        checkpoint=endpoint.checkpoint,
        made_at=datetime.now(UTC),
        version=__version__,
        load_s=endpoint.seconds.load,
        timings=tuple(timings),
        fit=summary(timings, client.discarded, denoised=beside[2].denoised),
        denoised=beside[2].denoised,
        busy=tuple(beside[0]),
        consumption=beside[1],
        discarded=tuple(client.discarded),
        weight_bytes=size,
        parameters=8 * size / bits if size and bits else None,
        hidden=shape.get("hidden_size"),
        layers=shape.get("num_hidden_layers"),
    )


def _shape(system: System, say: Say) -> dict[str, Any]:
    """Read a model's ``config.json``; empty where there is none at hand."""
    try:
        if system.engine == "embedded":
            config: Path | None = Path(resolve(system.model, say).path) / "config.json"
        else:
            config = find_config(system.model)
        found = msgspec.json.decode(config.read_bytes()) if config else {}
    except (OSError, msgspec.MsgspecError, EngineError):
        return {}
    return found if isinstance(found, dict) else {}


def summary(
    timings: Sequence[Timed], discarded: Sequence[str], *, denoised: bool = False
) -> Summary:
    """Fit what was measured. Raises EngineError where too little was kept."""
    grid = grid_of(timings, denoised=denoised)
    try:
        made, context = fit(grid), context_test(grid)
    except CannotFit as error:
        lost = f" Discarded: {'; '.join(dict.fromkeys(discarded))}." if discarded else ""
        raise EngineError(
            f"The measurements cannot be fitted: {error}.{lost}",
            hint="Measure more points, or serve the model with an engine that heeds ignore_eos.",
        ) from None
    return Summary(
        prompts=tuple(int(p) for p in made.prompts),
        first=tuple(float(value) for value in made.table),
        per_token=made.per_token,
        r_squared=made.r_squared,
        worst_residual=float(abs(made.residuals).max()),
        context_change=None if context is None else context.change,
    )
