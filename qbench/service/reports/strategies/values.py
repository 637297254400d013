"""Strategies of one run side by side as values: what terminal, JSON, REST and pictures show."""

from __future__ import annotations

from msgspec import Struct

from qbench.service.domain import Basis
from qbench.service.reports.values import SCHEMA, Estimate, Verdict


class Candidates(Struct, frozen=True, kw_only=True):
    """The whole answers that attempts made on the way; means over attempts."""

    number: float
    """Candidates of an attempt."""
    best: float
    """Value of the best: what a perfect choice would have reached."""
    worst: float
    mean: float
    majority: float | None
    """Value of the answer given most often; None where there is one alone."""
    any_passes: dict[int, float] = {}
    """pass@k, unbiased over the candidates; empty where they are no independent draws."""
    all_pass: dict[int, float] = {}
    """pass^k, likewise."""


class StrategyRow(Struct, frozen=True, kw_only=True):
    """One strategy of a model and format, on one suite or on all."""

    system_id: str
    strategy: str
    """As it is written."""
    shown: str
    """For people."""
    name: str
    """Of the strategy alone, for lines of one strategy over its number."""
    n: int
    pass_rate: Estimate | None
    verdict: Verdict
    """Against the first strategy of this model and format, on the same samples."""
    accepted_tokens: float | None
    """Mean per attempt, prompts included: along the path that one waits for."""
    total_tokens: float | None
    """All that the system itself was asked; None where usage is unknown."""
    calls: float
    """Of the system's own model."""
    others_calls: float = 0.0
    others_tokens: float | None = 0.0
    cost: Estimate | None
    """Mean dollars per attempt, other models included; None when unpriced."""
    cost_of_pass: Estimate | None
    """Ratio of means."""
    candidates: Candidates | None = None
    """None for strategies without: one chain of calls."""
    caveat: str = ""
    """What a reader must know: that a choice was made by the suite's own verdict."""
    invalid: str = ""


class Block(Struct, frozen=True, kw_only=True):
    """The strategies of one model and format on one suite."""

    suite: str
    """Empty: all suites of the run together."""
    base: str
    """Model and format."""
    samples: int
    rows: tuple[StrategyRow, ...]
    finding: str


class StrategyReport(Struct, frozen=True, kw_only=True):
    """The table suite x strategy of a run."""

    run_id: str
    basis: Basis
    blocks: tuple[Block, ...]
    notes: tuple[str, ...]
    finding: str
    schema: int = SCHEMA
