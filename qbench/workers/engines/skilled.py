"""A fake model of known skill on any suite: it knows a way that passes and one that fails.

Made by ``qbench suites script SUITE``: a file of samples, each with the messages of a solution and
of a blunder. Which of them is played is drawn; a conversation goes on as it began. A sample is
known by its id, and by its prompt where the request comes over a wire that tells no id.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import msgspec
from msgspec import Struct

from qbench.benchmarks.chat import Message
from qbench.errors import ConfigError
from qbench.workers.engines.behaviours import Asked, Behaviour, Draw, ScriptedTurn

NOTHING = Message(role="assistant")
"""Said where the suite knows no solution: some questions contradict themselves."""


class Known(Struct, frozen=True, kw_only=True):
    """What the fake knows of one sample."""

    prompt: str
    level: int = 1
    solution: tuple[Message, ...]
    blunder: tuple[Message, ...]


class Knowledge(Struct, frozen=True, kw_only=True):
    """The file."""

    suite: str
    samples: dict[str, Known]


@lru_cache(maxsize=8)
def _read(path: str, changed_ns: int) -> Knowledge:
    del changed_ns
    try:
        return msgspec.json.decode(Path(path).read_bytes(), type=Knowledge)
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigError(
            f"{path} holds no solutions: {error}.",
            hint="Make it: qbench suites script SUITE -n 100 --out FILE.json",
        ) from error


def knowledge(path: str) -> Knowledge:
    """Read a file of solutions. Raises ConfigError."""
    try:
        changed = Path(path).stat().st_mtime_ns
    except OSError:
        changed = 0
    return _read(path, changed)


def skilled(
    known: Knowledge, accuracy: float, draw: Draw, *, decline: float = 0.0, again: str = ""
) -> Behaviour:
    """Play the solution with probability ``accuracy``, less ``decline`` for each level above 1.

    At temperature 0 the draw belongs to the prompt, so that systems of different accuracy fail on
    nested sets; else every conversation is drawn anew.
    """
    count = 0
    find = _finder(known.samples)

    def reply(asked: Asked) -> ScriptedTurn:
        nonlocal count
        place, sample = find(asked)
        said = [m for m in asked.messages[place + 1 :] if m.role == "assistant"]
        begun = [way for way in (sample.solution, sample.blunder) if _began(way, said)]
        if said and len(begun) < 2:
            played = begun[0] if begun else sample.blunder
        else:  # both ways begin alike so far: which is played is drawn where they part
            count += 1
            drawn = ("anew", again, count) if asked.temperature else ("skill", asked.seed)
            luck = draw(*drawn, asked.about or sample.prompt)
            skill = accuracy - decline * (sample.level - 1)
            played = sample.solution if luck < skill else sample.blunder
        return _turn(played[min(len(said), len(played) - 1)] if played else NOTHING)

    return reply


Find = Callable[[Asked], tuple[int, Known]]
"""Returns the place of the prompt among the messages, and what is known of the sample."""


def _finder(samples: Mapping[str, Known]) -> Find:
    prompts = {sample.prompt: sample for sample in samples.values()}
    longest = sorted(prompts, key=len, reverse=True)

    def find(asked: Asked) -> tuple[int, Known]:
        if asked.about in samples:
            known = samples[asked.about]
            return _place(asked.messages, known.prompt), known
        for place, content in reversed(_said(asked.messages)):
            for prompt in (content,) if content in prompts else longest:
                if prompt in content:
                    return place, prompts[prompt]
        raise ConfigError(
            f"No solution is known for the prompt {asked.prompt[:80]!r}.",
            hint="Make the file with the run's own suite, seed, levels and number of samples.",
        )

    return find


def _said(messages: Sequence[Message]) -> list[tuple[int, str]]:
    return [(place, m.content) for place, m in enumerate(messages) if m.role == "user"]


def _place(messages: Sequence[Message], prompt: str) -> int:
    """Find the message that asks ``prompt``; -1 where a strategy put it in words of its own."""
    places = [place for place, content in _said(messages) if prompt in content]
    return places[-1] if places else -1


def _began(way: Sequence[Message], said: Sequence[Message]) -> bool:
    """Whether a conversation so far is the beginning of ``way``."""
    ours, theirs = map(_essence, way), map(_essence, said[: len(way)])
    return bool(way) and all(one == other for one, other in zip(ours, theirs, strict=False))


def _essence(message: Message) -> tuple[str, list[tuple[str, str]]]:
    return message.content, [(call.name, call.arguments) for call in message.tool_calls]


def _turn(message: Message) -> ScriptedTurn:
    calls = tuple((call.name, call.arguments) for call in message.tool_calls)
    return ScriptedTurn(say=message.content, think=message.reasoning, calls=calls)
