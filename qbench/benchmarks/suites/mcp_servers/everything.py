"""The everything task: `@modelcontextprotocol/server-everything`, a server of sample tools.

Only tools that answer the same each time are offered; its weather of three cities is fixed.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from qbench.benchmarks.suite import ReferenceCall
from qbench.benchmarks.suites.mcp_servers.cases import Example, Job, look
from qbench.benchmarks.worlds.cases import Case, Kind, call

WEATHER = {
    "New York": {"temperature": 33, "humidity": 82},
    "Chicago": {"temperature": 36, "humidity": 82},
    "Los Angeles": {"temperature": 73, "humidity": 48},
}
"""As the pinned version has it."""
MESSAGES = {"error": "Operation failed", "success": "Operation completed successfully"}
TOOLS = tuple(
    "echo get-sum get-structured-content get-annotated-message get-resource-links "
    "get-resource-reference get-tiny-image".split()
)


def _sum(first: int, second: int) -> ReferenceCall:
    return call("get-sum", a=first, b=second)


def _weather(city: str) -> ReferenceCall:
    return call("get-structured-content", location=city)


SUMS = (
    "Get the sum of {a} and {b}. Answer with the number.",
    "What is the sum of {a} and {b}? Answer with the number.",
    "Add {a} to {b} for me. Answer with the number.",
    "{a} and {b}: how much is that together? Answer with the number.",
)
CLIMATE = (
    "Get the structured content for {city}: its {what}. Answer with the number.",
    "What is the {what} in {city}? Answer with the number.",
)


def _one_sum(text: str) -> Callable[[random.Random], Case]:
    def make(rng: random.Random) -> Case:
        a, b = rng.randint(1000, 99999), rng.randint(1000, 99999)
        answer = str(a + b)
        return Case(request=text.format(a=a, b=b), state={}, calls=(_sum(a, b),), answer=answer)

    return make


def _one_weather(text: str) -> Callable[[random.Random], Case]:
    def make(rng: random.Random) -> Case:
        city, what = rng.choice(sorted(WEATHER)), rng.choice(("temperature", "humidity"))
        return Case(
            request=text.format(city=city, what=what),
            state={},
            calls=(_weather(city),),
            answer=str(WEATHER[city][what]),
        )

    return make


def _three(rng: random.Random) -> Case:
    a, b, c = (rng.randint(10_000, 9_999_999) for _ in range(3))
    return Case(
        request=f"Use the tool for sums to add {a}, {b} and {c}. Answer with the number.",
        state={},
        calls=(_sum(a, b), _sum(a + b, c)),
        answer=str(a + b + c),
    )


def _message(rng: random.Random) -> Case:
    kind = rng.choice(sorted(MESSAGES))
    return Case(
        request=f"Get the annotated message of type {kind} without its image, and repeat its text.",
        state={},
        calls=(call("get-annotated-message", messageType=kind),),
        answer=MESSAGES[kind],
    )


def _warmer(rng: random.Random) -> Case:
    one, other = rng.sample(sorted(WEATHER), 2)
    apart = abs(WEATHER[one]["temperature"] - WEATHER[other]["temperature"])
    return Case(
        request=f"By how many degrees do the temperatures of {one} and {other} differ? Answer with "
        "the number.",
        state={},
        calls=(_weather(one), _weather(other)),
        answer=str(apart),
    )


def _add_on(rng: random.Random) -> Case:
    city, more = rng.choice(sorted(WEATHER)), rng.randint(10_000, 99_999)
    return Case(
        request=f"Take the humidity in {city} and add {more} to it with the tool for sums. Answer "
        "with the number.",
        state={},
        calls=(_weather(city), _sum(WEATHER[city]["humidity"], more)),
        answer=str(WEATHER[city]["humidity"] + more),
    )


def _unknown_city(rng: random.Random) -> Case:
    """The first city is refused by the tool's own schema."""
    wrong = rng.choice(("Houston", "Phoenix", "Dallas"))
    city, more = rng.choice(sorted(WEATHER)), rng.randint(10_000, 99_999)
    temperature = WEATHER[city]["temperature"]
    return Case(
        request=f"Look up the temperature in {wrong}; if that city cannot be looked up, take "
        f"{city}. Add {more} to it with the tool for sums, and the sum to itself. Answer with the "
        "number.",
        state={},
        calls=(
            _weather(city),
            _sum(temperature, more),
            _sum(temperature + more, temperature + more),
        ),
        answer=str(2 * (temperature + more)),
    )


def _chain(rng: random.Random) -> Case:
    """All cities, then a chain of sums that each need the one before."""
    cities = rng.sample(sorted(WEATHER), 3)
    terms = [WEATHER[name]["temperature"] for name in cities]
    steps = [rng.randint(100_000, 999_999) for _ in range(4)]
    calls, total = [_weather(name) for name in cities], terms[0]
    for term in (*terms[1:], *steps):
        calls.append(_sum(total, term))
        total += term
    calls.append(call("echo", message=f"total {total}"))
    named = ", ".join(str(step) for step in steps)
    return Case(
        request=f"Add up the temperatures of {', '.join(cities)}, and to that {named}, two numbers "
        "at a time with the tool for sums. Then echo the word total and the number, and answer "
        "with the number.",
        state={},
        calls=tuple(calls),
        answer=str(total),
    )


def _spelled(rng: random.Random) -> Case:
    word = rng.choice(("harbour", "lantern", "meadow", "pepper"))
    return Case(
        request=f"How many letters has the word {word}? Answer with the number.",
        state={},
        answer=str(len(word)),
    )


def _hold(rng: random.Random) -> Case:
    a, b = rng.randint(10, 99), rng.randint(10, 99)
    return Case(
        request=f"Later on I shall want {a} and {b} added; do nothing yet. Just say all right.",
        state={},
        answer="all right",
    )


JOB = Job(
    name="everything",
    tools=TOOLS,
    operations=dict.fromkeys(TOOLS, look),
    examples=(
        Example(
            request="What is the sum of 2 and 40? Answer with the number.",
            call=_sum(2, 40),
            result="The sum of 2 and 40 is 42.",
            answer="42",
        ),
        Example(
            request="What is the humidity in Chicago? Answer with the number.",
            call=_weather("Chicago"),
            result='{"temperature":36,"conditions":"Light rain / drizzle","humidity":82}',
            answer="82",
        ),
    ),
    tool_sets=(("get-sum", "echo"), ("get-sum", "get-structured-content")),
    levels={
        1: (
            *(
                Kind(name=f"sum-{number}", make=_one_sum(text), tools=("get-sum",))
                for number, text in enumerate(SUMS)
            ),
            *(
                Kind(
                    name=f"weather-{n}", make=_one_weather(text), tools=("get-structured-content",)
                )
                for n, text in enumerate(CLIMATE)
            ),
        ),
        2: (Kind(name="three", make=_three), Kind(name="message", make=_message)),
        3: (Kind(name="warmer", make=_warmer), Kind(name="add-on", make=_add_on)),
        4: (Kind(name="unknown-city", make=_unknown_city),),
        5: (Kind(name="chain", make=_chain),),
    },
    no_call=(Kind(name="spelled", make=_spelled), Kind(name="hold", make=_hold)),
    needless=call("echo", message="hello"),
)
