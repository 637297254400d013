"""What a tournament found, as values: terminal, JSON, REST and pictures show these."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import Struct

from qbench.benchmarks.analysis.arena.calibration import Calibration, Share, Trust
from qbench.service.reports.values import Estimate
from qbench.service.tournaments import Kind

SCHEMA = 1
"""Version of the JSON form; a field may be added without raising it."""

ArenaVerdict = Literal["baseline", "better", "worse", "inconclusive"]


class ArenaRow(Struct, frozen=True, kw_only=True):
    """One system of a tournament, best first."""

    system_id: str
    label: str
    model: str
    format: str
    rating: Estimate
    """Elo, mean 1000; an end is infinite where the matches do not bound it."""
    rank: int
    rank_low: int
    """95 % of the resamples."""
    rank_high: int
    matches: int
    won: int
    tied: int
    lost: int
    gap: Estimate | None
    """Elo against the baseline; None for the baseline itself."""
    above: float | None
    """Share of resamples in which it is rated above the baseline."""
    p: float | None
    """Two-sided, of those resamples, Holm-adjusted over the systems."""
    verdict: ArenaVerdict
    best: float
    """Share of resamples in which it is rated highest."""
    cost: float | None
    """The system's own mean dollars per attempt, the judge's not among them; None when unpriced."""


class JudgeFacts(Struct, frozen=True, kw_only=True):
    """Who judged, how it can be trusted, and what it cost."""

    model: str
    engine: str
    prompt: str
    """Version of the wording."""
    questions: int
    trust: Trust
    confident: int
    """Verdicts with a stated confidence."""
    confidence: float | None
    """Their mean."""
    dollars: float | None
    """Of all questions of this tournament; None when one is unpriced."""
    unpriced: int
    prompt_tokens: int
    completion_tokens: int
    unmetered: int
    """Questions whose usage is unknown: not in the two sums above."""
    seconds: float
    """Waited for, over all questions."""


class Truth(Struct, frozen=True, kw_only=True):
    """A judge's verdicts on pairs whose better side is known."""

    pairs: int
    right: int
    """The passed one won, both orders taken together."""
    tied: int
    wrong: int
    accuracy: Share | None
    """Right of all pairs; a tie is not right."""
    by_question: Share | None
    """Right of single verdicts that name a side, each order on its own."""
    calibration: Calibration | None
    """None where no confidence was stated."""


class Arena(Struct, frozen=True, kw_only=True):
    """One tournament of one run."""

    run_id: str
    tournament: str
    made_at: datetime
    suite: str
    design: Kind
    swap: bool
    seed: int
    baseline: str
    """Label of the system that the others are compared with."""
    systems: int
    prompts: int
    """Prompts with a match that counts; intervals draw their families."""
    clusters: int
    left_out: int
    """Prompts at which a system has no answer."""
    matches: int
    """Judged in all orders."""
    planned: int
    unread: int
    """Matches in which a verdict could not be read: they do not count."""
    round_robin: int
    """Matches that everybody against everybody would take."""
    judge: JudgeFacts
    rows: tuple[ArenaRow, ...]
    """Empty where nothing can be ranked, and for a calibration."""
    truth: Truth | None
    """Of a calibration."""
    bounded: bool
    invalid: str
    """Why it must not be used; empty when it may."""
    finding: str
    notes: tuple[str, ...]
    schema: int = SCHEMA
