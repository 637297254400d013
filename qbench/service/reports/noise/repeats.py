"""The same systems measured again: over runs, epochs and A/A copies, read once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from qbench.benchmarks.analysis.outcomes import SCORED
from qbench.benchmarks.analysis.sums import Floats, sample_means
from qbench.errors import ConfigError, NotFound
from qbench.service.domain import Run, System, fingerprint
from qbench.service.reports.evidence import Evidence
from qbench.service.store import Store

Score = Literal["passed", "value"]

MOST = 50
"""Runs at a time: each is read whole."""

DETAILS = ("attention", "max_model_len", "revision", "root", "server")
"""What an endpoint's details say of a configuration; the others are measurements or vary anyhow."""


@dataclass(frozen=True)
class Measured:
    """One system in one run."""

    evidence: Evidence
    system: System

    @property
    def key(self) -> str:
        """What makes two systems the same here: all but what a configuration is made of."""
        one = self.system
        return fingerprint((one.model, one.format, one.engine, one.strategy, one.sampling))

    def of(self, matrix: Floats, samples: Sequence[str]) -> Floats:
        """Return the (S,) values of ``samples`` in a (Y, S) matrix; NaN for those unknown."""
        place = self.evidence.place(self.system.id)
        at = {name: column for column, name in enumerate(self.evidence.outcomes.samples)}
        known = [at.get(name) for name in samples]
        return np.array(
            [
                np.nan if place is None or column is None else matrix[place, column]
                for column in known
            ]
        )

    @cached_property
    def scored(self) -> set[str]:
        """The samples that were scored."""
        names = self.evidence.outcomes.samples
        rates = self.of(self.evidence.sums.rates, names)
        return {name for name, rate in zip(names, rates, strict=True) if not np.isnan(rate)}

    def tokens(self, samples: Sequence[str]) -> Floats:
        """(S,) mean tokens written per attempt."""
        out = self.evidence.outcomes
        return self.of(sample_means(out, out.completion_tokens), samples)

    @cached_property
    def values(self) -> dict[str, str]:
        """Everything that was recorded of the configuration, by name; empty where unknown."""
        run, end = self.evidence.run, self.evidence.endpoint(self.system)
        told: dict[str, Any] = {
            "concurrency": run.controls.concurrency,
            "qbench": run.version,
            "URL": self.system.base_url,
            "turns": run.request.limits.turns,
            "hardware": (end.hardware if end else "") or run.controls.hardware,
        }
        if end is not None:
            details = {name: end.details.get(name, "") for name in DETAILS}
            told |= {
                "devices": end.devices,
                "architecture": end.architecture,
                "engine": end.engine_version,
                "kernel": end.kernel,
                "path": end.path,
                "served as": end.format_effective,
                "checkpoint": end.checkpoint,
            } | details
        told |= {f"-o {name}": value for name, value in self.system.options.items()}
        return {name: _text(value) for name, value in told.items()}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def runs_of(store: Store, refs: Sequence[str]) -> tuple[Run, ...]:
    """Find runs of one suite in which something was measured more than once.

    Args:
        store: where the runs are.
        refs: ids of runs or beginnings of them; one alone stands for all ended runs of its very
            request, which does not say how a run is driven.

    Raises:
        NotFound: no such run.
        ConfigError: the runs asked different suites, or nothing was measured again.

    """
    runs = tuple({run.id: run for run in map(store.run, refs)}.values())
    if len(runs) == 1:
        runs = store.ended_runs(request_id=runs[0].request.id, limit=MOST) or runs
    if len(runs) > MOST or (len(runs) == 1 and not _repeats(runs[0])):
        raise ConfigError(
            f"Spread over {len(runs)} runs cannot be told.",
            hint=f"Name 2 to {MOST}; make one more with --fresh and another --concurrency, or "
            "measure again within a run: --epochs 2, or --noise-floor.",
        )
    asked = {(run.request.suite, run.request.suite_version) for run in runs}
    if len(asked) > 1:
        names = ", ".join(sorted(f"{suite} {version}" for suite, version in asked))
        raise ConfigError(f"The runs asked different suites: {names}.", hint="Name runs of one.")
    return runs


def _repeats(run: Run) -> bool:
    return run.request.epochs > 1 or any(system.replica for system in run.request.systems)


