"""Planning by the calendar: a meeting, a trip, a rota. Every plan that keeps all rules is right."""

from __future__ import annotations

import itertools
import random
import re

from qbench.benchmarks.suites.reasoning.puzzles import Facts, Kind, Puzzle

PEOPLE = "Ana Ben Cleo Dan Eva Finn Gus Hana".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday".split()
CITIES = "Rome Paris Oslo Vienna Lisbon Athens Dublin Prague Madrid".split()
OPENS, CLOSES = 9 * 60, 17 * 60
"""Working hours, in minutes since midnight."""
_SLOT = re.compile(r"([A-Za-z]+)[ ,]+(?:at )?(\d{1,2}):(\d{2})")


def _meeting(rng: random.Random, level: int) -> Puzzle:
    """A free slot for everyone; more people, days and rules by level."""
    people = PEOPLE[: (2, 2, 3, 4, 5)[level - 1]]
    days = DAYS[: (1, 1, 2, 3, 5)[level - 1]]
    minutes = rng.choice((30, 60) if level < 3 else (30, 60, 90))
    rules = _rules(rng, level)
    while True:
        busy = {name: {day: _busy(rng, level) for day in days} for name in people}
        facts: Facts = {"busy": busy, "minutes": minutes, "days": days, "rules": rules}
        slots = free_slots(facts)
        if slots and len(slots) < 5 * len(days):
            break
    day, start = rng.choice(slots)
    return Puzzle(question=_meeting_text(facts), answer=f"{day} {_clock(start)}", facts=facts)


def _busy(rng: random.Random, level: int) -> list[list[int]]:
    """Draw what one person has on one day: (from, to) in minutes, in order, not overlapping."""
    marks = sorted(rng.sample(range(OPENS, CLOSES + 1, 30), 2 * (2 + (level > 1) + (level > 3))))
    return [[marks[k], marks[k + 1]] for k in range(0, len(marks), 2)]


def _rules(rng: random.Random, level: int) -> dict[str, int]:
    rules = {}
    if level >= 2:
        rules["not_before"] = rng.choice((570, 600, 630))
    if level >= 3:
        rules["ends_by"] = rng.choice((930, 960, 990))
    if level >= 4:
        rules["lunch"] = 720  # to 13:00
    return rules


def free_slots(facts: Facts) -> list[tuple[str, int]]:
    """List the starts, on whole and half hours, that keep every rule."""
    starts = range(OPENS, CLOSES + 1, 30)
    pairs = itertools.product(facts["days"], starts)
    return [(day, start) for day, start in pairs if not _slot_fault(facts, day, start)]


def _slot_fault(facts: Facts, day: str, start: int) -> str:
    end, rules = start + facts["minutes"], facts["rules"]
    if start < rules.get("not_before", OPENS) or end > rules.get("ends_by", CLOSES):
        return "The meeting is too early or too late."
    if "lunch" in rules and start < rules["lunch"] + 60 and end > rules["lunch"]:
        return "The meeting is in the lunch break."
    for name, calendar in facts["busy"].items():
        for begins, ends in calendar[day]:
            if start < ends and end > begins:
                return f"{name} is busy {day} from {_clock(begins)} to {_clock(ends)}."
    return ""


def _meeting_text(facts: Facts) -> str:
    lines = [
        f"{name}, {day}: " + ", ".join(f"{_clock(a)}-{_clock(b)}" for a, b in calendar[day])
        for name, calendar in facts["busy"].items()
        for day in facts["days"]
    ]
    wishes = {
        "not_before": "It starts at {} or later.",
        "ends_by": "It ends by {}.",
        "lunch": "It keeps clear of the lunch break from {} to 13:00.",
    }
    rules = " ".join(wishes[name].format(_clock(at)) for name, at in facts["rules"].items())
    return (
        f"Find a time for a meeting of {facts['minutes']} minutes between 09:00 and 17:00 at which "
        f"nobody is busy. {rules}".rstrip()
        + "\n\nBusy times:\n"
        + "\n".join(lines)
        + "\n\nAnswer with the day and the start, such as: Monday 09:30"
    )


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def _meeting_fault(facts: Facts, text: str) -> str:
    said = _SLOT.fullmatch(text.strip().removesuffix("."))
    if said is None or said[1].capitalize() not in facts["days"] or int(said[3]) > 59:
        return "The answer is not one of the days and a time."
    return _slot_fault(facts, said[1].capitalize(), 60 * int(said[2]) + int(said[3]))


