"""Tournament, Judgement: how the answers of a run are compared with each other, and by whom."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from msgspec import Struct

from qbench.benchmarks.analysis.arena.brackets import Design
from qbench.benchmarks.analysis.arena.calibration import Choice
from qbench.benchmarks.scoring.pairwise import VERSION
from qbench.service.domain import System, fingerprint

Kind = Design | Literal["calibration"]
"""``calibration``: a passed against a failed attempt at the same sample, to judge the judge."""


class Tournament(Struct, frozen=True, kw_only=True):
    """Settings that decide every match; equal settings are the same tournament."""

    run_id: str
    judge: System
    design: Kind = "single-elimination"
    swap: bool = True
    """Every match in both orders; orders that contradict each other are a tie."""
    seed: int = 0
    """Of brackets, of who is shown first, and of the coin that lets one of a tie go on."""
    anchor: str = ""
    """System that all others meet, of an anchored design."""
    pairs: int = 0
    """Most pairs, of a calibration."""
    prompt: str = VERSION
    """Version of the wording."""

    @property
    def id(self) -> str:
        """Digest of all fields."""
        return fingerprint(self)


class Judgement(Struct, frozen=True, kw_only=True):
    """One question to a judge and its reply."""

    sample_id: str
    epoch: int
    slot: str
    swapped: bool
    first: str
    """Attempt that was shown first."""
    second: str
    choice: Choice
    confidence: float | None
    reply: str
    prompt_tokens: int | None
    completion_tokens: int | None
    raw_usage: dict[str, Any]
    dollars: Decimal | None
    """None when unknown."""
    price_id: str
    started_at: datetime
    e2el_s: float
    finish_reason: str
    served_model: str
    retries: int


class Entrant(Struct, frozen=True, kw_only=True):
    """An attempt that did not error, as far as tournaments look at it."""

    id: str
    system_id: str
    sample_id: str
    epoch: int
    scored: bool
    passed: bool


Heat = tuple[str, int]
"""Sample and epoch: the attempts that meet each other."""


def heats(
    entrants: tuple[Entrant, ...], systems: frozenset[str]
) -> tuple[dict[Heat, dict[str, Entrant]], int]:
    """Return, by heat, the attempt of every system; and how many heats lack one and are left out.

    Whoever is not there cannot be met: a bracket of those present would depend on who failed.
    """
    found: dict[Heat, dict[str, Entrant]] = {}
    for one in entrants:
        if one.system_id in systems:
            found.setdefault((one.sample_id, one.epoch), {})[one.system_id] = one
    whole = {heat: there for heat, there in found.items() if set(there) == systems}
    return whole, len(found) - len(whole)
