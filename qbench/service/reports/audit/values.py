"""What a published table says, and whether it can be: the values of ``qbench audit``."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from qbench.service.reports.values import SCHEMA, Verdict

CheckName = Literal[
    "cost of pass", "standard error", "whole attempts", "pass^k", "recovery",
    "queries per dollar", "cost reduction", "unpriced zero", "copied numbers",
]  # fmt: skip


class Miss(Struct, frozen=True, kw_only=True):
    """A row that cannot be what it says."""

    row: int
    """From 1."""
    name: str
    """Group, system and case."""
    said: str
    """In words, with the printed and the recomputed number."""
    off: float | None = None
    """Printed over recomputed, less 1; None where there is nothing to divide."""


class Check(Struct, frozen=True, kw_only=True):
    """One thing that can be recomputed from the table itself."""

    name: CheckName
    formula: str
    checked: int
    """Rows that have what it takes."""
    misses: tuple[Miss, ...]


class AuditRow(Struct, frozen=True, kw_only=True):
    """One row with its uncertainty. What cannot be told is None."""

    row: int
    system: str
    group: str
    n: float | None
    """Independent attempts that tell as much about the accuracy as the printed ones."""
    accuracy: float | None
    low: float | None
    """Wilson's 95 % interval."""
    high: float | None
    cost: float | None
    """Dollars per attempt."""
    cost_of_pass: float | None
    """Cost / accuracy: a ratio of means. ``inf`` without a pass."""
    cost_of_pass_low: float | None
    cost_of_pass_high: float | None
    verdict: Verdict | None
    """Against the group's baseline, unpaired; None where there is none."""
    undominated: bool
    """In its group, by the printed numbers."""
    on_frontier: float | None
    """Probability over draws of the accuracies; costs are taken as printed."""


class Audit(Struct, frozen=True, kw_only=True):
    """A published table, recomputed and judged."""

    table: str
    columns: dict[str, str]
    """Meaning to the column that was taken for it."""
    ignored: tuple[str, ...]
    """Columns that were not used."""
    rows: tuple[AuditRow, ...]
    checks: tuple[Check, ...]
    baselines: dict[str, str]
    """Group to the system that its rows are compared with."""
    margin: float
    notes: tuple[str, ...]
    finding: str
    schema: int = SCHEMA
