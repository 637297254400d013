"""The matches of a tournament: what is due, and what came of those that were judged.

Everything follows from the settings, the attempts and the judgements; nothing else is stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from msgspec import Struct

from qbench.benchmarks.analysis.arena.brackets import Pairing, due, every, shuffled
from qbench.benchmarks.analysis.arena.calibration import Choice, points
from qbench.benchmarks.worlds.cases import drawn
from qbench.service.store import Store
from qbench.service.tournaments import Entrant, Heat, Judgement, Tournament, heats

PASSED, FAILED = "passed", "failed"
"""Sides of a calibration's pair."""


class Fixture(Struct, frozen=True, kw_only=True):
    """A match: two sides at one sample, and who is shown first in its first order."""

    sample_id: str
    epoch: int
    slot: str
    one: str
    """System, or ``passed`` of a calibration."""
    two: str
    first: str
    """Attempt."""
    second: str
    straight: bool
    """Whether ``first`` is of side ``one``."""


class Result(Struct, frozen=True, kw_only=True):
    """A match that was judged in all its orders."""

    fixture: Fixture
    choices: tuple[Choice, ...]
    points: float | None
    """Of side ``one``: 1, 0.5 or 0; None where a verdict could not be read."""
    on: str
    """Who goes on: after a tie, or what could not be read, a coin of the seed's decides."""


class Played:
    """Judgements by match."""

    def __init__(self, made: Iterable[Judgement] = ()) -> None:
        self._by_match: dict[tuple[str, int, str], dict[bool, Judgement]] = {}
        for one in made:
            self.add(one)

    def add(self, made: Judgement) -> None:
        """Note one more."""
        key = (made.sample_id, made.epoch, made.slot)
        self._by_match.setdefault(key, {})[made.swapped] = made

    def orders(self, fixture: Fixture) -> dict[bool, Judgement]:
        """Return the judgements of a match by whether the sides were swapped."""
        return self._by_match.get((fixture.sample_id, fixture.epoch, fixture.slot), {})

    def result(self, tournament: Tournament, fixture: Fixture) -> Result | None:
        """Return what came of a match; None while an order is missing."""
        orders = self.orders(fixture)
        if len(orders) < 1 + tournament.swap:
            return None
        choices = tuple(orders[swapped].choice for swapped in sorted(orders))
        earned = points(choices)
        if earned is not None and not fixture.straight:
            earned = 1 - earned
        ahead = earned
        if earned in (None, 0.5):
            what = (fixture.sample_id, fixture.epoch, fixture.slot)
            ahead = drawn("coin", tournament.seed, *what).random()
        on = fixture.one if ahead is not None and ahead > 0.5 else fixture.two
        return Result(fixture=fixture, choices=choices, points=earned, on=on)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Who meets whom, as far as it does not depend on who wins."""

    heats: dict[Heat, dict[str, Entrant]]
    pairs: tuple[Fixture, ...] = ()
    """Of a calibration."""
    left_out: int = 0
    """Heats at which a system has no answer."""
    why_empty: str = ""

    @property
    def attempts(self) -> set[str]:
        """Attempts whose answers may be shown."""
        there = {one.id for heat in self.heats.values() for one in heat.values()}
        return there | {part for one in self.pairs for part in (one.first, one.second)}

    @property
    def samples(self) -> set[str]:
        """Samples whose prompts may be shown."""
        return {sample for sample, _ in self.heats} | {one.sample_id for one in self.pairs}


def plan_of(store: Store, tournament: Tournament) -> Plan:
    """Plan a tournament over what a run has. Raises NotFound for a run that is not there."""
    run = store.run(tournament.run_id)
    entrants = store.entrants(run.id)
    if tournament.design == "calibration":
        pairs = calibration_pairs(tournament, entrants)
        return Plan(
            heats={}, pairs=pairs, why_empty="no sample was passed by one and failed by one"
        )
    systems = frozenset(system.id for system in run.request.systems)
    if len(systems) < 2:
        return Plan(heats={}, why_empty="it has one system")
    whole, left_out = heats(entrants, systems)
    return Plan(heats=whole, left_out=left_out, why_empty="no sample was answered by all systems")


def calibration_pairs(tournament: Tournament, entrants: tuple[Entrant, ...]) -> tuple[Fixture, ...]:
    """Pair a passed and a failed attempt at each sample that has both; in a seeded order."""
    by_sample: dict[str, tuple[list[str], list[str]]] = {}
    for one in entrants:
        if one.scored:
            by_sample.setdefault(one.sample_id, ([], []))[not one.passed].append(one.id)
    wanted = sorted(key for key, sides in by_sample.items() if all(sides))
    drawn("pairs", tournament.seed).shuffle(wanted)
    found = []
    for sample in wanted[: tournament.pairs]:
        rng = drawn("pair", tournament.seed, sample)
        passed, failed = (rng.choice(sorted(side)) for side in by_sample[sample])
        pairing = Pairing(slot="pair", one=PASSED, two=FAILED)
        sides = {PASSED: passed, FAILED: failed}
        found.append(_fixture(tournament, (sample, 0), pairing, sides))
    return tuple(found)


def walk(
    tournament: Tournament, heat: Heat, entrants: Mapping[str, Entrant], played: Played
) -> tuple[list[Result], list[Fixture]]:
    """Return the matches of a heat that are decided, and those that can be played now."""
    sides = {system: entrant.id for system, entrant in entrants.items()}
    decided: dict[str, Result] = {}
    while True:
        open_now = []
        for pairing in _pairings(tournament, heat, sides, decided):
            fixture = _fixture(tournament, heat, pairing, sides)
            result = played.result(tournament, fixture)
            if result is None:
                open_now.append(fixture)
            else:
                decided[pairing.slot] = result
        more = _pairings(tournament, heat, sides, decided)
        if len(more) == len(open_now):
            return list(decided.values()), open_now


def _pairings(
    tournament: Tournament, heat: Heat, sides: Mapping[str, str], decided: Mapping[str, Result]
) -> list[Pairing]:
    if tournament.design == "single-elimination":
        order = shuffled(tuple(sides), tournament.seed, *heat)
        return list(due(order, {slot: result.on for slot, result in decided.items()}))
    anchor = tournament.anchor if tournament.design == "anchored" else ""
    return [one for one in every(tuple(sides), anchor) if one.slot not in decided]


def fixtures(
    tournament: Tournament, heat: Heat, entrants: Mapping[str, Entrant], played: Played
) -> list[Fixture]:
    """Return the matches of a heat that can be played now."""
    return walk(tournament, heat, entrants, played)[1]


def _fixture(
    tournament: Tournament, heat: Heat, pairing: Pairing, sides: Mapping[str, str]
) -> Fixture:
    straight = drawn("first", tournament.seed, *heat, pairing.slot).random() < 0.5
    one, two = sides[pairing.one], sides[pairing.two]
    return Fixture(
        sample_id=heat[0],
        epoch=heat[1],
        slot=pairing.slot,
        one=pairing.one,
        two=pairing.two,
        first=one if straight else two,
        second=two if straight else one,
        straight=straight,
    )
