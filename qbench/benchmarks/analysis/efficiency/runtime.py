"""Idealized runtime: seconds of any token counts on a dedicated machine, from a small grid.

``T(p, o) = F(p) + (o - 1) g`` for p prompt and o generated tokens (Narayanan et al., "Cheaply
Evaluating Inference Efficiency Metrics for Autoregressive Transformer APIs", arXiv 2305.02440):
F is a table of runtimes at o = 1, and g the least-squares slope of T - F(p) on o - 1. Every T is
linear in the table and the slope, so a covariance carries over to any sum of calls.

The model says that a token takes as long after a long prompt as after a short one. Where the grid
says otherwise, ``T(p, o) = F(p) + (o - 1)(g + c p)`` is fitted beside it: the *context term*.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from qbench.benchmarks.analysis.sums import Floats

Lookup = Literal["interpolated", "scaled"]
"""How F is read between the prompts of the grid.

``scaled``: the paper's, F of the next longer prompt x p / that prompt. It is not monotone where F
is flat: F(2) becomes an eighth of F(16). ``interpolated``: a line between neighbours, and F of the
shortest below it. Both scale F of the longest above it.
"""

DRAWS = 10_000

GAIN = 0.001
"""Least rise of the decode part's adjusted R² for which the context term is worth having."""


class CannotFit(ValueError):
    """A grid that does not determine the fit."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """N timed requests, made one at a time."""

    prompt: Floats
    """(N,) tokens."""
    output: Floats
    """(N,) generated tokens; 1 or more."""
    seconds: Floats
    """(N,)."""


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """A fitted runtime: K prompts, K + 2 coefficients."""

    prompts: Floats
    """(K,) of the table, ascending."""
    longest_output: float
    """Of the grid."""
    coefficients: Floats
    """(K + 2,): F at the prompts, g, and c per prompt token (0 without a context term)."""
    covariance: Floats
    """(K + 2, K + 2)."""
    freedom: int
    """Degrees of freedom of the residuals."""
    r_squared: float
    """Of T - F(p), all outputs of the grid together."""
    spread: float
    """Relative residual standard deviation: noise and lack of fit."""
    residuals: Floats
    """(N,) relative: (measured - fitted) / fitted, in the grid's order."""

    @property
    def table(self) -> Floats:
        """(K,) seconds until the first token."""
        return self.coefficients[:-2]

    @property
    def per_token(self) -> float:
        """Seconds of every further token: g."""
        return float(self.coefficients[-2])

    @property
    def context(self) -> float:
        """Seconds of a further token per prompt token: c."""
        return float(self.coefficients[-1])

    def design(self, prompt: Floats, output: Floats, lookup: Lookup = "interpolated") -> Floats:
        """Return (N, K + 2): what each call takes of every coefficient. Rows may be added up.

        Raises:
            ValueError: a prompt or output of less than one token.

        """
        if len(prompt) and (prompt.min() < 1 or output.min() < 1):
            raise ValueError("a call has at least one prompt token and one generated token")
        further = output - 1
        table = LOOKUPS[lookup](self.prompts, prompt)
        return np.column_stack([table, further, further * prompt])

    def seconds(self, prompt: Floats, output: Floats, lookup: Lookup = "interpolated") -> Floats:
        """Return (N,) idealized seconds."""
        made: Floats = self.design(prompt, output, lookup) @ self.coefficients
        return made

    def relative_variance(self, design: Floats) -> float:
        """Return the squared relative standard error of the seconds of one row of a design."""
        value = float(design @ self.coefficients)
        return float(design @ self.covariance @ design) / value**2 if value else math.nan

    def interval(self, design: Floats, level: float = 0.95) -> tuple[float, float]:
        """Return the t interval of the seconds of one row of a design, or of a sum of rows."""
        value = float(design @ self.coefficients)
        half = t_point(self.freedom, level) * math.sqrt(float(design @ self.covariance @ design))
        return value - half, value + half

    def beyond(self, prompt: Floats, output: Floats) -> NDArray[np.bool_]:
        """Return (N,) whether a call lies outside the grid, so that its seconds are extended."""
        outside: NDArray[np.bool_] = (prompt > self.prompts[-1]) | (prompt < self.prompts[0])
        return outside | (output > self.longest_output)


