"""The calendar world: one person's week. A slot holds one event; a title occurs once."""

from __future__ import annotations

import random
from collections.abc import Callable

from qbench.benchmarks.worlds.cases import (
    Case,
    Kind,
    Office,
    Operation,
    Refused,
    Shown,
    State,
    call,
    listed,
)

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
HOURS = ("9:00", "10:00", "11:00", "13:00", "14:00", "15:00", "16:00")
TITLES = tuple(
    "Yoga Dentist Standup Lunch Chess Choir Review Interview Haircut Budget Planning Demo Piano "
    "Swimming Retro Training Tennis Reading Gardening Workshop Concert Theatre Bowling Sailing "
    "Pottery Karate Ballet Brunch Picnic Meetup Inventory Kickoff".split()
)
PEOPLE = tuple("Ana Ben Carla David Emma Felix Grace Hugo Iris Jonas".split())


def _find(state: State, title: str) -> State:
    for event in state["events"]:
        if event["title"].lower() == title.lower():
            found: State = event
            return found
    raise Refused(f"There is no event {title}. Events: {listed(_titles(state)) or 'none'}.")


def _titles(state: State) -> list[str]:
    return [event["title"] for event in state["events"]] or ["none"]


def _check_free(state: State, day: str, time: str) -> None:
    if day not in DAYS or time not in HOURS:
        raise Refused(f"A slot is one of {listed(DAYS)} at one of {listed(HOURS)}.")
    taken = {event["time"] for event in state["events"] if event["day"] == day}
    if time in taken:
        free = [hour for hour in HOURS if hour not in taken]
        raise Refused(f"{day} {time} is taken. Free on {day}: {listed(free) if free else 'none'}.")


def create_event(state: State, title: str, day: str, time: str) -> str:
    """Create an event."""
    _check_free(state, day, time)
    if title.lower() in [known.lower() for known in _titles(state)]:
        raise Refused(f"There is already an event {title}.")
    state["events"].append({"title": title, "day": day, "time": time, "guests": []})
    return f"{title} is on {day} at {time}."


def delete_event(state: State, title: str) -> str:
    """Delete an event."""
    state["events"].remove(_find(state, title))
    return f"{title} is deleted."


def move_event(state: State, title: str, day: str, time: str) -> str:
    """Move an event to another slot."""
    event = _find(state, title)
    _check_free(state, day, time)
    event["day"], event["time"] = day, time
    return f"{title} is now on {day} at {time}."


def rename_event(state: State, title: str, new_title: str) -> str:
    """Rename an event."""
    _find(state, title)["title"] = new_title
    return f"{title} is now called {new_title}."


def invite_guest(state: State, title: str, guest: str) -> str:
    """Invite a guest to an event."""
    event = _find(state, title)
    if guest in event["guests"]:
        raise Refused(f"{guest} is already invited to {title}.")
    event["guests"] = sorted([*event["guests"], guest])
    return f"{guest} is invited to {title}."


def remove_guest(state: State, title: str, guest: str) -> str:
    """Take a guest off an event."""
    event = _find(state, title)
    if guest not in event["guests"]:
        raise Refused(f"{guest} is not invited to {title}.")
    event["guests"].remove(guest)
    return f"{guest} is off {title}."


def list_events(state: State, day: str) -> str:
    """List the events of a day, with guests."""
    lines = [
        f"{event['time']} {event['title']} (guests: {', '.join(event['guests']) or 'none'})"
        for event in state["events"]
        if event["day"] == day
    ]
    return "\n".join(lines) or f"Nothing on {day}."


def find_event(state: State, title: str) -> str:
    """Say when an event is."""
    event = _find(state, title)
    return f"{event['title']} is on {event['day']} at {event['time']}."


OPERATIONS: dict[str, Operation] = {
    made.__name__: made
    for made in (
        create_event,
        delete_event,
        move_event,
        rename_event,
        invite_guest,
        remove_guest,
        list_events,
        find_event,
    )
}
TOOL_SETS = (("create_event", "delete_event"), ("delete_event", "invite_guest", "rename_event"))
SHOWN = (
    Shown(
        request="Book Painting for Monday at 9:00.",
        call=call("create_event", title="Painting", day="Monday", time="9:00"),
        result="Painting is on Monday at 9:00.",
    ),
    Shown(
        request="Cancel Painting.",
        call=call("delete_event", title="Painting"),
        result="Painting is deleted.",
    ),
    Shown(
        request="Ask Olga to come to Painting.",
        call=call("invite_guest", title="Painting", guest="Olga"),
        result="Olga is invited to Painting.",
    ),
    Shown(
        request="Call Painting Drawing from now on.",
        call=call("rename_event", title="Painting", new_title="Drawing"),
        result="Painting is now called Drawing.",
    ),
)


