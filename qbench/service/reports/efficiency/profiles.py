"""Makes the report of profiles: fits, use cases, metrics, and how much cheaper a format is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
from msgspec import Struct

from qbench.benchmarks.analysis.efficiency import queries, resources
from qbench.benchmarks.analysis.efficiency.queries import USE_CASES, cost_reduction
from qbench.benchmarks.analysis.efficiency.runtime import (
    CannotFit,
    ContextTest,
    Runtime,
    context_test,
    drawn,
    fit,
    flops,
    per_prompt,
)
from qbench.benchmarks.analysis.resampling import percentile_interval
from qbench.benchmarks.analysis.sums import Floats
from qbench.service.money import MachinePrice
from qbench.service.peaks import peak_of
from qbench.service.pricebook import PriceBook
from qbench.service.profiles import Profile, grid_of
from qbench.service.reports.efficiency.profile_values import (
    CaseRow,
    First,
    Fitted,
    Metric,
    Point,
    Profiled,
    Profiles,
    Reduction,
    Trend,
)
from qbench.service.reports.efficiency.profile_words import finding_of, notes_of
from qbench.service.reports.evidence import estimate
from qbench.service.reports.values import Estimate

PROMPTS = np.array([case.prompt for case in USE_CASES], dtype=np.float64)
OUTPUTS = np.array([case.output for case in USE_CASES], dtype=np.float64)


class Nominal(Struct, frozen=True, kw_only=True):
    """What the user knows of the machine; None: what was measured, else the price book's."""

    watts: float | None = None
    """Of one device."""
    peak: float | None = None
    """Operations a second of one device; None: the maker's."""
    hardware: str = ""
    """Price-book name; empty: the profile's own."""


def chosen_fit(profile: Profile) -> tuple[Runtime, ContextTest | None]:
    """Return the fit that a profile's costs are made of, and the test of the context term.

    That of a predicted profile is as uncertain as the predictions are: one relative error, shared
    by all its numbers.
    """
    if profile.predicted is not None:
        made = fit(profile.grid, context=True)
        shared = profile.predicted.error**2 * np.outer(made.coefficients, made.coefficients)
        freedom = max(1, profile.predicted.rows)
        return replace(made, covariance=shared, freedom=freedom), None
    test = context_test(profile.grid)
    return (test.fit if test and test.needed else fit(profile.grid)), test


def machine_price(profile: Profile, book: PriceBook, nominal: Nominal) -> MachinePrice | None:
    """Return the price of a profile's machine now; None when it has none."""
    hardware = nominal.hardware or profile.hardware
    if not hardware:
        return None
    return book.machine_price(hardware, datetime.now(UTC), devices=profile.devices)


def watts_of(profile: Profile, book: PriceBook, nominal: Nominal) -> tuple[float | None, str]:
    """Return what the whole machine draws, and where that is known from."""
    if nominal.watts is not None:
        return nominal.watts * profile.devices, "given"
    if profile.consumption.watts is not None:
        return profile.consumption.watts, "measured"
    hardware = nominal.hardware or profile.hardware
    known = book.watts(hardware, devices=profile.devices) if hardware else None
    if known is not None:
        power, watts = known
        return float(watts), f"at most, by the price book ({power.name})"
    return None, profile.consumption.unknown.get("power", "it was not measured")


def profiles_report(
    profiles: Sequence[Profile], book: PriceBook, nominal: Nominal | None = None
) -> Profiles:
    """Say what profiles measured; others are compared with the first."""
    known = nominal or Nominal()
    rows = [_profiled(one, profiles[0], book, known) for one in profiles]
    return Profiles(rows=tuple(rows), notes=notes_of(rows), finding=finding_of(rows))


def _profiled(one: Profile, first: Profile, book: PriceBook, nominal: Nominal) -> Profiled:
    runtime, test = chosen_fit(one)
    price = machine_price(one, book, nominal)
    per_hour = float(price.per_hour) if price else None
    reduction = None
    if one is not first:
        reduction = _reduction(one, first, [machine_price(p, book, nominal) for p in (one, first)])
    return Profiled(
        id=one.id,
        label=one.label,
        ref=one.ref,
        format=one.format,
        effective=one.effective,
        path=one.path,
        engine=one.engine,
        engine_version=one.engine_version,
        hardware=one.hardware,
        devices=one.devices,
        made_at=one.made_at,
        per_hour=per_hour,
        price=f"{price.provider}, {price.name}, from {price.valid_from}" if price else "",
        fitted=_fitted(one, runtime, test),
        streams=max((point.streams for point in one.busy), default=0),
        cases=_cases(one, runtime, per_hour),
        metrics=_metrics(one, book, nominal),
        reduction=reduction,
        discarded=one.discarded,
    )


