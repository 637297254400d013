"""What stands behind a row: how much was left out, and when that makes the row INVALID."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qbench.benchmarks.analysis.outcomes import ERRORED, SCORED, UNSCORED, Outcomes
from qbench.benchmarks.analysis.sums import Floats, dollars

MOST_EXCLUDED = 0.05
"""Share of attempts that may be missing from the score (errored or unscored)."""

MOST_UNREAD = 0.5
"""Share of attempts with an unreadable tool call, from which the call parser is suspected."""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Counts over the current attempts of one system."""

    attempts: int
    scored: int
    errored: int
    unscored: int
    truncated: int
    parse_failures: int
    unpriced: int
    retries: int
    cached_share: float | None
    prompt_tokens: float | None
    """Mean over attempts that report it."""
    completion_tokens: float | None
    seconds: float | None
    """Median of the scored attempts."""


def count(outcomes: Outcomes, basis: str) -> tuple[Counts, ...]:
    """Count the attempts of every system, in the order of ``outcomes.systems``."""
    tally = _Tally(outcomes.system, len(outcomes.systems))
    scored = outcomes.status == SCORED
    prompt, cached = outcomes.prompt_tokens, outcomes.cached_tokens
    prompted, medians = tally.sums(prompt), tally.medians(outcomes.seconds, scored)
    found: dict[str, list[Any]] = {
        "attempts": tally.number(None),
        "scored": tally.number(scored),
        "errored": tally.number(outcomes.status == ERRORED),
        "unscored": tally.number(outcomes.status == UNSCORED),
        "truncated": tally.number(outcomes.truncated & scored),
        "parse_failures": tally.number((outcomes.parse_failures > 0) & scored),
        "unpriced": tally.number(np.isnan(dollars(outcomes, basis)) & scored),
        "retries": [int(total) for total in tally.sums(outcomes.retries)],
        "cached_share": [
            float(part) / float(whole) if whole else None
            for part, whole in zip(tally.sums(cached), prompted, strict=True)
        ],
        "prompt_tokens": tally.means(prompt),
        "completion_tokens": tally.means(outcomes.completion_tokens),
        "seconds": medians,
    }
    rows = zip(*found.values(), strict=True)
    return tuple(Counts(**dict(zip(found, row, strict=True))) for row in rows)


class _Tally:
    """Sums by system in one pass over all attempts each."""

    def __init__(self, system: NDArray[np.int32], systems: int) -> None:
        self._system, self._systems = system, systems

    def number(self, chosen: NDArray[np.bool_] | None) -> list[int]:
        """Count the attempts that were chosen, or all."""
        system = self._system if chosen is None else self._system[chosen]
        return [int(n) for n in np.bincount(system, minlength=self._systems)]

    def sums(self, values: NDArray[Any]) -> Floats:
        """Add values up, unknown ones left out."""
        unknown = np.isnan(values)
        known = np.where(unknown, 0, values) if unknown.any() else values
        added = np.bincount(self._system, known, self._systems)
        return added.astype(np.float64, copy=False)

    def means(self, values: Floats) -> list[float | None]:
        """Return means of what is known; None where nothing is."""
        number = self.number(~np.isnan(values))
        totals = zip(self.sums(values), number, strict=True)
        return [float(total) / n if n else None for total, n in totals]

    def medians(self, values: Floats, chosen: NDArray[np.bool_]) -> list[float | None]:
        """Return medians of the chosen; None without one."""
        system = self._system[chosen].astype(np.min_scalar_type(max(1, self._systems)))
        order = np.argsort(system, kind="stable")  # a radix sort up to 16 bits
        ends = np.cumsum(np.bincount(system, minlength=self._systems))
        parts = np.split(values[chosen][order], ends[:-1])
        return [float(np.median(part)) if len(part) else None for part in parts]


def invalid(counts: Counts) -> str:
    """Say why a row must not be ranked; empty when it may."""
    if not counts.scored:
        return "nothing was scored"
    excluded = counts.errored + counts.unscored
    if excluded > MOST_EXCLUDED * counts.attempts:
        return f"{excluded} of {counts.attempts} attempts are missing from the score"
    if counts.parse_failures > MOST_UNREAD * counts.scored:
        return (
            f"tool calls of {counts.parse_failures} attempts could not be read: the endpoint's "
            "call parser does not fit the model"
        )
    return ""