def week(rng: random.Random, events: int, *, guests: int = 0) -> State:
    """Draw a week with ``events`` events in different slots."""
    slots = rng.sample([(day, hour) for day in DAYS for hour in HOURS], events)
    return {
        "events": [
            {
                "title": title,
                "day": day,
                "time": hour,
                "guests": sorted(rng.sample(PEOPLE, min(guests, rng.randint(0, guests)))),
            }
            for title, (day, hour) in zip(rng.sample(TITLES, events), slots, strict=True)
        ]
    }


def _new(rng: random.Random, state: State) -> str:
    return rng.choice([title for title in TITLES if title not in _titles(state)])


def _free(state: State, day: str) -> list[str]:
    taken = {event["time"] for event in state["events"] if event["day"] == day}
    return [hour for hour in HOURS if hour not in taken]


def _one(text: str, tool: str) -> Callable[[random.Random], Case]:
    """Make cases of one obvious call from a text with {title}, {new}, {day}, {time}, {guest}."""

    def make(rng: random.Random) -> Case:
        state = week(rng, 4)
        title, new, day = rng.choice(_titles(state)), _new(rng, state), rng.choice(DAYS)
        time, guest = rng.choice(_free(state, day)), rng.choice(PEOPLE)
        arguments = {
            "create_event": {"title": new, "day": day, "time": time},
            "delete_event": {"title": title},
            "invite_guest": {"title": title, "guest": guest},
            "rename_event": {"title": title, "new_title": new},
        }[tool]
        request = text.format(title=title, new=new, day=day, time=time, guest=guest)
        return Case(request=request, state=state, calls=(call(tool, **arguments),))

    return make


LEVEL_1 = {
    "create_event": (
        "Create an event {new} on {day} at {time}.",
        "Please create the event {new}: {day}, {time}.",
        "I have {new} on {day} at {time}.",
        "{new} will take place on {day} at {time}.",
    ),
    "delete_event": (
        "Delete the event {title}.",
        "Please delete {title}.",
        "{title} will not take place.",
        "I no longer go to {title}.",
    ),
    "invite_guest": (
        "Invite {guest} to {title}.",
        "Make {guest} a guest of {title}.",
        "{guest} wants to join {title}.",
        "{guest} should be there for {title}.",
    ),
    "rename_event": (
        "Rename {title} to {new}.",
        "Rename the event {title}, it is {new} now.",
        "{title} should be called {new}.",
        "{title} has become {new}.",
    ),
}


def _open_hour(rng: random.Random) -> Case:
    """Two things on one day: create one, invite somebody."""
    state = week(rng, 5)
    new, day, guest = _new(rng, state), rng.choice(DAYS), rng.choice(PEOPLE)
    time = rng.choice(_free(state, day))
    return Case(
        request=f"Create {new} on {day} at {time} and invite {guest} to it.",
        state=state,
        calls=(
            call("create_event", title=new, day=day, time=time),
            call("invite_guest", title=new, guest=guest),
        ),
    )


def _when_is(rng: random.Random) -> Case:
    state = week(rng, 5)
    event = rng.choice(state["events"])
    return Case(
        request=f"On which day is {event['title']}? Answer with the day.",
        state=state,
        calls=(call("find_event", title=event["title"]),),
        answer=event["day"],
    )


def _guest_of_slot(rng: random.Random) -> Case:
    """The event is named by its slot only: look it up, then invite."""
    state = week(rng, 8)
    event, guest = rng.choice(state["events"]), rng.choice(PEOPLE)
    return Case(
        request=f"Invite {guest} to whatever I have on {event['day']} at {event['time']}, and tell "
        "me its title.",
        state=state,
        calls=(
            call("list_events", day=event["day"]),
            call("invite_guest", title=event["title"], guest=guest),
        ),
        answer=event["title"],
    )


