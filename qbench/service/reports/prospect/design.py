"""How many samples a question needs, before a run; and what would settle a run's open ones."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

from qbench.benchmarks.analysis.design import (
    ALPHA,
    DISCORDANT,
    Spread,
    assumed,
    detectable,
    for_difference,
    for_equivalence,
    for_non_inferiority,
    settling_interval,
    to_settle,
)
from qbench.errors import ConfigError
from qbench.service.commandline import command_of
from qbench.service.domain import Controls, Request, System
from qbench.service.reports.evidence import Evidence, estimate
from qbench.service.reports.prospect.spreads import Past, attempt_of, system_of, whole
from qbench.service.reports.prospect.values import (
    Design,
    Expected,
    Need,
    Settling,
    Unsettled,
)
from qbench.service.reports.values import Estimate
from qbench.service.store import Store

SURE = 0.999
"""Most power that is planned for."""


def designed(
    store: Store,
    request: Request,
    controls: Controls,
    *,
    mde: float,
    power: float,
    discordant: float | None,
) -> Design:
    """Say how many samples show a difference of ``mde``, equivalence and non-inferiority.

    Args:
        store: whose past runs of the suite and models tell the spread.
        request: what would be run; its margin and number of systems count.
        controls: its attempts in flight.
        mde: smallest difference of pass rates to be shown, above 0 and below 1.
        power: chance of showing it.
        discordant: assume this share of discordant samples; None: what past runs tell, else 30 %.

    Raises:
        ConfigError: a number is out of range, or there is nothing to compare.

    """
    _check(mde, power, discordant)
    past = Past.of(store, request)
    spread, source = _spread(past, request, discordant)
    k = sum(not system.replica and system.id != request.baseline for system in request.systems)
    if not k:
        raise ConfigError(
            "One system is compared with nothing.", hint="Name another format or model: -f w4a16."
        )
    variance = spread.variance(request.epochs)
    needs = tuple(_needs(mde, request, variance, k, power))
    shown = partial(detectable, request.limit, variance, power=power, exact=request.epochs == 1)
    return Design(
        mde=mde,
        margin=request.margin,
        power=power,
        epochs=request.epochs,
        comparisons=k,
        between=spread.between,
        within=spread.within,
        effect=spread.effect,
        source=source,
        planned=request.limit,
        detectable=shown(),
        detectable_corrected=shown(alpha=ALPHA / k),
        needs=needs,
        expected=tuple(_expected(past, request, controls, needs[0].corrected)),
        finding=_finding(mde, power, needs[0], request.limit, shown(alpha=ALPHA / k)),
    )


def _check(mde: float, power: float, discordant: float | None) -> None:
    if not 0 < mde < 1:
        raise ConfigError(
            f"A difference of {mde:g} cannot be planned for.",
            hint="Write --mde 1pt, or --mde 0.01.",
        )
    if not 0.05 < power <= SURE:
        raise ConfigError(
            f"A power of {power:g} cannot be planned for.", hint="Write --power 0.8, at most 0.999."
        )
    if discordant is not None and not 0 < discordant <= 1:
        raise ConfigError(
            f"A discordant share of {discordant:g} is none.", hint="Write --discordant 0.3."
        )


def _spread(past: Past, request: Request, discordant: float | None) -> tuple[Spread, str]:
    if discordant is not None:
        return assumed(discordant), f"assumed: {100 * discordant:g} % of the samples discordant"
    found = past.spread(request)
    if found is None:
        why = f"assumed: {100 * DISCORDANT:g} % of the samples discordant; no past run tells"
        return assumed(), why
    spread, differences, runs = found
    return spread, f"measured: {_some(differences, 'difference')} in {_some(runs, 'past run')}"


def _some(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _needs(mde: float, request: Request, variance: float, k: int, power: float) -> Iterator[Need]:
    """Yield the questions; verdicts of equivalence are not corrected, each stands for itself.

    One attempt a sample is planned for McNemar's exact test, which families make milder.
    """
    margin = request.margin
    wanted = partial(for_difference, mde, variance, power=power, exact=request.epochs == 1)
    yield Need(
        question=f"a difference of {_points(mde)}",
        alone=whole(wanted()),
        corrected=whole(wanted(alpha=ALPHA / k)),
    )
    within = f"within {_points(margin)}"
    for question, ask in (
        (f"equivalence {within}, if there is no difference", for_equivalence),
        (f"not worse by {_points(margin)}, if there is no difference", for_non_inferiority),
    ):
        n = whole(ask(margin, variance, power=power))
        yield Need(question=question, alone=n, corrected=n)


def _points(share: float) -> str:
    return f"{100 * share:g} point{'' if math.isclose(share, 0.01) else 's'}"


def _expected(past: Past, request: Request, controls: Controls, samples: int) -> Iterator[Expected]:
    """Yield what each system will take; minutes suppose that attempts in flight stay so many."""
    for system in request.systems:
        if not system.replica:
            dollars, seconds, runs = past.attempt(system)
            yield Expected(
                label=system.label,
                dollars=_times(dollars, samples * request.epochs),
                minutes=_times(seconds, samples * request.epochs / 60 / controls.concurrency),
                runs=runs,
            )


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _finding(mde: float, power: float, need: Need, planned: int, shown: float) -> str:
    corrected = f" ({need.alone:,} for one alone)" if need.alone < need.corrected else ""
    enough = "enough" if planned >= need.corrected else "not enough"
    return (
        f"To show a difference of {_points(mde)} at {100 * power:g} % power takes "
        f"{need.corrected:,} samples{corrected}; the planned {planned:,} are {enough}: they "
        f"show {100 * shown:.1f} points."
    )


def settling(store: Store, run_ref: str) -> Settling:
    """List a run's inconclusive systems with what would settle each.

    Raises:
        NotFound: no such run.

    """
    evidence = Evidence.of(store, run_ref)
    request = evidence.run.request
    open_ones = [key for key, one in evidence.verdicts.items() if one.kind == "inconclusive"]
    rows = tuple(_unsettled(evidence, key) for key in open_ones)
    return Settling(
        run_id=evidence.run.id,
        margin=request.margin,
        rows=rows,
        finding=_settling_finding(rows),
    )


def _unsettled(evidence: Evidence, system_id: str) -> Unsettled:
    request = evidence.run.request
    gap = evidence.difference(system_id, request.baseline)
    assert gap is not None
    system, baseline = system_of(request, system_id), system_of(request, request.baseline)
    wanted, ends = to_settle(gap.mean, request.margin), settling_interval(gap.mean, request.margin)
    known = wanted is not None and ends is not None and math.isfinite(wanted)
    least = gap.mean.n + 1
    n = max(whole(wanted or 0), least) if known else 2 * gap.mean.n
    dollars, minutes = _price(evidence, (system, baseline), n)
    return Unsettled(
        label=system.label,
        difference=estimate(gap.mean.value, gap.interval),
        samples=gap.mean.n,
        needed=_at_least(least, n, ends) if known and ends else None,
        dollars=dollars,
        minutes=minutes,
        command=command_of(request, (system, baseline), samples=n),
    )


def _at_least(least: int, value: float, ends: tuple[float, float]) -> Estimate:
    """An inconclusive verdict needs more than there is, whatever its interval says."""
    return estimate(value, (max(least, ends[0]), max(least, ends[1])))


def _price(
    evidence: Evidence, systems: tuple[System, System], samples: int
) -> tuple[float | None, float | None]:
    """Return dollars and minutes of both systems, at what this run paid and took."""
    told = [attempt_of(evidence, system) for system in systems]
    epochs, width = evidence.run.request.epochs, evidence.run.controls.concurrency
    if any(one is None for one in told):
        return None, None
    paid = [one[0] for one in told if one is not None and one[0] is not None]
    seconds = sum(one[1] for one in told if one is not None)
    dollars = sum(paid) * samples * epochs if len(paid) == len(told) else None
    return dollars, seconds * samples * epochs / 60 / width


def _settling_finding(rows: tuple[Unsettled, ...]) -> str:
    if not rows:
        return "No verdict of this run is inconclusive."
    named = [
        f"{row.label} {row.needed.value:,.0f} [{row.needed.low:,.0f}, {row.needed.high:,.0f}]"
        for row in rows
        if row.needed is not None
    ]
    unknown = [row.label for row in rows if row.needed is None]
    said = f"Samples in all that would settle it at 80 % power: {', '.join(named)}" if named else ""
    more = (
        f"nobody can say for {', '.join(unknown)}, which never differed: twice as many narrow it"
        if unknown
        else ""
    )
    return f"{'; '.join(filter(None, (said, more)))}."
