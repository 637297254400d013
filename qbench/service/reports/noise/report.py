"""How far runs of the very same systems are apart, and over what: ``qbench noise RUN RUN``.

What differed between the runs (concurrency, threads, engine, hardware, ...) is read from what was
recorded, so a spread never stands there without its causes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

import numpy as np

from qbench.benchmarks.analysis.clusters import pass_rate
from qbench.benchmarks.analysis.noise.flips import (
    divergence,
    length_spread,
    std_at_accuracy,
    std_interval,
)
from qbench.benchmarks.analysis.sums import Floats
from qbench.errors import NotFound
from qbench.service.domain import Run
from qbench.service.reports.evidence import Evidence, estimate
from qbench.service.reports.findings import noise_line
from qbench.service.reports.noise.graded import graded_said, graded_scores
from qbench.service.reports.noise.repeats import Measured, measured, runs_of
from qbench.service.reports.noise.values import Configuration, Gap, RunNoise, Spread, short_names
from qbench.service.reports.noise.variance import variance_said, variances
from qbench.service.reports.values import Estimate
from qbench.service.store import Store


@dataclass
class Written:
    """What a system wrote over configurations, compared as it is read."""

    first: dict[tuple[str, int], str] = field(default_factory=dict)
    """(sample, epoch) to the first text."""
    earliest: dict[tuple[str, int], int] = field(default_factory=dict)
    """(sample, epoch) to the first position at which any other text differs from the first."""

    def add(self, key: tuple[str, int], text: str) -> None:
        """Compare one more output."""
        place = divergence(self.first.setdefault(key, text), text)
        if place is not None:
            self.earliest[key] = min(place, self.earliest.get(key, place))

    def identical(self, samples: Sequence[str]) -> Floats:
        """(S,) 1 where all outputs of a sample were the same, else 0."""
        differ = {sample for sample, _ in self.earliest}
        return np.array([float(sample not in differ) for sample in samples])

    def places(self, samples: Sequence[str]) -> list[int]:
        """Return where outputs diverge, for those of ``samples`` that do."""
        wanted = set(samples)
        return [place for (sample, _), place in self.earliest.items() if sample in wanted]


NOTHING = "Nothing can be said: no system is both valid and measured again."


def noise_of(store: Store, refs: Sequence[str]) -> RunNoise:
    """Measure how far the same systems are from themselves: over runs, epochs and A/A copies.

    Args:
        store: where the runs are.
        refs: ids of runs or beginnings of them; one alone stands for all ended runs of its very
            request, which does not say how a run is driven.

    Raises:
        NotFound: no such run, or nothing that two of them share.
        ConfigError: the runs asked different suites, are too many, or measured nothing twice.

    """
    runs = runs_of(store, refs)
    found = [Evidence.of(store, run.id) for run in runs]
    groups, left_out = measured(found)
    over = _over_runs(store, runs, groups, left_out) if len(runs) > 1 else Over()
    parts, scores = variances(groups), graded_scores(store, groups)
    said = [*over.said, *floor_said(found), *variance_said(parts), *graded_said(scores)]
    return RunNoise(
        runs=tuple(run.id for run in runs),
        suite=runs[0].request.suite,
        differs=over.differs,
        systems=over.systems,
        gaps=over.gaps,
        left_out=left_out,
        variance=parts,
        floor=found[0].noise if len(runs) == 1 else None,
        scores=scores,
        notes=over.notes,
        finding=" ".join(said) or NOTHING,
    )


@dataclass(frozen=True)
class Over:
    """What several runs show; empty of one."""

    differs: tuple[str, ...] = ()
    systems: tuple[Spread, ...] = ()
    gaps: tuple[Gap, ...] = ()
    said: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def _over_runs(
    store: Store,
    runs: Sequence[Run],
    everything: Mapping[str, list[Measured]],
    left_out: dict[str, str],
) -> Over:
    groups = _groups(everything, left_out)
    differs = _differs(groups)
    written = _written(store, runs, groups)
    spreads = {
        key: _spread(group, _shared(group[0].system.model, groups), written[key], differs)
        for key, group in groups.items()
    }
    gaps = _gaps(groups, spreads)
    systems = tuple(spreads.values())
    said = (_finding(len(runs), differs, systems, gaps),)
    return Over(differs, systems, gaps, said, tuple(_together(systems, differs)))


def _together(systems: Sequence[Spread], differs: Sequence[str]) -> Iterator[str]:
    """Say which causes changed in the same runs, so that the spread cannot be told apart."""
    alike: dict[tuple[tuple[int, ...], ...], list[str]] = {}
    for name in differs:
        values = [[one.values[name] for one in each.configurations] for each in systems]
        split = tuple(tuple(map(row.index, row)) for row in values)
        alike.setdefault(split, []).append(name)
    for names in alike.values():
        if len(names) > 1:
            yield (
                f"{', '.join(names)} changed in the same runs: which of them made the spread "
                "cannot be told."
            )


def floor_said(found: Sequence[Evidence]) -> Iterator[str]:
    """Say the A/A noise floor of a single run that has one."""
    if len(found) == 1 and found[0].noise is not None:
        yield noise_line(found[0].noise, [])


def _groups(
    everything: Mapping[str, list[Measured]], left_out: dict[str, str]
) -> dict[str, list[Measured]]:
    """Keep the systems that several runs share; note why others are left out."""
    groups = dict(everything)
    for key, group in list(groups.items()):
        if len(group) < 2:
            left_out.setdefault(group[0].system.label, "in one of the runs only")
            del groups[key]
        elif not _shared(group[0].system.model, groups):
            left_out.setdefault(group[0].system.label, "no sample was scored in every run")
            del groups[key]
    if not groups:
        raise NotFound(
            "The runs share no system with a scored sample.",
            hint="Run the same command again with --fresh and another --concurrency.",
        )
    return groups


def _shared(model: str, groups: Mapping[str, Sequence[Measured]]) -> list[str]:
    """Return the samples that every system of a model was scored on in every run."""
    scored = [
        one.scored
        for group in groups.values()
        for one in group
        if one.system.model == model and len(group) > 1
    ]
    return sorted(set.intersection(*scored))


def _differs(groups: Mapping[str, Sequence[Measured]]) -> tuple[str, ...]:
    """Return the names of what differs within a group, in the order they were recorded."""
    names = dict.fromkeys(n for group in groups.values() for one in group for n in one.values)
    return tuple(
        name
        for name in names
        if any(len({one.values.get(name, "") for one in group}) > 1 for group in groups.values())
    )


def _written(
    store: Store, runs: Sequence[Run], groups: Mapping[str, Sequence[Measured]]
) -> dict[str, Written]:
    found = {key: Written() for key in groups}
    keys = {
        (one.evidence.run.id, one.system.id): key for key, group in groups.items() for one in group
    }
    for run in runs:
        for made, transcript in store.outputs(run.id):
            key = keys.get((run.id, made.system_id))
            if key is not None:
                found[key].add((made.sample_id, made.epoch), transcript.written)
    return found


def _spread(
    group: Sequence[Measured], samples: Sequence[str], written: Written, differs: Sequence[str]
) -> Spread:
    system, out = group[0].system, group[0].evidence.outcomes
    rates = np.stack([one.of(one.evidence.sums.rates, samples) for one in group])
    tokens = np.stack([one.tokens(samples) for one in group])
    family = dict(zip(out.samples, out.sample_family, strict=True))
    families = np.array([family[name] for name in samples], dtype=np.int32)
    means = rates.mean(axis=1)
    spread = std_at_accuracy(means.tolist())
    assert spread is not None
    passes = rates >= 0.5
    places = written.places(samples)
    return Spread(
        label=system.label,
        model=system.model,
        format=system.format,
        engine=system.engine,
        samples=len(samples),
        configurations=tuple(
            Configuration(
                run_id=one.evidence.run.id,
                values={name: one.values.get(name, "") for name in differs},
                pass_rate=float(rate),
                completion_tokens=None if np.isnan(length).any() else float(length.mean()),
            )
            for one, rate, length in zip(group, means, tokens, strict=True)
        ),
        pass_rate=float(means.mean()),
        std_accuracy=spread,
        std_interval=std_interval(spread, len(group), len(np.unique(families))),
        std_length=length_spread(tokens),
        unsteady=_share(np.where(passes.all(axis=0), 0.0, passes.any(axis=0)), families),
        identical=_share(written.identical(samples), families),
        divergence=float(median(places)) if places else None,
    )


def _share(values: Floats, families: np.ndarray[tuple[int], np.dtype[np.int32]]) -> Estimate:
    found = pass_rate(values, np.ones(len(values)), families)
    assert found is not None
    return estimate(found.value, (found.low, found.high))


def _gaps(
    groups: Mapping[str, Sequence[Measured]], spreads: Mapping[str, Spread]
) -> tuple[Gap, ...]:
    """Set every format beside the baseline's, where both were measured in the same runs."""
    request = next(iter(groups.values()))[0].evidence.run.request
    fmt = next(s.format for s in request.systems if s.id == request.baseline)
    runs = {key: [one.evidence.run.id for one in group] for key, group in groups.items()}
    made = []
    for key, one in spreads.items():
        for other, baseline in spreads.items():
            same = (one.model, one.engine) == (baseline.model, baseline.engine)
            if key != other and baseline.format == fmt and same and runs[key] == runs[other]:
                made.append(_gap(one, baseline))
    return tuple(made)