def _fitted(profile: Profile, runtime: Runtime, test: ContextTest | None) -> Fitted:
    grid, columns = profile.grid, np.eye(len(runtime.coefficients))
    slopes = per_prompt(grid, runtime)
    firsts = [
        First(
            prompt=int(prompt),
            seconds=estimate(float(runtime.table[place]), runtime.interval(columns[place])),
            per_token=None if np.isnan(slopes[place]) else float(slopes[place]),
        )
        for place, prompt in enumerate(runtime.prompts)
    ]
    return Fitted(
        firsts=tuple(firsts),
        per_token=estimate(runtime.per_token, runtime.interval(columns[-2])),
        context=runtime.context,
        r_squared=runtime.r_squared,
        spread=runtime.spread,
        worst=float(np.abs(runtime.residuals).max()),
        denoised=profile.denoised,
        denoised_per_token=_denoised(profile),
        trend=_trend(test),
        points=_points(profile, runtime),
    )


def _trend(test: ContextTest | None) -> Trend | None:
    if test is None:
        return None
    change = estimate(test.change, (test.low, test.high))
    return Trend(change=change, gain=test.gain, used=test.needed)


def _denoised(profile: Profile) -> float | None:
    try:
        return fit(grid_of(profile.timings, denoised=True)).per_token
    except CannotFit:
        return None


def _points(profile: Profile, runtime: Runtime) -> tuple[Point, ...]:
    found: dict[tuple[int, int], list[float]] = {}
    for one in profile.timings:
        if one.prompt in runtime.prompts:
            found.setdefault((one.prompt, one.output), []).append(one.seconds)
    shapes = np.array(sorted(found), dtype=np.float64).reshape(-1, 2)
    fitted = runtime.seconds(shapes[:, 0], shapes[:, 1])
    return tuple(
        Point(
            prompt=key[0],
            output=key[1],
            seconds=float(np.mean(found[key])),
            fastest=min(found[key]),
            fitted=float(value),
            repeats=len(found[key]),
        )
        for key, value in zip(sorted(found), fitted, strict=True)
    )


def _cases(profile: Profile, runtime: Runtime, per_hour: float | None) -> tuple[CaseRow, ...]:
    design = runtime.design(PROMPTS, OUTPUTS)
    seconds = design @ runtime.coefficients
    rates = _rates(profile)
    beyond = runtime.beyond(PROMPTS, OUTPUTS)
    made = []
    for place, case in enumerate(USE_CASES):
        low, high = runtime.interval(design[place])
        ends = np.array([float(seconds[place]), high, max(low, 1e-12)])
        bought = queries.synchronous(ends, per_hour) if per_hour else None
        rate = rates[place] if rates is not None and per_hour else None
        made.append(
            CaseRow(
                name=case.name,
                prompt=case.prompt,
                output=case.output,
                seconds=estimate(float(seconds[place]), (max(0.0, low), high)),
                synchronous=None
                if bought is None
                else estimate(float(bought[0]), (float(bought[1]), float(bought[2]))),
                asynchronous=None
                if rate is None or per_hour is None
                else float(queries.asynchronous(rate, per_hour)),
                extended=bool(beyond[place]),
            )
        )
    return tuple(made)


def _rates(profile: Profile) -> Floats | None:
    """Return (U,) queries a second of the use cases at the most streams measured."""
    most = max((point.streams for point in profile.busy), default=0)
    points = [point for point in profile.busy if point.streams == most]
    shapes = np.array([(p.prompt, p.output, p.queries / p.seconds) for p in points])
    found = queries.saturation(*shapes.reshape(-1, 3).T)
    return found.per_second(PROMPTS, OUTPUTS) if found else None


