"""What a tournament says in sentences, and what a reader must know of it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from qbench.benchmarks.analysis.arena.standings import Standings
from qbench.benchmarks.analysis.arena.strengths import VIRTUAL
from qbench.service.domain import System
from qbench.service.reports.arena.values import Arena, ArenaRow
from qbench.service.tournaments import Tournament


def finding(arena: Arena) -> str:
    """State what was found in one sentence or two."""
    if arena.invalid:
        return f"Nothing can be said: {arena.invalid}."
    unfinished = _unfinished(arena)
    if arena.truth is not None:
        return f"{_of_truth(arena)}{unfinished}"
    first, *others = arena.rows
    decided = [row for row in others if row.rank_low > first.rank_high]
    lead = (
        f"{first.label} leads (Elo {_elo(first)}); it is rated highest in "
        f"{100 * first.best:.0f} % of the resamples"
    )
    close = f"{len(others) - len(decided)} of {len(others)} others may share its rank"
    return f"{lead}, and {close}. {_against(arena.rows, arena.baseline)}{unfinished}"


def _elo(row: ArenaRow) -> str:
    return f"{row.rating.value:.0f} [{end(row.rating.low)}, {end(row.rating.high)}]"


def end(value: float) -> str:
    """Write an end of an Elo interval; one may be infinite."""
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    return f"{value:.0f}"


def _against(rows: Sequence[ArenaRow], baseline: str) -> str:
    said = {
        word: [row.label for row in rows if row.verdict == word]
        for word in ("better", "worse", "inconclusive")
    }
    parts = [f"{', '.join(names)} {word}" for word, names in said.items() if names]
    return f"Against {baseline}: {'; '.join(parts)}."


def _of_truth(arena: Arena) -> str:
    truth = arena.truth
    if truth is None or truth.accuracy is None:
        return "No pair was judged."
    rate = truth.accuracy
    return (
        f"{arena.judge.model} prefers the passed attempt in {100 * rate.value:.1f} % "
        f"[{100 * rate.low:.1f}, {100 * rate.high:.1f}] of {truth.pairs} pairs "
        f"({truth.tied} tied, {truth.wrong} wrong)."
    )


def _unfinished(arena: Arena) -> str:
    left = arena.planned - arena.matches
    return f" {left:,} of {arena.planned:,} matches are not judged yet." if left > 0 else ""


def notes(
    tournament: Tournament,
    systems: Sequence[System],
    found: Standings | None,
    families: bool,
) -> tuple[str, ...]:
    """Return what the numbers do not say themselves."""
    said = [
        (
            "Elo by Bradley-Terry maximum likelihood over all matches, a tie half a win for either"
            " side; intervals and ranks from prompts drawn again with all their matches."
        )
    ]
    if families:
        said.append("Prompts of one template are drawn together: the intervals count templates.")
    if not tournament.swap:
        said.append("Every match was asked in one order: a position bias is not taken out.")
    if any(one.model == tournament.judge.model for one in systems):
        said.append(f"{tournament.judge.model} judges itself, which models tend to do kindly.")
    if found is not None and not found.bounded:
        said.append(
            "Somebody won or lost everything against the others: the matches do not bound such a"
            f" rating. Each system was given {VIRTUAL:g} virtual draw with an average one, so that"
            " a number can be shown; the open end of its interval is infinite."
        )
    elif found is not None and found.unbounded_share > 0:
        said.append(
            f"{100 * found.unbounded_share:.1f} % of the resamples had no finite maximum: virtual"
            " draws were added there."
        )
    return tuple(said)