def _trip(rng: random.Random, level: int) -> Puzzle:
    """An order of cities along direct flights, with appointments on certain days."""
    n = (3, 4, 5, 6, 8)[level - 1]
    order = rng.sample(CITIES, n)
    nights = {city: rng.randint(1, 3) for city in order}
    flights = {tuple(sorted(pair)) for pair in itertools.pairwise(order)}
    others = [p for p in itertools.combinations(sorted(order), 2) if p not in flights]
    flights |= set(rng.sample(others, min(len(others), n - 2)))
    arrive = _arrivals(order, nights)
    fixed = rng.sample(order, max(1, (n - 1) // 2))
    facts: Facts = {
        "nights": {city: nights[city] for city in sorted(order)},
        "flights": sorted(map(list, flights)),
        "dates": {city: arrive[city] + rng.randrange(nights[city]) for city in fixed},
    }
    return Puzzle(question=_trip_text(facts), answer=", ".join(order), facts=facts)


def _arrivals(order: list[str], nights: dict[str, int]) -> dict[str, int]:
    """Give the day of arrival by city; the trip begins on day 1."""
    days = itertools.accumulate((nights[city] for city in order), initial=1)
    return dict(zip(order, days, strict=False))


def _trip_text(facts: Facts) -> str:
    stays = ", ".join(f"{city} {nights}" for city, nights in facts["nights"].items())
    flights = ", ".join(f"{one}-{other}" for one, other in facts["flights"])
    dates = " ".join(f"On day {day} I must be in {city}." for city, day in facts["dates"].items())
    return (
        "Plan a trip that visits each of these cities once, staying this many days in each: "
        f"{stays}.\nThe trip begins on day 1 in the first city; the next stay begins on the day "
        "after the last day of the one before. From one city to the next there must be a direct "
        f"flight; they go both ways between: {flights}.\n{dates}\n\n"
        "Answer with the cities in the order of the visit, separated by commas."
    )


def _trip_fault(facts: Facts, text: str) -> str:
    order = [part.strip().capitalize() for part in re.split(r",|->|→|\n", text) if part.strip()]
    if sorted(order) != sorted(facts["nights"]):
        return "The answer does not name each city once."
    for pair in itertools.pairwise(order):
        if sorted(pair) not in facts["flights"]:
            return f"There is no flight from {pair[0]} to {pair[1]}."
    arrive = _arrivals(order, facts["nights"])
    for city, day in facts["dates"].items():
        if not 0 <= day - arrive[city] < facts["nights"][city]:
            return f"On day {day} the trip is not in {city}."
    return ""


def _rota(rng: random.Random, level: int) -> Puzzle:
    """One person for each shift: who may, how often, and not twice in a row."""
    people = PEOPLE[: (2, 3, 3, 4, 5)[level - 1]]
    shifts = (3, 4, 6, 8, 10)[level - 1]
    planted = [rng.choice(people)]
    while len(planted) < shifts:
        planted.append(rng.choice([name for name in people if name != planted[-1]]))
    may = [sorted({one, *(name for name in people if rng.random() < 0.45)}) for one in planted]
    most = {name: max(1, planted.count(name)) for name in people}
    facts: Facts = {"may": may, "most": most}
    lines = "\n".join(f"shift {k}: {', '.join(names)}" for k, names in enumerate(may, 1))
    limits = ", ".join(f"{name} {count}" for name, count in most.items())
    question = (
        f"Fill {shifts} shifts, one person each. Nobody works two shifts in a row. Who can work "
        f"when:\n\n{lines}\n\nMost shifts for each person: {limits}.\n\n"
        "Answer with one name for each shift, in order, separated by commas."
    )
    return Puzzle(question=question, answer=", ".join(planted), facts=facts)


def _rota_fault(facts: Facts, text: str) -> str:
    names = [part.strip().capitalize() for part in re.split(r"[,\n]", text) if part.strip()]
    if len(names) != len(facts["may"]):
        return f"The answer does not name {len(facts['may'])} people."
    for place, (name, may) in enumerate(zip(names, facts["may"], strict=True), 1):
        if name not in may:
            return f"{name[:20]!r} cannot work in shift {place}."
    if any(one == other for one, other in itertools.pairwise(names)):
        return "Somebody works two shifts in a row."
    over = [name for name, most in facts["most"].items() if names.count(name) > most]
    return f"{over[0]} works too often." if over else ""


KINDS = (
    Kind(name="meeting", make=_meeting, fault=_meeting_fault),
    Kind(name="trip", make=_trip, fault=_trip_fault),
    Kind(name="rota", make=_rota, fault=_rota_fault),
)
