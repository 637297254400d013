"""Makes the report of efficiency: recorded calls costed with profiles, and the score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from msgspec import Struct

from qbench.benchmarks.analysis.comparison.recovery import Pair, Ratio, ratios
from qbench.benchmarks.analysis.efficiency.intervals import ratio_of_sums
from qbench.benchmarks.analysis.efficiency.resources import compression_ratio
from qbench.benchmarks.analysis.efficiency.runtime import Runtime, flops
from qbench.benchmarks.analysis.outcomes import SCORED
from qbench.benchmarks.analysis.sums import Floats, dollars
from qbench.service.domain import Basis, System
from qbench.service.money import MachinePrice
from qbench.service.pricebook import PriceBook
from qbench.service.profiles import Profile, find, fitting, stored, weight_bytes
from qbench.service.reports.efficiency.calls import NO_CALLS, Calls, recorded_calls
from qbench.service.reports.efficiency.profiles import Nominal, chosen_fit, machine_price, watts_of
from qbench.service.reports.efficiency.values import Costed, Efficiency, Scored
from qbench.service.reports.efficiency.weighing import DEFAULT_WEIGHTS, Weighing, read_weights
from qbench.service.reports.evidence import Evidence, known_mean
from qbench.service.reports.kernels.predicted import MARK, predicted_for, predicted_named
from qbench.service.reports.values import Estimate
from qbench.service.store import Store

SECONDS_PER_HOUR = 3600


class Wanted(Struct, frozen=True, kw_only=True):
    """How to cost a run."""

    basis: Basis = "saturated"
    profile: str = ""
    """Cost every system with this one; empty: each with its own."""
    cached: bool = False
    """Leave out prompt tokens that a cache served; else every prompt is computed whole."""
    weights: str = DEFAULT_WEIGHTS
    nominal: Nominal = Nominal()


@dataclass(frozen=True)
class _Costing:
    """One system, its calls and the profile they are costed with."""

    evidence: Evidence
    wanted: Wanted
    system: System
    calls: Calls
    profile: Profile | None
    book: PriceBook

    @cached_property
    def price(self) -> MachinePrice | None:
        """Of the profile's machine; None when it has none."""
        return machine_price(self.profile, self.book, self.wanted.nominal) if self.profile else None

    @cached_property
    def runtime(self) -> Runtime | None:
        """The profile's fit."""
        return chosen_fit(self.profile)[0] if self.profile else None

    @cached_property
    def design(self) -> Floats:
        """(N, K + 2) of the counted calls."""
        assert self.runtime is not None
        chosen = self.calls.counted
        prompt = self.calls.prompts(cached=self.wanted.cached)[chosen]
        return self.runtime.design(prompt, self.calls.output[chosen])

    def samples(self, seconds: Floats) -> Floats:
        """Return (S,) mean per attempt of a quantity of the counted calls; NaN without any."""
        size = len(self.evidence.outcomes.samples)
        of = self.calls.sample[self.calls.attempt[self.calls.counted]]
        attempts = np.bincount(self.calls.sample[self.calls.known], minlength=size)
        total = np.bincount(of, seconds, size)
        made: Floats = np.where(attempts, total / np.maximum(attempts, 1), np.nan)
        return made

    def families(self, seconds: Floats) -> Floats:
        """Return (G,) sums of a quantity of the counted calls."""
        of = self.calls.sample[self.calls.attempt[self.calls.counted]]
        family = self.evidence.sums.family[of]
        return np.bincount(family, seconds, self.evidence.sums.families).astype(np.float64)

    @cached_property
    def attempts(self) -> Floats:
        """(G,) known attempts."""
        family = self.evidence.sums.family[self.calls.sample[self.calls.known]]
        return np.bincount(family, minlength=self.evidence.sums.families).astype(np.float64)

    @cached_property
    def raw(self) -> Floats:
        """(N,) measured seconds of the counted calls."""
        return self.calls.seconds[self.calls.counted]

    @cached_property
    def ideal(self) -> Floats | None:
        """(N,) idealized seconds of the counted calls; None without a profile."""
        if self.runtime is None:
            return None
        made: Floats = self.design @ self.runtime.coefficients
        return made

    @property
    def doubt(self) -> float:
        """Squared relative error that the profile leaves in all of the calls."""
        assert self.runtime is not None
        return self.runtime.relative_variance(self.design.sum(axis=0))

    def everything(self) -> tuple[float, int]:
        """Return idealized seconds and number of every call of known usage."""
        assert self.runtime is not None
        known = ~np.isnan(self.calls.prompt)
        prompt = self.calls.prompts(cached=self.wanted.cached)[known]
        return float(self.runtime.seconds(prompt, self.calls.output[known]).sum()), int(known.sum())