def t_point(freedom: float, level: float = 0.95) -> float:
    """Return the two-sided point of the t distribution; the normal's for infinite freedom."""
    if math.isinf(freedom):
        return float(special.ndtri(0.5 + level / 2))
    return float(special.stdtrit(freedom, 0.5 + level / 2))


def fit(grid: Grid, *, context: bool = False) -> Runtime:
    """Fit F and g (Eq. 1), and with ``context`` the slope's own slope on the prompt.

    F(p) is the mean of the repeats at o = 1; g the slope through the origin, unweighted. Both are
    linear in the measurements, so their covariance follows from the measurements': relative
    errors of equal size, estimated from all residuals, so that lack of fit widens it too.

    Raises:
        CannotFit: no prompt was measured at o = 1, or too few measurements to say how sure.

    """
    prompts = np.unique(grid.prompt[grid.output == 1])
    known = np.isin(grid.prompt, prompts)
    if not len(prompts) or not (grid.output[known] > 1).any():
        raise CannotFit("every prompt needs an output of one token, and some need a longer one")
    used = Grid(prompt=grid.prompt[known], output=grid.output[known], seconds=grid.seconds[known])
    make = _maker(used, prompts, context=context)
    freedom = len(used.seconds) - len(prompts) - 1 - context
    if freedom < 1:
        raise CannotFit("there are as many numbers to find as measurements: measure more")
    coefficients = make @ used.seconds
    rows = _rows(used, prompts)
    fitted = rows @ coefficients
    if fitted.min() <= 0:
        raise CannotFit("the fitted runtime is not positive: measure longer outputs")
    residuals = used.seconds / fitted - 1
    spread = math.sqrt(float(residuals @ residuals) / freedom)
    noise = make * (spread * fitted)
    return Runtime(
        prompts=prompts,
        longest_output=float(used.output.max()),
        coefficients=coefficients,
        covariance=noise @ noise.T,
        freedom=freedom,
        r_squared=_r_squared(used, rows[:, : len(prompts)] @ coefficients[:-2], fitted),
        spread=spread,
        residuals=residuals,
    )


def _rows(grid: Grid, prompts: Floats) -> Floats:
    """Return (N, K + 2) of a grid whose prompts are all in the table."""
    table = (grid.prompt[:, None] == prompts).astype(np.float64)
    further = grid.output - 1
    return np.column_stack([table, further, further * grid.prompt])


def _maker(grid: Grid, prompts: Floats, *, context: bool) -> Floats:
    """Return (K + 2, N): the matrix that makes coefficients of measured seconds."""
    rows = _rows(grid, prompts)
    first = (grid.output == 1).astype(np.float64) * rows[:, : len(prompts)].T
    table = first / first.sum(axis=1, keepdims=True)
    slopes = rows[:, len(prompts) :] if context else rows[:, len(prompts) : -1]
    if np.linalg.matrix_rank(slopes) < slopes.shape[1]:
        raise CannotFit("a context term needs two prompts with longer outputs")
    rest = np.eye(len(rows)) - rows[:, : len(prompts)] @ table
    made = np.linalg.lstsq(slopes, rest, rcond=None)[0]
    nothing = np.zeros((1 - context, len(rows)))
    return np.concatenate([table, made, nothing])


def _r_squared(grid: Grid, first: Floats, fitted: Floats) -> float:
    """Return the explained share of the variance of T - F(p)."""
    decode = grid.seconds - first
    around = decode - decode.mean()
    whole = float(around @ around)
    left = grid.seconds - fitted
    return 1 - float(left @ left) / whole if whole else math.nan


def drawn(runtime: Runtime, design: Floats, *, draws: int = DRAWS, seed: int = 0) -> Floats:
    """Return (draws, N) seconds of the rows of a design, as a multivariate t of the fit's errors.

    Rows are drawn together: they share the coefficients.
    """
    rng = np.random.default_rng(seed)
    values, vectors = np.linalg.eigh(runtime.covariance)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    normal = rng.standard_normal((draws, len(values))) @ root.T
    scale = np.sqrt(runtime.freedom / rng.chisquare(runtime.freedom, size=(draws, 1)))
    made: Floats = (runtime.coefficients + normal * scale) @ design.T
    return made


@dataclass(frozen=True, kw_only=True)
class ContextTest:
    """Whether a token takes longer after a longer prompt."""

    change: float
    """Relative: c (longest - shortest prompt) / (g + c x shortest prompt)."""
    low: float
    high: float
    """95 % t interval, the denominator taken as known."""
    gain: float
    """Rise of the adjusted R² of the decode part."""
    needed: bool
    """The interval excludes zero and the gain is at least ``GAIN``."""
    fit: Runtime
    """With the term."""


