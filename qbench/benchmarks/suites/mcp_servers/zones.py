"""The time task: `mcp-server-time`, asked about places without daylight saving time.

The server converts a time of *today*, so the questions name zones whose offset is the same on
every day of the year: their answers do not depend on when they are asked.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from qbench.benchmarks.suite import ReferenceCall
from qbench.benchmarks.suites.mcp_servers.cases import Example, Job, look
from qbench.benchmarks.worlds.cases import Case, Kind, call

ZONES = {
    "Pacific/Honolulu": -600,
    "America/Phoenix": -420,
    "America/Bogota": -300,
    "America/Lima": -300,
    "America/Sao_Paulo": -180,
    "Africa/Lagos": 60,
    "Africa/Johannesburg": 120,
    "Africa/Nairobi": 180,
    "Asia/Dubai": 240,
    "Asia/Karachi": 300,
    "Asia/Kolkata": 330,
    "Asia/Kathmandu": 345,
    "Asia/Bangkok": 420,
    "Asia/Singapore": 480,
    "Asia/Tokyo": 540,
    "Australia/Brisbane": 600,
}
"""IANA names and minutes ahead of UTC, all year."""
UNKNOWN = {
    "Asia/Hanoi": "Asia/Bangkok",
    "Asia/Delhi": "Asia/Kolkata",
    "Asia/Osaka": "Asia/Tokyo",
    "Africa/Cape_Town": "Africa/Johannesburg",
    "America/Rio": "America/Sao_Paulo",
    "Asia/Abu_Dhabi": "Asia/Dubai",
}
"""Names that no IANA zone has, and the zone that keeps the same time."""
DAY = 24 * 60


def clock(minutes: int) -> str:
    """Write minutes since midnight as HH:MM; days are dropped."""
    return f"{minutes % DAY // 60:02d}:{minutes % 60:02d}"


def city(zone: str) -> str:
    """Return the city that a zone is named for."""
    return zone.rsplit("/", maxsplit=1)[-1].replace("_", " ")


def _convert(source: str, minutes: int, target: str) -> ReferenceCall:
    return call("convert_time", source_timezone=source, time=clock(minutes), target_timezone=target)


def _minutes(rng: random.Random) -> int:
    return rng.randrange(0, DAY, 5)


def _ahead(source: str, target: str) -> int:
    return ZONES[target] - ZONES[source]


LEVEL_1 = (
    "Convert {time} from {source} to {target}. Answer with HH:MM.",
    "What time is it in {target} when it is {time} in {source}? Answer with HH:MM.",
    "My clock in {source} shows {time}. What does one in {target} show? Answer with HH:MM.",
    "At {time} in {source}, what do people in {target} read on their clocks? Answer with HH:MM.",
)


def _one(text: str) -> Callable[[random.Random], Case]:
    def make(rng: random.Random) -> Case:
        (source, target), minutes = rng.sample(sorted(ZONES), 2), _minutes(rng)
        return Case(
            request=text.format(time=clock(minutes), source=source, target=target),
            state={},
            calls=(_convert(source, minutes, target),),
            answer=clock(minutes + _ahead(source, target)),
        )

    return make


def _difference(rng: random.Random) -> Case:
    source, target = rng.sample(sorted(ZONES), 2)
    while not _ahead(source, target):
        source, target = rng.sample(sorted(ZONES), 2)
    return Case(
        request=f"How many hours is {city(target)} ahead of {city(source)} (below zero if behind)? "
        "Answer with the number of hours, like 3 or -4.5.",
        state={},
        calls=(_convert(source, 0, target),),
        answer=f"{_ahead(source, target) / 60:g}",
    )


def _day(rng: random.Random) -> Case:
    (source, target), minutes = rng.sample(sorted(ZONES), 2), _minutes(rng)
    days = (minutes + _ahead(source, target)) // DAY
    said = {-1: "previous", 0: "same", 1: "next"}[days]
    return Case(
        request=f"When it is {clock(minutes)} in {city(source)}, is it the same day in "
        f"{city(target)}, the next or the previous one? Answer with one word: same, next or "
        "previous.",
        state={},
        calls=(_convert(source, minutes, target),),
        answer=said,
    )


def _flight(rng: random.Random) -> Case:
    (source, target), start = rng.sample(sorted(ZONES), 2), _minutes(rng)
    hours, more = rng.randint(2, 13), rng.randrange(5, 60, 5)
    there = start + _ahead(source, target)
    return Case(
        request=f"A plane leaves {city(source)} at {clock(start)} local time and flies {hours} "
        f"hours and {more} minutes to {city(target)}. What is the local time there when it lands? "
        "Answer with HH:MM.",
        state={},
        calls=(_convert(source, start, target),),
        answer=clock(there + 60 * hours + more),
    )


def _relay(rng: random.Random) -> Case:
    (first, second, third), start = rng.sample(sorted(ZONES), 3), _minutes(rng)
    wait = rng.randrange(30, 300, 5)
    there = start + _ahead(first, second) + wait
    return Case(
        request=f"Someone in {city(first)} writes at {clock(start)} local time. {city(second)} "
        f"answers {wait} minutes later. Give the local time of the answer in {city(second)} and "
        f"then, in the last line, what clocks in {city(third)} show at that moment, as HH:MM.",
        state={},
        calls=(_convert(first, start, second), _convert(second, there, third)),
        answer=clock(there + _ahead(second, third)),
    )


def _no_such_zone(rng: random.Random) -> Case:
    """The server knows no zone of that name: another of the same time must be found."""
    wrong = rng.choice(sorted(UNKNOWN))
    zone = UNKNOWN[wrong]
    source = rng.choice([name for name in sorted(ZONES) if name != zone])
    minutes = _minutes(rng)
    return Case(
        request=f"Convert {clock(minutes)} from {source} to {wrong}. Where there is no such zone, "
        "take one that keeps the same time as that city. Answer with HH:MM.",
        state={},
        calls=(_convert(source, minutes, zone),),
        answer=clock(minutes + _ahead(source, zone)),
    )


def _meeting(rng: random.Random) -> Case:
    """The first full hour at which all three offices are open."""
    while True:
        zones = rng.sample(sorted(ZONES), 3)
        hours = [hour for hour in range(24) if all(_open(zone, hour) for zone in zones)]
        if hours and hours[0] > 0 and len({ZONES[zone] for zone in zones}) == 3:
            break
    named = ", ".join(zones[:-1]) + f" and {zones[-1]}"
    return Case(
        request=f"Offices in {named} are open from 09:00 to 17:00 local time, the last start of a "
        "meeting being 16:00. Which is the earliest full hour of a day in UTC at which a meeting "
        "of one hour can start with all three open? Answer with HH:MM.",
        state={},
        calls=tuple(_convert("UTC", 60 * hours[0], zone) for zone in zones),
        answer=clock(60 * hours[0]),
    )


def _open(zone: str, hour: int) -> bool:
    local = (60 * hour + ZONES[zone]) % DAY
    return 9 * 60 <= local <= 16 * 60


def _minutes_of(rng: random.Random) -> Case:
    hours = rng.randint(3, 9)
    return Case(
        request=f"How many minutes are {hours} hours? Answer with the number.",
        state={},
        answer=str(60 * hours),
    )


def _no_need(rng: random.Random) -> Case:
    zone = rng.choice(sorted(ZONES))
    return Case(
        request=f"I shall ask you about the time in {city(zone)} tomorrow, look nothing up today. "
        "Just say all right.",
        state={},
        answer="all right",
    )


SAID = """{
  "source": {
    "timezone": "UTC",
    "datetime": "2026-01-05T10:00:00+00:00",
    "day_of_week": "Monday",
    "is_dst": false
  },
  "target": {
    "timezone": "Asia/Tokyo",
    "datetime": "2026-01-05T19:00:00+09:00",
    "day_of_week": "Monday",
    "is_dst": false
  },
  "time_difference": "+9.0h"
}"""
JOB = Job(
    name="time",
    tools=("convert_time", "get_current_time"),
    operations={"convert_time": look, "get_current_time": look},
    examples=(
        Example(
            request="What time is it in Asia/Tokyo when it is 10:00 in UTC? Answer with HH:MM.",
            call=_convert("UTC", 600, "Asia/Tokyo"),
            result=SAID,
            answer="19:00",
        ),
    ),
    tool_sets=(("convert_time", "get_current_time"),),
    levels={
        1: tuple(
            Kind(name=f"convert-{number}", make=_one(text), tools=("convert_time",))
            for number, text in enumerate(LEVEL_1)
        ),
        2: (Kind(name="difference", make=_difference), Kind(name="day", make=_day)),
        3: (Kind(name="flight", make=_flight), Kind(name="relay", make=_relay)),
        4: (Kind(name="no-such-zone", make=_no_such_zone),),
        5: (Kind(name="meeting", make=_meeting),),
    },
    no_call=(Kind(name="minutes-of", make=_minutes_of), Kind(name="no-need", make=_no_need)),
    needless=call("get_current_time", timezone="UTC"),
)
