"""Queries per dollar over eight use cases, and how much cheaper a format is.

"Give Me BF16 or Give Me Death?" (arXiv 2411.02355, section 4.3 and its model cards): one request
at a time, 3600 / (seconds x dollars an hour); at most throughput, 3600 x queries a second /
dollars an hour. Dollars an hour are of the whole machine: price of a device x devices.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import optimize

from qbench.benchmarks.analysis.comparison.recovery import Ratio
from qbench.benchmarks.analysis.efficiency.runtime import t_point
from qbench.benchmarks.analysis.sums import Floats

SECONDS_PER_HOUR = 3600


@dataclass(frozen=True, kw_only=True)
class UseCase:
    """A typical request."""

    name: str
    prompt: int
    output: int
    """Tokens."""


USE_CASES = (
    UseCase(name="instruction following", prompt=256, output=128),
    UseCase(name="multi-turn chat", prompt=512, output=256),
    UseCase(name="docstring generation", prompt=768, output=128),
    UseCase(name="RAG", prompt=1024, output=128),
    UseCase(name="code completion", prompt=256, output=1024),
    UseCase(name="code fixing", prompt=1024, output=1024),
    UseCase(name="large summarization", prompt=4096, output=512),
    UseCase(name="large RAG", prompt=10240, output=1536),
)
"""Of the paper."""


def synchronous(seconds: Floats, per_hour: float) -> Floats:
    """Return queries per dollar, one at a time: 3600 / (seconds x dollars an hour)."""
    return SECONDS_PER_HOUR / (seconds * per_hour)


def asynchronous(per_second: Floats, per_hour: float) -> Floats:
    """Return queries per dollar at a throughput: 3600 x queries a second / dollars an hour."""
    return SECONDS_PER_HOUR * per_second / per_hour


def cost_reduction(system: Floats, baseline: Floats) -> Ratio | None:
    """Return the arithmetic mean over the use cases of the ratio of queries per dollar.

    Interval: t over the use cases, paired: how far it depends on what is asked. NaN values are
    left out; None where nothing is left. One use case alone bounds nothing.
    """
    ratios = system / baseline
    ratios = ratios[~np.isnan(ratios)]
    if not len(ratios):
        return None
    value = float(ratios.mean())
    if len(ratios) < 2:
        return Ratio(value=value, low=0.0, high=math.inf)
    half = t_point(len(ratios) - 1) * float(ratios.std(ddof=1)) / math.sqrt(len(ratios))
    return Ratio(value=value, low=max(0.0, value - half), high=value + half)


def paired_speed(system: Floats, baseline: Floats) -> Ratio | None:
    """Return how many times as fast requests are as the baseline's, made in turn.

    Geometric mean of the ratios of (N,) seconds, pair by pair, with the t interval of the
    logarithms: what slows both requests of a pair falls out. None with fewer than two pairs.
    """
    if len(system) < 2:
        return None
    logs = np.log(baseline / system)
    mean = float(logs.mean())
    half = t_point(len(logs) - 1) * float(logs.std(ddof=1)) / math.sqrt(len(logs))
    return Ratio(value=math.exp(mean), low=math.exp(mean - half), high=math.exp(mean + half))


@dataclass(frozen=True, kw_only=True)
class Saturation:
    """Seconds of a busy machine per query: ``a p + b o``."""

    per_prompt_token: float
    per_output_token: float
    r_squared: float

    def per_second(self, prompt: Floats, output: Floats) -> Floats:
        """Return queries a second of such requests."""
        with np.errstate(divide="ignore"):
            return 1 / (self.per_prompt_token * prompt + self.per_output_token * output)


def saturation(prompt: Floats, output: Floats, per_second: Floats) -> Saturation | None:
    """Fit what prompt and generated tokens cost a machine that many requests keep busy.

    Relative least squares without an intercept, and no token costs less than nothing. None with
    fewer than three measured points: two would be met exactly, whatever the truth.

    Args:
        prompt: (N,) tokens of the requests of each point.
        output: (N,).
        per_second: (N,) queries a second.

    """
    if len(per_second) < 3:
        return None
    rows = np.column_stack([prompt, output]) * per_second[:, None]
    (a, b), _ = optimize.nnls(rows, np.ones(len(rows)))
    seconds, fitted = 1 / per_second, a * prompt + b * output
    around, left = seconds - seconds.mean(), seconds - fitted
    whole = float(around @ around)
    return Saturation(
        per_prompt_token=float(a),
        per_output_token=float(b),
        r_squared=1 - float(left @ left) / whole if whole else math.nan,
    )