def context_test(grid: Grid) -> ContextTest | None:
    """Fit the context term beside the plain model; None where the grid does not determine it."""
    plain = fit(grid)
    try:
        found = fit(grid, context=True)
    except CannotFit:
        return None
    span = float(found.prompts[-1] - found.prompts[0])
    base = found.per_token + found.context * float(found.prompts[0])
    if not span or base <= 0:
        return None
    half = t_point(found.freedom) * math.sqrt(float(found.covariance[-1, -1])) * span / base
    change = found.context * span / base
    gain = adjusted(found) - adjusted(plain)
    low, high = change - half, change + half
    needed = gain >= GAIN and not low <= 0 <= high
    return ContextTest(change=change, low=low, high=high, gain=gain, needed=needed, fit=found)


def adjusted(runtime: Runtime) -> float:
    """Return R² less what as many slopes explain by chance."""
    slopes = 1 + (runtime.context != 0)
    n = runtime.freedom + len(runtime.prompts) + slopes
    return 1 - (1 - runtime.r_squared) * (n - 1) / max(1, n - slopes)


def per_prompt(grid: Grid, runtime: Runtime) -> Floats:
    """Return (K,) the slope of T - F(p) on o - 1 at each prompt alone; NaN where o is 1 only."""
    found = np.full(len(runtime.prompts), np.nan)
    for place, prompt in enumerate(runtime.prompts):
        here = (grid.prompt == prompt) & (grid.output > 1)
        further = grid.output[here] - 1
        if here.any():
            decode = grid.seconds[here] - runtime.table[place]
            found[place] = float(further @ decode) / float(further @ further)
    return found


def denoised(seconds: Floats, group: NDArray[np.integer]) -> Floats:
    """Return the smallest of the repeats of each call (the paper's denoised runtime).

    Args:
        seconds: (N,) of each call.
        group: (N,) from 0 to G - 1: calls that are repeats of one another share a number.

    Returns:
        (G,) seconds.

    """
    found = np.full(int(group.max()) + 1 if len(group) else 0, np.inf)
    np.minimum.at(found, group, seconds)
    return found


def denoised_grid(grid: Grid) -> Grid:
    """Keep of the repeats of each point of a grid the fastest alone."""
    points = np.column_stack([grid.prompt, grid.output])
    kept, group = np.unique(points, axis=0, return_inverse=True)
    seconds = denoised(grid.seconds, group.reshape(-1))
    return Grid(prompt=kept[:, 0], output=kept[:, 1], seconds=seconds)


def flops(hidden: int, layers: int, prompt: Floats, output: Floats) -> Floats:
    """Return (N,) floating-point operations, ``24 h² L (p + o - 1)``.

    The paper's count for a GPT with feed-forward layers of 4 h; attention over the context is not
    in it, and models with grouped keys or gated layers differ by some tenths.
    """
    return 24.0 * hidden**2 * layers * (prompt + output - 1)


def joules(seconds: float, watts: float, devices: int) -> float:
    """Return idealized energy: every device draws ``watts`` for all of the runtime."""
    return seconds * watts * devices


def _scaled(prompts: Floats, prompt: Floats) -> Floats:
    place = np.minimum(np.searchsorted(prompts, prompt), len(prompts) - 1)
    made = np.zeros((len(prompt), len(prompts)))
    made[np.arange(len(prompt)), place] = prompt / prompts[place]
    return made


def _interpolated(prompts: Floats, prompt: Floats) -> Floats:
    made = np.zeros((len(prompt), len(prompts)))
    rows, inside = np.arange(len(prompt)), np.clip(prompt, prompts[0], prompts[-1])
    right = np.clip(np.searchsorted(prompts, inside), min(1, len(prompts) - 1), len(prompts) - 1)
    left = np.maximum(right - 1, 0)
    width = np.where(right > left, prompts[right] - prompts[left], 1.0)
    share = (inside - prompts[left]) / width
    made[rows, left] += 1 - share
    made[rows, right] += share
    scale: Floats = np.maximum(1.0, prompt / prompts[-1])
    return made * scale[:, None]


LOOKUPS: dict[Lookup, Callable[[Floats, Floats], Floats]] = {
    "interpolated": _interpolated,
    "scaled": _scaled,
}