def _gap(one: Spread, baseline: Spread) -> Gap:
    difference = one.pass_rate - baseline.pass_rate
    spread = max(one.std_accuracy, baseline.std_accuracy)
    pairs = zip(one.configurations, baseline.configurations, strict=True)
    return Gap(
        label=one.label,
        baseline=baseline.label,
        difference=difference,
        by_configuration=tuple(mine.pass_rate - other.pass_rate for mine, other in pairs),
        std_accuracy=spread,
        std_high=max(one.std_interval[1], baseline.std_interval[1]),
        beyond=abs(difference) > spread + 1e-12,
    )


def _finding(
    number: int, differs: Sequence[str], spreads: Sequence[Spread], gaps: Sequence[Gap]
) -> str:
    """Say how large the spread is, and which difference it covers, in one sentence."""
    cause = f"that differ in {', '.join(differs)}" if differs else "that differ in nothing recorded"
    widest = max(spreads, key=lambda one: one.std_accuracy)
    name = short_names(spreads)
    low, high = (100 * end for end in widest.std_interval)
    most = (
        f"Std@Acc is at most {100 * widest.std_accuracy:.2f} [{low:.2f}, {high:.2f}] points "
        f"({name[widest.label]})"
    )
    said = [f"Over {number} runs {cause}, {most}", *(_said(gap, name) for gap in gaps)]
    return f"{'; '.join(said)}."


def _said(gap: Gap, name: Mapping[str, str]) -> str:
    spread = f"Std@Acc ({100 * gap.std_accuracy:.2f})"
    said = f"more than {spread}" if gap.beyond else f"not more than {spread}: no finding"
    if gap.beyond and abs(gap.difference) <= gap.std_high:
        said += f", which so few runs bound only below {100 * gap.std_high:.2f}"
    points = f"{100 * gap.difference:+.2f} points"
    return f"{name[gap.label]} differs from {name[gap.baseline]} by {points}, {said}"