def _reduction(
    one: Profile, first: Profile, prices: Sequence[MachinePrice | None]
) -> Reduction | None:
    """Compare two profiles use case by use case; the machine's price falls out where it is one."""
    mine, theirs = prices
    if mine is None or theirs is None:
        if (one.hardware, one.devices) != (first.hardware, first.devices):
            return None
        dearer = 1.0
    else:
        dearer = float(mine.per_hour / theirs.per_hour)
    fits = [chosen_fit(profile)[0] for profile in (one, first)]
    designs = [runtime.design(PROMPTS, OUTPUTS) for runtime in fits]
    now, then = (
        design @ runtime.coefficients for design, runtime in zip(designs, fits, strict=True)
    )
    by_case = then / (now * dearer)
    over = cost_reduction(1 / (now * dearer), 1 / then)
    drawn_now, drawn_then = (
        drawn(runtime, design, seed=seed)
        for seed, (runtime, design) in enumerate(zip(fits, designs, strict=True))
    )
    low, high = percentile_interval((drawn_then / (drawn_now * dearer)).mean(axis=1))
    assert over is not None
    rates = [_rates(profile) for profile in (one, first)]
    busy = None
    if rates[0] is not None and rates[1] is not None:
        busy = float((rates[0] / rates[1]).mean()) / dearer
    return Reduction(
        synchronous=estimate(float(by_case.mean()), (low, high)),
        by_case=tuple(float(value) for value in by_case),
        over_cases=Estimate(value=over.value, low=over.low, high=over.high),
        asynchronous=busy,
        paired=_paired(one, first),
        in_turn=bool(one.session) and one.session == first.session,
    )


def _paired(one: Profile, first: Profile) -> Estimate | None:
    """Compare request by request; None where they were not made in turn, or some were lost."""
    shapes = [[(timed.prompt, timed.output) for timed in each.timings] for each in (one, first)]
    if not one.session or one.session != first.session or shapes[0] != shapes[1]:
        return None
    mine, theirs = (np.array([t.seconds for t in each.timings]) for each in (one, first))
    found = queries.paired_speed(mine, theirs)
    return Estimate(value=found.value, low=found.low, high=found.high) if found else None


def _metrics(profile: Profile, book: PriceBook, nominal: Nominal) -> tuple[Metric, ...]:
    """Return what the paper calls AMU, PCU, AL, TT, ST, IT and AEC; MCR needs pass rates."""
    used, grid = profile.consumption, profile.grid
    seconds, tokens = float(grid.seconds.sum()), float((grid.prompt + grid.output).sum())
    missing = used.unknown.get("memory", "the memory was not measured")
    memory = (
        used.memory_mean / used.memory_total if used.memory_mean and used.memory_total else None
    )
    size = profile.parameters
    each = (size or 1.0) if size else None
    watts, source = watts_of(profile, book, nominal)
    no_size = "the engine does not tell how many weights there are"
    return (
        Metric(
            name="AMU",
            value=memory,
            unit="share",
            why="mean resident or device memory / all of it" if memory else missing,
        ),
        _utilization(profile, nominal, seconds),
        Metric(
            name="AL",
            value=chosen_fit(profile)[0].per_token,
            unit="s",
            why="one decode step of one stream, computing and communicating",
        ),
        Metric(
            name="TT",
            value=resources.throughput(tokens, seconds, each) if each else None,
            unit="tokens/parameter/s",
            why="prompt and generated tokens, one stream" if each else no_size,
        ),
        Metric(
            name="ST",
            value=resources.throughput(len(grid.seconds), seconds, each) if each else None,
            unit="requests/parameter/s",
            why="one stream" if each else no_size,
        ),
        Metric(
            name="IT",
            value=resources.throughput(float(grid.output.sum()), seconds),
            unit="tokens/s",
            why="generated tokens over the grid, one stream",
        ),
        Metric(name="AEC", value=watts, unit="W", why=source),
    )


def _utilization(profile: Profile, nominal: Nominal, seconds: float) -> Metric:
    peak = nominal.peak or peak_of(profile.hardware)
    value, why = None, "the model's size of hidden states and layers is not known"
    if profile.hidden and profile.layers:
        why = f"no peak is known for {profile.hardware or 'this machine'}: --peak-tflops"
        if peak:
            grid = profile.grid
            work = float(flops(profile.hidden, profile.layers, grid.prompt, grid.output).sum())
            value = resources.compute_utilization(work, seconds, peak * profile.devices)
            why = "24 h² L (p + o - 1) operations / nominal peak"
    return Metric(name="PCU", value=value, unit="share", why=why)
