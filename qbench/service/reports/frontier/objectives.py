"""What systems can be better in: objectives, and a run's samples on which they are measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from qbench.benchmarks.analysis.economics.costofpass import per_problem
from qbench.benchmarks.analysis.outcomes import Outcomes
from qbench.benchmarks.analysis.resampling import resampled_means
from qbench.benchmarks.analysis.sums import Floats, Sums, sample_means
from qbench.kernels.formats import FORMATS
from qbench.service.domain import Endpoint, System
from qbench.service.reports.evidence import Evidence

GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class Objective:
    """One axis of a frontier."""

    name: str
    unit: str
    about: str
    unknown: str
    """Why a system without it is left out."""
    more: bool = False
    """Whether more is better."""
    timed: bool = False
    """Whether it depends on how fast a local engine ran."""


ACCURACY = Objective(
    name="accuracy",
    unit="share passed",
    about="pass rate, mean over samples",
    unknown="nothing was scored",
    more=True,
)
_OTHERS = (
    Objective(
        name="cost",
        unit="$/attempt",
        about="mean dollars per attempt",
        unknown="unpriced",
        timed=True,
    ),
    Objective(
        name="cost-of-pass",
        unit="$/pass",
        about="mean dollars per attempt / pass rate (ratio of means)",
        unknown="unpriced",
        timed=True,
    ),
    Objective(
        name="latency",
        unit="s/attempt",
        about="mean wall seconds of an attempt, as many at a time as in this run",
        unknown="the seconds of some attempts are unknown",
        timed=True,
    ),
    Objective(
        name="tokens",
        unit="tokens/attempt",
        about="mean tokens per attempt, prompt and completion",
        unknown="some attempts did not report their tokens",
    ),
    Objective(
        name="output-tokens",
        unit="tokens/attempt",
        about="mean completion tokens per attempt",
        unknown="some attempts did not report their tokens",
    ),
    Objective(
        name="energy",
        unit="$ energy/attempt",
        about="mean dollars of electricity per attempt",
        unknown="what energy it used is unknown",
        timed=True,
    ),
    Objective(
        name="memory",
        unit="GiB",
        about="weights at load; one number per system",
        unknown="its engine told no size of its weights",
    ),
    Objective(
        name="bits",
        unit="bits/weight",
        about="stored bits per quantized weight, scales included; one number per system",
        unknown="its number format is unknown",
    ),
)
OBJECTIVES: dict[str, Objective] = {one.name: one for one in (ACCURACY, *_OTHERS)}
"""By name."""


def _tokens(outcomes: Outcomes) -> Floats:
    return outcomes.prompt_tokens + outcomes.completion_tokens


def _energy(outcomes: Outcomes) -> Floats:
    return outcomes.cost.get("energy", np.full(len(outcomes.status), np.nan))


MEANS: dict[str, Callable[[Outcomes], Floats]] = {
    "latency": lambda outcomes: outcomes.seconds,
    "tokens": _tokens,
    "output-tokens": lambda outcomes: outcomes.completion_tokens,
    "energy": _energy,
}
"""Objective to the (N,) values of attempts whose mean it is."""


@dataclass(frozen=True)
class Cut:
    """Some samples of a run, and objectives drawn over them: all systems, the same resamples."""

    evidence: Evidence
    kept: NDArray[np.bool_] | None = None
    """(S,) samples; None: all of them."""
    _drawn: dict[str, Floats] = field(default_factory=dict, repr=False)
    _means: dict[str, Floats] = field(default_factory=dict, repr=False)

    @cached_property
    def sums(self) -> Sums:
        """Attempts by system and kept sample; families are numbered anew."""
        whole = self.evidence.sums
        if self.kept is None:
            return whole
        names, family = np.unique(whole.family[self.kept], return_inverse=True)
        return Sums(
            n=whole.n[:, self.kept],
            passed=whole.passed[:, self.kept],
            cost=whole.cost[:, self.kept],
            family=family.astype(np.int32),
            families=len(names),
        )

    def matrix(self, name: str) -> Floats:
        """Return the (Y, S) means by sample of an objective that is a mean over attempts."""
        if name == "accuracy":
            return self.sums.rates
        if name == "cost":
            return self.sums.costs
        if name not in self._means:
            outcomes = self.evidence.outcomes
            found = sample_means(outcomes, MEANS[name](outcomes))
            self._means[name] = found if self.kept is None else found[:, self.kept]
        return self._means[name]

    def prepare(self, names: tuple[str, ...]) -> None:
        """Draw everything that these objectives need in one pass over the resamples."""
        needed = {part for name in names for part in PARTS.get(name, (name,))}
        missing = sorted(needed - CONSTANTS.keys() - self._drawn.keys())
        if self.kept is None and {"accuracy", "cost"} & set(missing):
            self._drawn["accuracy"], self._drawn["cost"] = self.evidence.draws
            missing = [name for name in missing if name not in self._drawn]
        if missing:
            matrices = [self.matrix(name) for name in missing]
            seed = self.evidence.run.request.seed
            found = resampled_means(self.sums, matrices, seed=seed)
            self._drawn.update(zip(missing, found, strict=True))

    def draws(self, name: str, place: int) -> Floats:
        """Return the (B,) draws of an objective of one system; ``prepare`` comes first."""
        if name == "cost-of-pass":
            return per_problem(self.draws("cost", place), self.draws("accuracy", place))
        return self._drawn[name][:, place]

    def value(self, name: str, place: int) -> float:
        """Return what was measured; NaN where it is unknown."""
        if name == "cost-of-pass":
            cost, rate = self.value("cost", place), self.value("accuracy", place)
            return float(per_problem(np.array(cost), np.array(rate)))
        tried = self.sums.n[place] > 0
        values = self.matrix(name)[place][tried]
        return float(values.mean()) if len(values) else math.nan


PARTS = {"cost-of-pass": ("accuracy", "cost")}
"""What an objective is made of."""


def _memory(system: System, endpoint: Endpoint | None) -> tuple[float, str]:
    """Return GiB of weights as the engine told them.

    vLLM tells them per GPU. An emulation keeps wider numbers than it tells: it tells the packed
    size, which an engine with kernels for the format would hold.
    """
    del system
    if endpoint is None:
        return math.nan, ""
    details = endpoint.details
    if details.get("weights_gib"):
        return float(details["weights_gib"]) * max(1, endpoint.devices), "measured"
    if details.get("weight_bytes"):
        source = "measured" if endpoint.path == "native" else "packed size"
        return float(details["weight_bytes"]) / GIB, source
    return math.nan, ""


def _bits(system: System, endpoint: Endpoint | None) -> tuple[float, str]:
    """Return bits per weight as the engine counted them, else as the format's definition says."""
    details = endpoint.details if endpoint else {}
    if details.get("bits_per_weight"):
        return float(details["bits_per_weight"]), "measured"
    preset = FORMATS.get(system.format)
    return (preset.bits_per_weight(4096), "documented") if preset else (math.nan, "")


CONSTANTS: Mapping[str, Callable[[System, Endpoint | None], tuple[float, str]]] = {
    "memory": _memory,
    "bits": _bits,
}
"""Objective to the number of a system, which no sample changes, and where it comes from."""
