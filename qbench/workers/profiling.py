"""Measures profiles: one request at a time over a grid of token counts, each with exact counts.

A profile is what a run's recorded token counts are costed with, without running again.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from qbench import __version__
from qbench.benchmarks.analysis.efficiency.runtime import CannotFit, context_test, fit
from qbench.errors import ConfigError, EngineError
from qbench.service.domain import Endpoint, System, new_id
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
from qbench.workers.consumption import children, sampled
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


@dataclass(frozen=True, kw_only=True)
class _Up:
    """A system whose engine is up."""

    system: System
    endpoint: Endpoint
    client: ExactClient
    consumed: Callable[[], Consumption]


async def profiles(systems: Sequence[System], plan: Plan, say: Say) -> list[Profile]:
    """Start engines as a run does, measure the grid on each, and stop them.

    Engines on this machine's CPU are up together and asked in turn, point by point, one request
    at a time: what others do to the machine meanwhile then meets all formats alike. Others are
    measured one after the other, for their memory would not do for two.

    Raises:
        ConfigError: the grid cannot be fitted, or a system cannot run here.
        EngineStartError: an engine did not come up.
        EngineError: it does not serve completions of exact lengths.

    """
    plan.check()
    for system in systems:
        if why := load_engine(system.engine).refuse(system):
            raise ConfigError(why, hint="See `qbench doctor` and docs/engines.md.")
    in_turn = all(one.engine == "embedded" and not _gpus_of(one) for one in systems)
    groups = [systems] if in_turn else [[system] for system in systems]
    return [made for group in groups for made in await _group(group, plan, say)]


async def _group(systems: Sequence[System], plan: Plan, say: Say) -> list[Profile]:
    """Measure systems that are up together."""
    session = new_id()
    async with AsyncExitStack() as stack:
        ups = [await stack.enter_async_context(_up(one, plan, say)) for one in systems]
        timings = await _grids(ups, plan, say)
        found = [_consumed(one, alone=len(ups) == 1) for one in ups]
        busy = [[point async for point in _throughput(one.client, plan, say)] for one in ups]
    return [
        _told(one, made, (used, tuple(points), session), plan, say)
        for one, made, used, points in zip(ups, timings, found, busy, strict=True)
    ]


@asynccontextmanager
async def _up(system: System, plan: Plan, say: Say) -> AsyncIterator[_Up]:
    before, engine = children(), load_engine(system.engine)
    async with engine.serve(system, concurrency=max(1, plan.streams), say=say) as serving:
        endpoint, mine = serving.endpoint, children() - before
        async with exact_client(system, endpoint) as client:
            with sampled(_gpus_of(system), mine) as consumed:
                yield _Up(system=system, endpoint=endpoint, client=client, consumed=consumed)


def _consumed(one: _Up, *, alone: bool) -> Consumption:
    """Return what an engine consumed; power only where it had the machine for itself."""
    if one.system.engine not in LOCAL:
        return Consumption(unknown=dict.fromkeys(("memory", "power"), "the engine runs elsewhere"))
    found = one.consumed()
    if alone or found.watts is None:
        return found
    unknown = {**found.unknown, "power": "several engines were measured in turn"}
    return replace(found, watts=None, unknown=unknown)


async def _grids(ups: Sequence[_Up], plan: Plan, say: Say) -> list[list[Timed]]:
    """Measure every point on every engine in turn, repeats apart and in a shuffled order."""
    for one in ups:
        for prompt in plan.prompts:
            await one.client.timed(prompt, min(2, max(plan.outputs)))  # warm
        one.client.discarded.clear()
    points = list(product(plan.prompts, plan.outputs))
    shuffler = random.Random(plan.seed)  # noqa: S311 - an order
    found: list[list[Timed]] = [[] for _ in ups]
    for number in range(plan.repeats):
        shuffler.shuffle(points)
        for point in points:
            for place in shuffler.sample(range(len(ups)), len(ups)):
                made = await ups[place].client.timed(*point)
                found[place] += [made] if made is not None else []
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


def _told(
    one: _Up,
    timings: Sequence[Timed],
    beside: tuple[Consumption, tuple[Busy, ...], str],
    plan: Plan,
    say: Say,
) -> Profile:
    """Put a profile together. Raises EngineError where nothing can be fitted."""
    system, endpoint, client = one.system, one.endpoint, one.client
    used, busy, session = beside
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
        fit=summary(timings, client.discarded, denoised=plan.denoised),
        denoised=plan.denoised,
        busy=busy,
        session=session,
        consumption=used,
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
