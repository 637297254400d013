"""Tasks in the style of tau-bench and tau2-bench: a policy, a world, a user who says things.

The user is scripted: what they say after each of the model's answers stands in the file. Judged
as there (arXiv 2406.12045, section 3; arXiv 2506.07982): the world must end as the expected
actions leave it, and what was to be told must have been told. The share of expected actions that
were made is a component, as another way may be right. ``scenario`` is kept with the sample for a
user that a model plays.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from qbench.benchmarks.canary import veiled_score
from qbench.benchmarks.chat import Message
from qbench.benchmarks.scoring.check import same
from qbench.benchmarks.servers.tools import ServerPool
from qbench.benchmarks.suite import Environment, FollowUp, ReferenceCall, Sample, Score
from qbench.benchmarks.suites.declared import keeping
from qbench.benchmarks.suites.declared.sampling import slug
from qbench.benchmarks.suites.drawing import named
from qbench.benchmarks.suites.mcp import WORLDS, office
from qbench.benchmarks.suites.playing import DONE, called
from qbench.benchmarks.transcript import Transcript
from qbench.benchmarks.worlds.cases import Refused, drawn, play
from qbench.errors import ConfigError, NotFound

GO_ON = "I see. Please go on."
"""What a solution says before the user has said everything."""


class Action(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tool call."""

    name: str
    arguments: dict[str, Any] = {}


