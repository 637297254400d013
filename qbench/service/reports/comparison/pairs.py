"""Every system of a run against every other one, with one correction over all pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations

from qbench.benchmarks.analysis.comparison.multiplicity import Correction, adjusted
from qbench.benchmarks.analysis.comparison.paired import differences
from qbench.errors import ConfigError
from qbench.service.domain import System
from qbench.service.reports.comparison.values import Pair, Pairs
from qbench.service.reports.evidence import Evidence, judged, refuse_one_sided
from qbench.service.reports.findings import points
from qbench.service.reports.sequential.report import Rounds
from qbench.service.store import Store

MOST_NAMED = 3
"""Differing pairs that the closing sentence names."""


def pairs_of(
    store: Store, run_ref: str, correction: Correction = "holm", *, non_inferior: bool = False
) -> Pairs:
    """Judge all pairs of a run's systems; INVALID ones and A/A copies are left out.

    Raises:
        NotFound: no such run.
        ConfigError: fewer than two systems can be compared, or a one-sided verdict is asked of a
            run that goes on until it is decided.

    """
    evidence = Evidence.of(store, run_ref)
    refuse_one_sided(evidence, one_sided=non_inferior)
    left_out = _left_out(evidence)
    systems = [s for s in evidence.run.request.systems if s.label not in left_out]
    if len(systems) < 2:
        raise ConfigError(
            "Fewer than two systems of this run can be compared.",
            hint="; ".join(f"{label}: {why}" for label, why in left_out.items())
            or "Run it with several formats or models.",
        )
    pairs = _judged(evidence, systems, correction, one_sided=non_inferior)
    return Pairs(
        run_id=evidence.run.id,
        margin=evidence.run.request.margin,
        correction=correction,
        pairs=pairs,
        left_out=left_out,
        finding=_finding(pairs, evidence.run.request.margin, correction),
    )


def _left_out(evidence: Evidence) -> dict[str, str]:
    reasons = {
        system.label: "the baseline measured again" if system.replica else why
        for system in evidence.run.request.systems
        if (why := evidence.invalid(system.id)) or system.replica
    }
    return dict(reasons)


def _judged(
    evidence: Evidence, systems: list[System], correction: Correction, *, one_sided: bool
) -> tuple[Pair, ...]:
    request, sums = evidence.run.request, evidence.sums
    alike = len({system.model for system in systems}) == 1
    name = {s.id: s.format if alike else s.label for s in systems}
    wanted = list(combinations(systems, 2))
    if evidence.rounds is not None:
        return _at_any_time(evidence, evidence.rounds, wanted, name, correction)
    rows = {system.id: sums.rates[evidence.outcomes.systems.index(system.id)] for system in systems}
    found = differences(
        [(rows[one.id], rows[two.id]) for one, two in wanted], sums.family, epochs=request.epochs
    )
    known = [(pair, gap) for pair, gap in zip(wanted, found, strict=True) if gap is not None]
    corrected = adjusted([gap.p for _, gap in known], correction)
    made = [
        Pair(
            first=name[one.id],
            second=name[two.id],
            verdict=judged(gap, p, request.margin, one_sided=one_sided),
            p=gap.p,
        )
        for ((one, two), gap), p in zip(known, corrected, strict=True)
    ]
    return tuple(sorted(made, key=lambda pair: pair.p))


def _at_any_time(
    evidence: Evidence,
    rounds: Rounds,
    wanted: Sequence[tuple[System, System]],
    name: dict[str, str],
    correction: Correction,
) -> tuple[Pair, ...]:
    """Judge by confidence sequences the pairs of a run that goes on until it is decided."""
    place = evidence.outcomes.systems.index
    both = [(place(one.id), place(two.id)) for one, two in wanted]
    found = [rounds.gap(*at) for at in both]
    ps = [gap.p() if gap else 1.0 for gap in found]
    corrected = adjusted(ps, correction)
    made = [
        Pair(first=name[one.id], second=name[two.id], verdict=verdict, p=p)
        for (one, two), at, p, q in zip(wanted, both, ps, corrected, strict=True)
        if (verdict := rounds.verdict(*at, q, len(wanted))) is not None
    ]
    return tuple(sorted(made, key=lambda pair: pair.p))


def _finding(pairs: tuple[Pair, ...], margin: float, correction: Correction) -> str:
    number = Counter(pair.verdict.kind for pair in pairs)
    differ = [pair for pair in pairs if pair.verdict.kind in ("worse", "better")]
    promise = {
        "holm": "a chance below 5 % of any false one",
        "bh": "an expected share of false ones below 5 %",
    }[correction]
    said = [f"Of {len(pairs)} pairs {len(differ)} differ ({promise})"]
    said += [_named(pair) for pair in differ[:MOST_NAMED]]
    if len(differ) > MOST_NAMED:
        said.append(f"and {len(differ) - MOST_NAMED} more")
    same = number["equivalent"]
    said.append(f"{same} {'is' if same == 1 else 'are'} equivalent within {100 * margin:g} points")
    if number["non-inferior"]:
        said.append(f"{number['non-inferior']} not worse by as much")
    said.append(f"{number['inconclusive']} inconclusive")
    return f"{'; '.join(said)}."


def _named(pair: Pair) -> str:
    assert pair.verdict.difference is not None
    return f"{pair.first} against {pair.second} {points(pair.verdict.difference)}"
