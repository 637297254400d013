"""From judgements to standings: ranks with intervals, and what the judge is worth."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import numpy as np
from msgspec.structs import replace

from qbench.benchmarks.analysis.arena import brackets
from qbench.benchmarks.analysis.arena.calibration import Choice, calibration, share, trust
from qbench.benchmarks.analysis.arena.standings import RESAMPLES, Games, Standings, standings
from qbench.benchmarks.analysis.comparison.multiplicity import holm
from qbench.benchmarks.analysis.outcomes import ERRORED
from qbench.benchmarks.analysis.sums import dollars
from qbench.errors import ConfigError
from qbench.service.domain import Run, System
from qbench.service.reports.arena.matches import Plan, Played, Result, plan_of, walk
from qbench.service.reports.arena.values import (
    Arena,
    ArenaRow,
    ArenaVerdict,
    JudgeFacts,
    Truth,
)
from qbench.service.reports.arena.words import finding, notes
from qbench.service.reports.evidence import estimate
from qbench.service.store import Store, StoredTournament
from qbench.service.tournaments import Judgement, Tournament

ALPHA = 0.05
MOST_UNREAD = 0.05
"""Share of matches without a readable verdict from which a tournament is INVALID."""


def arena_of(store: Store, run_ref: str, ref: str = "") -> Arena:
    """Tell what a tournament of a run found; the newest without a ``ref``.

    Raises:
        NotFound: no such run or tournament.

    """
    run = store.run(run_ref)
    stored = store.tournament(run.id, ref)
    plan, made = plan_of(store, stored.tournament), store.judgements(stored.id)
    played = Played(made)
    if stored.tournament.design == "calibration":
        results = [played.result(stored.tournament, one) for one in plan.pairs]
        return _calibrated(run, stored, plan, made, [one for one in results if one is not None])
    results_of = [walk(stored.tournament, h, there, played)[0] for h, there in plan.heats.items()]
    return _ranked(store, run, stored, plan, made, [one for part in results_of for one in part])


def check_design(run: Run, tournament: Tournament) -> None:
    """Refuse a design that the run has nothing for. Raises ConfigError."""
    ids = {system.id for system in run.request.systems}
    if tournament.design == "anchored" and tournament.anchor not in ids:
        raise ConfigError(
            "An anchored design needs a system of the run that all others meet.",
            hint="Leave --anchor out to take the baseline.",
        )


def _games(run: Run, counted: Sequence[Result], families: dict[str, str]) -> Games:
    """Lay matches out as columns; prompts of one family are drawn together."""
    systems = tuple(system.id for system in run.request.systems)
    place = {key: number for number, key in enumerate(systems)}
    clusters: dict[str, int] = {}
    for one in counted:
        clusters.setdefault(families[one.fixture.sample_id], len(clusters))
    return Games(
        systems=systems,
        one=np.array([place[r.fixture.one] for r in counted], dtype=np.int64),
        two=np.array([place[r.fixture.two] for r in counted], dtype=np.int64),
        points=np.array([r.points for r in counted], dtype=np.float64),
        prompt=np.array([clusters[families[r.fixture.sample_id]] for r in counted], np.int64),
    )


def _ranked(
    store: Store,
    run: Run,
    stored: StoredTournament,
    plan: Plan,
    made: Sequence[Judgement],
    results: Sequence[Result],
) -> Arena:
    counted = [one for one in results if one.points is not None]
    games = _games(run, counted, store.families({one.fixture.sample_id for one in counted}))
    found = standings(games, seed=stored.tournament.seed)
    invalid = _invalid(results, counted, found)
    size = len(run.request.systems)
    arena = replace(
        _empty(run, stored, plan, made),
        prompts=len({one.fixture.sample_id for one in counted}),
        clusters=games.prompts,
        matches=len(results),
        planned=brackets.matches(size, len(plan.heats), _counted_as(stored.tournament)),
        unread=len(results) - len(counted),
        round_robin=brackets.matches(size, len(plan.heats), "round-robin"),
        rows=() if found is None or invalid else _rows(run, games, found, _costs(store, run)),
        bounded=found is not None and found.bounded,
        invalid=invalid,
        notes=notes(stored.tournament, run.request.systems, found, _families(games, counted)),
    )
    return replace(arena, finding=finding(arena))


def _counted_as(tournament: Tournament) -> brackets.Design:
    return "round-robin" if tournament.design == "round-robin" else "single-elimination"


def _families(games: Games, counted: Sequence[Result]) -> bool:
    """Say whether prompts share families, so that fewer things were drawn than prompts asked."""
    return games.prompts < len({one.fixture.sample_id for one in counted})


def _calibrated(
    run: Run,
    stored: StoredTournament,
    plan: Plan,
    made: Sequence[Judgement],
    results: Sequence[Result],
) -> Arena:
    counted = [one for one in results if one.points is not None]
    arena = replace(
        _empty(run, stored, plan, made),
        prompts=len(counted),
        clusters=len(counted),
        matches=len(results),
        planned=len(plan.pairs),
        unread=len(results) - len(counted),
        truth=_truth(plan, made, counted),
        invalid=_unread(results, counted),
    )
    return replace(arena, finding=finding(arena))


def _empty(run: Run, stored: StoredTournament, plan: Plan, made: Sequence[Judgement]) -> Arena:
    """Return what is known before any match is looked at."""
    tournament, request = stored.tournament, run.request
    baseline = next(one for one in request.systems if one.id == request.baseline)
    return Arena(
        run_id=run.id,
        tournament=stored.id,
        made_at=stored.created_at,
        suite=request.suite,
        design=tournament.design,
        swap=tournament.swap,
        seed=tournament.seed,
        baseline=baseline.label,
        systems=len(request.systems),
        prompts=0,
        clusters=0,
        left_out=plan.left_out,
        matches=0,
        planned=0,
        unread=0,
        round_robin=0,
        judge=_judge(tournament, made),
        rows=(),
        truth=None,
        bounded=False,
        invalid="",
        finding="",
        notes=(),
    )


def _invalid(results: Sequence[Result], counted: Sequence[Result], found: Standings | None) -> str:
    if why := _unread(results, counted):
        return why
    if not counted:
        return "nothing was judged"
    return "" if found else "some systems never met the others: they share no scale"


def _unread(results: Sequence[Result], counted: Sequence[Result]) -> str:
    missing = len(results) - len(counted)
    if missing <= MOST_UNREAD * len(results):
        return ""
    return f"no verdict could be read in {missing} of {len(results)} matches"


def _judge(tournament: Tournament, made: Sequence[Judgement]) -> JudgeFacts:
    stated = [one.confidence for one in made if one.confidence is not None]
    known = [one.dollars for one in made if one.dollars is not None]
    metered = [one for one in made if one.prompt_tokens is not None]
    whole = len(known) == len(made)
    return JudgeFacts(
        model=tournament.judge.model,
        engine=tournament.judge.engine,
        prompt=tournament.prompt,
        questions=len(made),
        trust=trust(_orders(made)),
        confident=len(stated),
        confidence=sum(stated) / len(stated) if stated else None,
        dollars=float(sum(known, Decimal(0))) if whole and made else None,
        unpriced=len(made) - len(known),
        prompt_tokens=sum(one.prompt_tokens or 0 for one in metered),
        completion_tokens=sum(one.completion_tokens or 0 for one in metered),
        unmetered=len(made) - len(metered),
        seconds=sum(one.e2el_s for one in made),
    )


def _orders(made: Sequence[Judgement]) -> list[tuple[Choice, ...]]:
    """Return the choices of each match, the unswapped order first."""
    found: dict[tuple[str, int, str], dict[bool, Choice]] = {}
    for one in made:
        match = (one.sample_id, one.epoch, one.slot)
        found.setdefault(match, {})[one.swapped] = one.choice
    return [tuple(orders[swapped] for swapped in sorted(orders)) for orders in found.values()]


def _costs(store: Store, run: Run) -> dict[str, float | None]:
    """Return each system's own mean dollars per answered attempt; None when one is unpriced."""
    outcomes = store.outcomes(run.id)
    spent, answered = dollars(outcomes, "saturated"), outcomes.status != ERRORED
    found: dict[str, float | None] = {}
    for place, key in enumerate(outcomes.systems):
        mine = spent[(outcomes.system == place) & answered]
        found[key] = None if not len(mine) or np.isnan(mine).any() else float(mine.mean())
    return found


