"""Two systems' attempts side by side, with how sure the first one's answers seem."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qbench.benchmarks.analysis.economics.cascade import Both
from qbench.benchmarks.analysis.outcomes import SCORED
from qbench.benchmarks.analysis.sums import dollars
from qbench.benchmarks.catalogue import load_suite
from qbench.benchmarks.scoring.votes import agreement, answer_key, most_votes
from qbench.benchmarks.suite import Sample, Suite
from qbench.benchmarks.transcript import CANDIDATE, Transcript
from qbench.errors import ConfigError, NotFound
from qbench.service.domain import System
from qbench.service.reports.evidence import Evidence
from qbench.service.store import Store

SIGNALS = ("votes", "unread")

Place = tuple[str, int]
"""Sample and epoch."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What both systems were asked, and what the signal took."""

    both: Both
    votes: int


@dataclass(frozen=True, kw_only=True)
class _Answer:
    """The cheap system's answer to one question."""

    sample: str
    sure: float
    passed: float
    cost: float
    dear: Sequence[int]
    """Epochs of the dear system that stand against it."""


def asked_of(store: Store, evidence: Evidence, first: System, then: System, signal: str) -> Asked:
    """Read both systems' attempts.

    Raises:
        NotFound: there is no such signal, or no sample that both were scored on.
        ConfigError: votes are asked for and there is one answer alone.

    """
    if signal not in SIGNALS:
        raise NotFound.among("signal of being unsure", signal, SIGNALS)
    keys = _keys(store, evidence, first)
    facts = {one.id: _facts(evidence, one) for one in (first, then)}
    within = min((len(found) for found in keys.values()), default=0)
    across = max((epoch for _, epoch in keys), default=0) + 1
    if signal == "unread" or within > 1:
        answers = [_alone(place, keys, facts[first.id], signal) for place in keys]
        votes = within if signal == "votes" else 1
    elif across > 1:
        answers, votes = _voted(keys, facts[first.id]), across
    else:
        raise ConfigError(
            f"{first.label} gave one answer to each sample: there is nothing to vote on.",
            hint="Run it with --epochs 3 --temperature 0.7, or majority@3; or --signal unread.",
        )
    return Asked(both=_both(evidence, answers, facts[then.id]), votes=votes)


def _keys(store: Store, evidence: Evidence, system: System) -> dict[Place, list[str | None]]:
    """Return what the suite reads of each answer: of the candidates where an attempt has some."""
    suite, samples = load_suite(evidence.run.request.suite), store.samples_of(evidence.run.id)
    return {
        (made.sample_id, made.epoch): _read(suite, samples[made.sample_id], transcript)
        for made, transcript in store.outputs(evidence.run.id)
        if made.system_id == system.id
    }


def _read(suite: Suite, sample: Sample, made: Transcript) -> list[str | None]:
    numbers = [n for n, path in enumerate(made.paths) if path.role == CANDIDATE]
    answers = [made.along(number) for number in numbers] if len(numbers) > 1 else [made]
    return [answer_key(suite, sample, one) for one in answers]


def _facts(evidence: Evidence, system: System) -> dict[Place, tuple[float, float]]:
    """Return (passed, dollars) of a system's scored attempts."""
    out, place = evidence.outcomes, evidence.place(system.id)
    if place is None:
        return {}
    mine = np.flatnonzero((out.status == SCORED) & (out.system == place))
    paid = dollars(out, evidence.basis)
    return {
        (out.samples[out.sample[at]], int(out.epoch[at])): (float(out.passed[at]), float(paid[at]))
        for at in mine
    }


def _alone(
    place: Place,
    keys: Mapping[Place, Sequence[str | None]],
    facts: Mapping[Place, tuple[float, float]],
    signal: str,
) -> _Answer:
    """Tell one attempt by its own signal."""
    found = keys[place]
    sure = agreement(found) if signal == "votes" else float(any(key is not None for key in found))
    passed, cost = facts[place]
    return _Answer(sample=place[0], sure=sure, passed=passed, cost=cost, dear=(place[1],))


def _voted(
    keys: Mapping[Place, Sequence[str | None]], facts: Mapping[Place, tuple[float, float]]
) -> list[_Answer]:
    """Let a sample's epochs vote: the answer is the majority's, and all of them are paid."""
    epochs: dict[str, list[int]] = {}
    for sample, epoch in sorted(keys):
        epochs.setdefault(sample, []).append(epoch)
    made = []
    for sample, of in epochs.items():
        votes = [keys[sample, epoch][0] for epoch in of]
        passed = facts[sample, of[most_votes(votes)]][0]
        cost = sum(facts[sample, epoch][1] for epoch in of)
        sure = agreement(votes)
        made.append(_Answer(sample=sample, sure=sure, passed=passed, cost=cost, dear=()))
    return made


def _both(
    evidence: Evidence, answers: Sequence[_Answer], dear: Mapping[Place, tuple[float, float]]
) -> Both:
    by_sample: dict[str, list[tuple[float, float]]] = {}
    for (sample, _), fact in dear.items():
        by_sample.setdefault(sample, []).append(fact)
    pairs = [(one, _against(one, dear, by_sample)) for one in answers]
    kept = [(one, fact) for one, fact in pairs if fact is not None]
    if not kept:
        raise NotFound("No sample was scored for both systems.", hint="Resume the run first.")
    place = {sample: at for at, sample in enumerate(evidence.outcomes.samples)}
    families = [evidence.outcomes.sample_family[place[one.sample]] for one, _ in kept]
    return Both(
        sure=np.array([one.sure for one, _ in kept]),
        cheap=np.array([one.passed for one, _ in kept]),
        cheap_cost=np.array([one.cost for one, _ in kept]),
        dear=np.array([fact[0] for _, fact in kept]),
        dear_cost=np.array([fact[1] for _, fact in kept]),
        family=np.array(families, dtype=np.int32),
    )


def _against(
    one: _Answer,
    dear: Mapping[Place, tuple[float, float]],
    by_sample: Mapping[str, Sequence[tuple[float, float]]],
) -> tuple[float, float] | None:
    """Return the dear system's attempt of the same epoch, else the mean of all of them."""
    if one.dear:
        return dear.get((one.sample, one.dear[0]))
    facts = by_sample.get(one.sample)
    if not facts:
        return None
    passed, paid = zip(*facts, strict=True)
    return float(np.mean(passed)), float(np.mean(paid))