def efficiency_of(
    store: Store, run_ref: str, book: PriceBook, wanted: Wanted | None = None
) -> Efficiency:
    """Cost a run's recorded token counts without running, and score its systems.

    Raises:
        NotFound: no such run, profile or axis.
        ConfigError: the weights cannot be read.

    """
    how = wanted or Wanted()
    asked = read_weights(how.weights)
    evidence = Evidence.of(store, run_ref, how.basis)
    kept = stored()
    named = _named(how.profile, kept) if how.profile else None
    calls = recorded_calls(store, evidence)
    costings = []
    for system in evidence.run.request.systems:
        endpoint = evidence.endpoint(system)
        chosen = named or fitting(system, endpoint, kept) or predicted_for(system, endpoint)
        mine = calls.get(system.id, NO_CALLS)
        costings.append(_Costing(evidence, how, system, mine, chosen, book))
    rows = tuple(_costed(one, costings) for one in costings)
    weighing, latency = _weighing(costings)
    weights = weighing.known(asked) if weighing else {}
    scores = weighing.scores(weights) if weighing else ()
    return Efficiency(
        run_id=evidence.run.id,
        basis=how.basis,
        cached=how.cached,
        weights=weights,
        latency=latency,
        rows=rows,
        scores=scores,
        notes=_notes(rows, how, asked, weights),
        finding=_finding(rows, scores),
    )


def _named(ref: str, kept: Sequence[Profile]) -> Profile:
    """Find a profile that is kept, or predict the one that is asked for. Raises NotFound."""
    return predicted_named(ref) if ref.startswith(MARK) else find(ref, kept)


def _costed(one: _Costing, costings: Sequence[_Costing]) -> Costed:
    calls, attempts = one.calls, float(one.attempts.sum())
    cost = _idealized(one)
    fastest = calls.fastest()
    size = _size(one)
    return Costed(
        system_id=one.system.id,
        label=one.system.label,
        model=one.system.model,
        variant=one.system.variant,
        profile=f"{one.profile.label} ({one.profile.id})" if one.profile else "",
        why="" if one.profile else _why(one),
        caution=_caution(one),
        attempts=int(attempts),
        unknown=int(calls.scored.sum() - calls.known.sum()),
        calls=len(one.raw) / attempts if attempts else None,
        raw=float(one.raw.sum()) / attempts if attempts else None,
        denoised=fastest / attempts if fastest is not None else None,
        recorded=_recorded(one),
        all_calls=len(calls.seconds),
        weight_bytes=size,
        compression=_compression(one, costings),
        **cost,
    )


def _idealized(one: _Costing) -> dict[str, Any]:
    """Return what is computed from the profile; all None without one, or without calls."""
    nothing = ("idealized", "slowdown", "dollars", "joules", "teraflops", "extended")
    found: dict[str, Any] = dict.fromkeys((*nothing, "all_seconds", "all_dollars")) | {"power": ""}
    if one.profile is None or one.runtime is None or one.ideal is None or not len(one.ideal):
        return found
    doubt, ideal = one.doubt, one.families(one.ideal)
    freedom = one.runtime.freedom
    mean = ratio_of_sums(ideal, one.attempts, relative_variance=doubt, freedom=freedom)
    slower = ratio_of_sums(one.families(one.raw), ideal, relative_variance=doubt, freedom=freedom)
    watts, power = watts_of(one.profile, one.book, one.wanted.nominal)
    whole, _ = one.everything()
    rate = None if one.price is None else float(one.price.per_hour) / SECONDS_PER_HOUR
    return found | {
        "idealized": _told(mean),
        "slowdown": _told(slower),
        "dollars": _told(mean, rate),
        "joules": _told(mean, watts),
        "power": power,
        "teraflops": _teraflops(one),
        "extended": _extended(one),
        "all_seconds": whole,
        "all_dollars": None if rate is None else whole * rate,
    }


def _told(found: Ratio | None, scale: float | None = 1.0) -> Estimate | None:
    if found is None or scale is None:
        return None
    return Estimate(value=scale * found.value, low=scale * found.low, high=scale * found.high)


def _teraflops(one: _Costing) -> float | None:
    profile = one.profile
    if profile is None or not profile.hidden or not profile.layers:
        return None
    prompt, output = _tokens(one)
    total = float(flops(profile.hidden, profile.layers, prompt, output).sum())
    return total / float(one.attempts.sum()) / 1e12


def _extended(one: _Costing) -> float:
    assert one.runtime is not None
    return float(one.runtime.beyond(*_tokens(one)).mean())


def _tokens(one: _Costing) -> tuple[Floats, Floats]:
    chosen = one.calls.counted
    return one.calls.prompts(cached=one.wanted.cached)[chosen], one.calls.output[chosen]


def _recorded(one: _Costing) -> float | None:
    """Return mean dollars of the scored attempts as they were billed."""
    evidence, place = one.evidence, one.evidence.place(one.system.id)
    if place is None:
        return None
    outcomes = evidence.outcomes
    mine = (outcomes.system == place) & (outcomes.status == SCORED)
    return known_mean(dollars(outcomes, evidence.basis)[mine])