def _rows(
    run: Run, games: Games, found: Standings, costs: dict[str, float | None]
) -> tuple[ArenaRow, ...]:
    """Make the rows, best rating first."""
    base = games.systems.index(run.request.baseline)
    others = [place for place in range(len(games.systems)) if place != base]
    chance = [_two_sided(found.better[place, base]) for place in others]
    adjusted = dict(zip(others, holm(chance), strict=True))
    made = [
        _row(system, place, (games, found), base, adjusted.get(place), costs.get(system.id))
        for place, system in enumerate(run.request.systems)
    ]
    return tuple(sorted(made, key=lambda row: -row.rating.value))


def _two_sided(better: float) -> float:
    """Return a p value of the resamples, never below what their number can tell."""
    least = (min(better, 1 - better) * RESAMPLES + 1) / (RESAMPLES + 1)
    return min(1.0, 2 * float(least))


def _row(
    system: System,
    place: int,
    known: tuple[Games, Standings],
    base: int,
    p: float | None,
    cost: float | None,
) -> ArenaRow:
    games, found = known
    won, tied, lost = tally(games, place)
    value, low, high = (float(part) for part in found.gap[place, base])
    rating = (float(part[place]) for part in (found.rating, found.low, found.high))
    mine, bottom, top = rating
    return ArenaRow(
        system_id=system.id,
        label=system.label,
        model=system.model,
        format=system.format,
        rating=estimate(mine, (bottom, top)),
        rank=int(found.rank[place]),
        rank_low=int(found.rank_low[place]),
        rank_high=int(found.rank_high[place]),
        matches=won + tied + lost,
        won=won,
        tied=tied,
        lost=lost,
        gap=None if place == base else estimate(value, (low, high)),
        above=None if place == base else float(found.better[place, base]),
        p=p,
        verdict=_verdict(value, p),
        best=float(found.best[place]),
        cost=cost,
    )