def measured(found: Sequence[Evidence]) -> tuple[dict[str, list[Measured]], dict[str, str]]:
    """Put the same systems together; say why others are left out.

    The A/A copy of a baseline is a repeat of it where there is one run; over several runs it is
    not counted, for it shares the engine's start with the first.
    """
    groups: dict[str, list[Measured]] = {}
    left_out: dict[str, str] = {}
    for evidence in found:
        for system in evidence.run.request.systems:
            one = Measured(evidence, system)
            reason = evidence.invalid(system.id)
            if reason:
                left_out[f"{system.label} in {evidence.run.id}"] = f"INVALID: {reason}"
            elif not system.replica or len(found) == 1:
                groups.setdefault(one.key, []).append(one)
    return groups, left_out


@dataclass(frozen=True, kw_only=True)
class Cube:
    """Results by system, run, sample and epoch."""

    labels: tuple[str, ...]
    values: Floats
    """(Y, R, S, K); NaN where nothing was scored, or a system has fewer runs."""
    samples: tuple[str, ...]
    family: NDArray[np.int32]
    """(S,) index into ``families``."""
    families: tuple[str, ...]
    task: tuple[str, ...]
    level: NDArray[np.int32]

    @property
    def repeats(self) -> Floats:
        """(Y, R x K, S): each system's repeats in order, those that it lacks last."""
        y, r, s, k = self.values.shape
        flat = np.moveaxis(self.values, 3, 2).reshape(y, r * k, s)
        lacking = np.isnan(flat).all(axis=2)
        order = np.argsort(lacking, axis=1, kind="stable")
        return np.take_along_axis(flat, order[:, :, None], axis=1)

    @property
    def complete(self) -> NDArray[np.bool_]:
        """(S,) samples that were scored in every repeat that a system has."""
        repeats = self.repeats
        there = np.asarray(~np.isnan(repeats).all(axis=2))
        return np.asarray(~(np.isnan(repeats) & there[:, :, None]).any(axis=(0, 1)))


def cube_of(groups: Mapping[str, Sequence[Measured]], score: Score = "passed") -> Cube:
    """Line the results of all systems up."""
    everything = [one for group in groups.values() for one in group]
    facts = _facts(everything)
    samples = tuple(sorted(facts))
    families = tuple(sorted({family for family, _, _ in facts.values()}))
    code = {name: place for place, name in enumerate(families)}
    epochs = min((one.evidence.run.request.epochs for one in everything), default=1)
    most = max(map(len, groups.values()), default=0)
    values = np.full((len(groups), most, len(samples), epochs), np.nan)
    at = {name: place for place, name in enumerate(samples)}
    for y, group in enumerate(groups.values()):
        for r, one in enumerate(group):
            _fill(values[y, r], one, at, score)
    return Cube(
        labels=tuple(group[0].system.label for group in groups.values()),
        values=values,
        samples=samples,
        family=np.array([code[facts[name][0]] for name in samples], dtype=np.int32),
        families=families,
        task=tuple(facts[name][1] for name in samples),
        level=np.array([facts[name][2] for name in samples], dtype=np.int32),
    )


def complete_cube(groups: Mapping[str, Sequence[Measured]]) -> Cube:
    """Line results up. Raises NotFound where no sample was scored every time."""
    made = cube_of(groups)
    if not made.samples or not made.complete.any():
        raise NotFound(
            "No sample was scored every time it was tried.", hint="Resume the runs first."
        )
    return made


def _facts(everything: Sequence[Measured]) -> dict[str, tuple[str, str, int]]:
    found = {}
    for out in {id(one.evidence): one.evidence.outcomes for one in everything}.values():
        for at, name in enumerate(out.samples):
            family, task = out.families[out.sample_family[at]], out.tasks[out.sample_task[at]]
            found[name] = (family, task, int(out.sample_level[at]))
    return found


def _fill(values: Floats, one: Measured, at: Mapping[str, int], score: Score) -> None:
    """Write a system's scored results into its (S, K) part."""
    out, place = one.evidence.outcomes, one.evidence.place(one.system.id)
    mine = (out.system == place) & (out.status == SCORED) & (out.epoch < values.shape[1])
    column = np.array([at[name] for name in out.samples], dtype=np.int64)
    found = out.passed if score == "passed" else out.value
    values[column[out.sample[mine]], out.epoch[mine]] = found[mine].astype(np.float64)