def _swap(rng: random.Random) -> Case:
    """Two events change places: the first must make room."""
    state = week(rng, 8)
    one, two = rng.sample(state["events"], 2)
    day = rng.choice(DAYS)
    while len(_free(state, day)) < 2:
        day = rng.choice(DAYS)
    spare = _free(state, day)[0]
    return Case(
        request=f"Swap the slots of {one['title']} and {two['title']}.",
        state=state,
        calls=(
            call("find_event", title=one["title"]),
            call("find_event", title=two["title"]),
            call("move_event", title=one["title"], day=day, time=spare),
            call("move_event", title=two["title"], day=one["day"], time=one["time"]),
            call("move_event", title=one["title"], day=two["day"], time=two["time"]),
        ),
    )


def _first_free(rng: random.Random) -> Case:
    """The wanted slot is taken: the refusal says what is free."""
    state = week(rng, 14)
    event = rng.choice(state["events"])
    while not _free(state, event["day"]):
        event = rng.choice(state["events"])
    new, guests = _new(rng, state), rng.sample(PEOPLE, 2)
    time = _free(state, event["day"])[0]
    return Case(
        request=f"Book {new} on {event['day']} at {event['time']}. If that is taken, book the "
        f"earliest free hour of that day instead. Then invite {listed(guests)}.",
        state=state,
        calls=(
            call("list_events", day=event["day"]),
            call("create_event", title=new, day=event["day"], time=time),
            *(call("invite_guest", title=new, guest=guest) for guest in guests),
        ),
    )


def _clear_for(rng: random.Random) -> Case:
    """Somebody is ill: take them off everything and delete what has nobody left."""
    state = week(rng, 22, guests=3)
    events = state["events"]
    ill = max(PEOPLE, key=lambda person: sum(person in event["guests"] for event in events))
    calls = [call("list_events", day=day) for day in DAYS]
    for event in sorted(events, key=lambda event: DAYS.index(event["day"])):
        if event["guests"] == [ill]:
            calls.append(call("delete_event", title=event["title"]))
        elif ill in event["guests"]:
            calls.append(call("remove_guest", title=event["title"], guest=ill))
    return Case(
        request=f"{ill} is ill this week. Take {ill} off every event, and delete those events "
        f"whose only guest was {ill}. Leave everything else as it is.",
        state=state,
        calls=tuple(calls),
    )


def _compress(rng: random.Random) -> Case:
    """A day must be emptied into the first free hours of the next days, in order."""
    state = week(rng, 20)
    day = rng.choice(DAYS[:2])
    moving = sorted(
        (event for event in state["events"] if event["day"] == day),
        key=lambda event: HOURS.index(event["time"]),
    )
    free = [(other, hour) for other in DAYS[DAYS.index(day) + 1 :] for hour in _free(state, other)]
    pairs = list(zip(moving, free, strict=False))
    return Case(
        request=f"I am away on {day}. Move that day's events, from the earliest to the latest, "
        f"each to the earliest free slot of the days after {day} (the nearest day first).",
        state=state,
        calls=(
            *(call("list_events", day=other) for other in DAYS[DAYS.index(day) :]),
            *(
                call("move_event", title=event["title"], day=other, time=hour)
                for event, (other, hour) in pairs
            ),
        ),
    )


def _no_time(rng: random.Random) -> Case:
    state = week(rng, 5)
    new = _new(rng, state)
    return Case(
        request=f"I would like to have {new} some time. What do you need to know to book it? Do "
        "not book anything yet.",
        state=state,
    )


def _not_yours(rng: random.Random) -> Case:
    state = week(rng, 5)
    return Case(
        request=f"What will the weather be on {rng.choice(DAYS)}? If you cannot find that out, "
        "answer with the one word: unknown.",
        state=state,
        answer="unknown",
    )


LEVELS: dict[int, tuple[Kind, ...]] = {
    1: tuple(
        Kind(name=f"{tool}-{number}", make=_one(text, tool), tools=(tool,))
        for tool, texts in LEVEL_1.items()
        for number, text in enumerate(texts)
    ),
    2: (
        Kind(name="create-and-invite", make=_open_hour),
        Kind(name="when-is", make=_when_is),
    ),
    3: (Kind(name="guest-of-slot", make=_guest_of_slot), Kind(name="swap", make=_swap)),
    4: (Kind(name="first-free", make=_first_free),),
    5: (Kind(name="clear-for", make=_clear_for), Kind(name="compress", make=_compress)),
}
NO_CALL = (Kind(name="no-time", make=_no_time), Kind(name="not-yours", make=_not_yours))

OFFICE = Office(
    name="calendar",
    operations=OPERATIONS,
    shown=SHOWN,
    tool_sets=TOOL_SETS,
    levels=LEVELS,
    no_call=NO_CALL,
)