def _verdict(gap: float, p: float | None) -> ArenaVerdict:
    if p is None:
        return "baseline"
    if p > ALPHA:
        return "inconclusive"
    return "better" if gap > 0 else "worse"


def tally(games: Games, place: int) -> tuple[int, int, int]:
    """Count the matches that a system won, tied and lost."""
    mine = np.concatenate([games.points[games.one == place], 1 - games.points[games.two == place]])
    return int((mine == 1).sum()), int((mine == 0.5).sum()), int((mine == 0).sum())


def _truth(plan: Plan, made: Sequence[Judgement], counted: Sequence[Result]) -> Truth:
    """Compare verdicts with which attempt of each pair passed."""
    right = sum(one.points == 1 for one in counted)
    tied = sum(one.points == 0.5 for one in counted)
    passed = {part.first if part.straight else part.second for part in plan.pairs}
    named = [one for one in made if one.choice in ("first", "second")]
    true = [(one.first if one.choice == "first" else one.second) in passed for one in named]
    stated = [
        (one.confidence, good)
        for one, good in zip(named, true, strict=True)
        if one.confidence is not None
    ]
    return Truth(
        pairs=len(counted),
        right=right,
        tied=tied,
        wrong=len(counted) - right - tied,
        accuracy=share(right, len(counted)),
        by_question=share(sum(true), len(true)),
        calibration=calibration([one for one, _ in stated], [good for _, good in stated]),
    )