class Talk(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One task: what the user wants and says, and what must come of it."""

    id: str
    says: tuple[str, ...]
    """The user's messages: the first, then one after each answer."""
    task: str = ""
    level: int = 1
    scenario: str = ""
    """Who the user is, what they want and know: for a user that a model plays."""
    state: dict[str, Any] = {}
    """The world at the start."""
    actions: tuple[Action, ...] = ()
    """What a right solution calls; the world must end as they leave it."""
    communicate: tuple[str, ...] = ()
    """What the model must have told the user, letter case and commas aside."""
    blunder: tuple[Action, ...] = ()
    """A wrong way, where calling nothing would be right: for the self-tests."""


class Conversation(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """A declared suite of conversations."""

    name: str
    world: str
    """One of qbench's: calendar, inventory, ledger, tickets, files."""
    talks: tuple[Talk, ...]
    policy: str = ""
    """The system prompt."""
    description: str = ""
    version: str = "1"
    license: str = "unknown"
    tools: tuple[str, ...] = ()
    """Offered; empty: all of the world's."""
    canary: str = ""


def converted(raw: dict[str, Any], path: Path) -> Conversation:
    """Read a definition. Raises ConfigError."""
    try:
        found = msgspec.convert(raw, Conversation)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {error}.", hint="See docs/suites.md for its keys.") from None
    if found.world not in WORLDS:
        raise NotFound.among("world", found.world, WORLDS)
    ids = [talk.id for talk in found.talks]
    twice = next((one for one in ids if ids.count(one) > 1), "")
    silent = next((talk.id for talk in found.talks if not talk.says), "")
    if twice or silent or not ids:
        what = f"the id {twice!r} comes twice" if twice else f"{silent or 'no talk'} says nothing"
        raise ConfigError(f"{path}: {what}.", hint="Give each talk an id and what the user says.")
    return found


class ConversationSuite:
    """The suite; ``name``: the full name under which it was kept."""

    generated = False
    further_tasks: tuple[str, ...] = ()
    tokens = 131_072

    def __init__(self, definition: Conversation, *, name: str = "") -> None:
        self.definition = definition
        self.name = name or f"{definition.name}@{keeping.digest(definition)}"
        self.version = definition.version
        self.description = definition.description
        self.license = definition.license
        self.tasks = tuple(dict.fromkeys(map(self._task, definition.talks)))
        self.levels = tuple(sorted({talk.level for talk in definition.talks}))

    def _task(self, talk: Talk) -> str:
        return slug(talk.task or self.definition.world)

    def samples(
        self, *, seed: int, tasks: Sequence[str], levels: Sequence[int], limit: int
    ) -> tuple[Sample, ...]:
        """Draw samples; see ``Suite.samples``."""
        asked = [
            (number, talk)
            for number, talk in enumerate(self.definition.talks)
            if self._task(talk) in tasks and talk.level in levels
        ]
        drawn(self.definition.name, seed).shuffle(asked)
        keeping.keep(self.name, self.definition)
        return tuple(named(self._sample(talk), number) for number, talk in asked[:limit])

    def _sample(self, talk: Talk) -> Sample:
        whole = self.definition
        operations = office(whole.world).operations
        calls = tuple(ReferenceCall(name=a.name, arguments=a.arguments) for a in talk.actions)
        try:
            end_state, _ = play(operations, talk.state, calls)
        except (Refused, KeyError, TypeError, ValueError) as error:
            raise ConfigError(
                f"The actions of {talk.id} cannot be done in {whole.world}: {error!r}.",
                hint="Check its state, and the names and arguments of its actions.",
            ) from None
        return Sample(
            id="",
            suite=self.name,
            task=self._task(talk),
            level=talk.level,
            family=talk.id,
            prompt=talk.says[0],
            follow_ups=tuple(FollowUp(prompt=said) for said in talk.says[1:]),
            system=whole.policy.strip(),
            tools=whole.tools or tuple(operations),
            world=whole.world,
            start_state=talk.state,
            end_state=end_state,
            reference=calls,
            details={
                "scenario": talk.scenario,
                "communicate": list(talk.communicate),
                "blunder": msgspec.to_builtins(talk.blunder),
            },
            canary=whole.canary,
        )

    def environment(self, *, slots: int) -> AbstractAsyncContextManager[Environment]:
        """Serve the world from at most ``slots`` processes."""
        return ServerPool(slots, WORLDS)

    def score(self, sample: Sample, transcript: Transcript) -> Score:
        """Judge by the end state and by what was told."""
        return veiled_score(score(sample, transcript), sample.canary)

    def solution(self, sample: Sample) -> tuple[Message, ...]:
        """Hear the user out, make the calls, and tell what is to be told."""
        waiting = (Message(role="assistant", content=GO_ON) for _ in sample.follow_ups)
        calls = (called(n, one.name, one.arguments) for n, one in enumerate(sample.reference))
        told = ". ".join(sample.details["communicate"])
        return (*waiting, *calls, Message(role="assistant", content=told or DONE))

    def blunder(self, sample: Sample) -> tuple[Message, ...]:
        """Claim to have done it; where nothing is due, do something."""
        made = msgspec.convert(sample.details["blunder"], list[Action])
        calls = (called(n, one.name, one.arguments) for n, one in enumerate(made))
        return (*calls, *(Message(role="assistant", content=DONE) for _ in (0, *sample.follow_ups)))


def score(sample: Sample, transcript: Transcript) -> Score:
    """Judge a conversation: the product of end state and communication, as tau2-bench does."""
    scorer = f"{sample.suite}:conversation/1"
    if transcript.end_state is None:
        return Score(status="unscored", reason="The end state was not read.", scorer=scorer)
    ended = same(transcript.end_state, sample.end_state)
    missing = [one for one in sample.details["communicate"] if not _told(one, transcript)]
    reason = "" if ended else "The world did not end as the expected actions leave it."
    if ended and missing:
        reason = f"The user was not told {missing[0]!r}."
    parts = {"tau.db": float(ended), "tau.communicate": float(not missing)}
    if sample.reference:
        made = sum(_made(one, transcript) for one in sample.reference)
        parts["tau.actions"] = made / len(sample.reference)
    passed = ended and not missing
    return Score(
        status="scored",
        value=float(passed),
        passed=passed,
        reason=reason,
        components=parts,
        scorer=scorer,
    )


def _told(what: str, transcript: Transcript) -> bool:
    """Whether some message of the model says ``what``."""
    wanted = what.lower().replace(",", "")
    said = (turn.message.content.lower().replace(",", "") for turn in transcript.turns)
    return any(wanted in one for one in said)


def _made(wanted: ReferenceCall, transcript: Transcript) -> bool:
    return any(
        run.name == wanted.name and run.arguments == wanted.arguments and not run.fault
        for run in transcript.tool_runs
    )