def _why(one: _Costing) -> str:
    if not len(one.calls.seconds):
        return "it made no call"
    if one.system.engine == "api":
        return "an API's machine is not ours: name a profile with --profile"
    if one.evidence.endpoint(one.system) is None:
        return "no engine session was recorded"
    return f"none was measured: qbench profile {one.system.model} --formats {one.system.format}"


def _caution(one: _Costing) -> str:
    """Say what a reader must know of the profile; that of another system is somebody's choice."""
    profile, endpoint = one.profile, one.evidence.endpoint(one.system)
    if profile is None:
        return ""
    said = []
    if profile.predicted is not None:
        said.append(f"its profile was never measured but predicted ({profile.predicted.source})")
    if profile.path == "emulated":
        said.append("its profile is of an emulation, not of a native kernel")
    same = profile.engine_key == one.system.engine_key
    if same and endpoint and endpoint.engine_version != profile.engine_version:
        said.append(f"its profile is of {profile.engine_version or 'an unknown version'}")
    return "; ".join(said)


def _size(one: _Costing) -> float | None:
    endpoint = one.evidence.endpoint(one.system)
    return weight_bytes(endpoint) if endpoint else None


def _compression(one: _Costing, costings: Sequence[_Costing]) -> Estimate | None:
    """Return MCR against the baseline; None where a size or a pass rate is unknown."""
    evidence, baseline = one.evidence, one.evidence.run.request.baseline
    first = next(other for other in costings if other.system.id == baseline)
    mine, theirs = _size(one), _size(first)
    places = [evidence.place(system) for system in (one.system.id, baseline)]
    if one is first or not mine or not theirs or places[0] is None or places[1] is None:
        return None
    rates = evidence.sums.rates
    pair = Pair(system=rates[places[0]], baseline=rates[places[1]])
    seed = evidence.run.request.seed
    (kept,) = ratios([pair], evidence.sums.family, evidence.sums.families, seed=seed)
    return _told(kept, compression_ratio(theirs, mine, 1.0))


def _weighing(costings: Sequence[_Costing]) -> tuple[Weighing | None, str]:
    """Put the ranked systems on the axes; latency is idealized where all of them have it."""
    evidence = costings[0].evidence
    ranked = [
        one
        for one in costings
        if not one.system.replica and not evidence.invalid(one.system.id) and len(one.raw)
    ]
    ideal = all(one.ideal is not None for one in ranked)
    if not ranked:
        return None, "raw"
    seconds = [one.samples(_or_raw(one, ideal=ideal)) for one in ranked]
    sizes = [_size(one) or np.nan for one in ranked]
    weighing = Weighing(
        evidence,
        [one.system for one in ranked],
        np.array(seconds, dtype=np.float64),
        np.array(sizes, dtype=np.float64),
    )
    return weighing, "idealized" if ideal else "raw"


def _or_raw(one: _Costing, *, ideal: bool) -> Floats:
    return one.ideal if ideal and one.ideal is not None else one.raw


def _notes(
    rows: Sequence[Costed], how: Wanted, asked: Mapping[str, float], known: Mapping[str, float]
) -> tuple[str, ...]:
    notes = ["Raw seconds and recorded dollars are measured; idealized ones are computed."]
    if how.profile:
        notes.append("Every system is costed as if the profile's machine had served its tokens.")
    notes += [f"{row.label}: no profile, {row.why}." for row in rows if row.why]
    notes += [f"{row.label}: {row.caution}." for row in rows if row.caution]
    notes += [
        f"{row.label}: {100 * row.extended:.0f} % of the calls lie outside the profile's grid."
        for row in rows
        if row.extended
    ]
    notes += [
        f"{row.label}: {row.unknown} scored attempts are left out, a call's usage is unknown."
        for row in rows
        if row.unknown
    ]
    unknown = [name for name in asked if name not in known]
    if unknown:
        notes.append(
            "Not weighed, because the baseline has none, or no other system has any:"
            f" {', '.join(unknown)}."
        )
    return tuple(notes)


def _finding(rows: Sequence[Costed], scores: Sequence[Scored]) -> str:
    alike = len({row.model for row in rows}) == 1
    said = [_said(row, alike=alike) for row in rows if row.idealized]
    text = f"Idealized: {'; '.join(said)}." if said else "No system could be costed with a profile."
    best = scores[0] if scores else None
    if best and best.score and best.first is not None and best.wins is not None:
        text += (
            f" {best.label} scores most with these weights ({best.score.value:+.2f},"
            f" 95 % {best.score.low:+.2f} to {best.score.high:+.2f}; first in"
            f" {100 * best.first:.0f} % of resamples and under {100 * best.wins:.0f} % of all"
            " weightings)."
        )
    return text


def _said(row: Costed, *, alike: bool) -> str:
    name = row.variant if alike else row.label
    assert row.idealized is not None
    ends = f"95 % {row.idealized.low:.3g} to {row.idealized.high:.3g}"
    text = f"{name} {row.idealized.value:.3g} s an attempt ({ends}"
    slower = f", raw {row.slowdown.value:.3g} x" if row.slowdown else ""
    return f"{text}{slower})"
