"""What stands behind a row: how much was left out, and when that makes the row INVALID."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qbench.benchmarks.analysis.outcomes import ERRORED, SCORED, UNSCORED, Outcomes
from qbench.benchmarks.analysis.sums import dollars

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


def count(outcomes: Outcomes, system: int, basis: str) -> Counts:
    """Count the attempts of ``outcomes.systems[system]``."""
    mine = outcomes.system == system
    status = outcomes.status[mine]
    scored = status == SCORED
    prompt, cached = outcomes.prompt_tokens[mine], outcomes.cached_tokens[mine]
    prompted = float(np.nansum(prompt))
    return Counts(
        attempts=int(mine.sum()),
        scored=int(scored.sum()),
        errored=int((status == ERRORED).sum()),
        unscored=int((status == UNSCORED).sum()),
        truncated=int(outcomes.truncated[mine][scored].sum()),
        parse_failures=int((outcomes.parse_failures[mine][scored] > 0).sum()),
        unpriced=int(np.isnan(dollars(outcomes, basis)[mine][scored]).sum()),
        retries=int(outcomes.retries[mine].sum()),
        cached_share=float(np.nansum(cached)) / prompted if prompted else None,
        prompt_tokens=_mean(prompt),
        completion_tokens=_mean(outcomes.completion_tokens[mine]),
        seconds=float(np.median(outcomes.seconds[mine][scored])) if scored.any() else None,
    )


def _mean(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


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
