"""Tools at scale: a request, a catalogue of up to 3,000 tools, and what a retriever offers of it.

After Toolshed (arXiv 2410.14594): the model sees the top k of a retriever. The same number is the
same request in every task and at every level, so that retrievers, k and sizes are compared on
the same requests.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

from qbench.benchmarks.chat import Message
from qbench.benchmarks.servers.tools import ServerPool
from qbench.benchmarks.suite import Environment, Sample, Score
from qbench.benchmarks.suites.drawing import named, places
from qbench.benchmarks.suites.playing import called, played
from qbench.benchmarks.suites.tools_at_scale import scoring, world
from qbench.benchmarks.suites.tools_at_scale.catalogue import SIZES
from qbench.benchmarks.suites.tools_at_scale.offers import (
    CHOOSERS,
    KS,
    MOST,
    Offer,
    chosen,
    offer_of,
    tokens,
)
from qbench.benchmarks.suites.tools_at_scale.requests import Request, gold, request
from qbench.benchmarks.suites.tools_at_scale.tools import universe
from qbench.benchmarks.transcript import Transcript
from qbench.errors import ConfigError

SYSTEM = (
    "You work through tools. Do exactly what the user asks and nothing else, with the tools that "
    "you are given. When none of them can do it, call none and say so. End with a short answer; "
    "when asked for a value, give it in the last line."
)

WORLDS = {world.NAME: "qbench.benchmarks.suites.tools_at_scale.world:RECORDS"}


EVERY_TASK = (*(f"{chooser}@{k}" for chooser in CHOOSERS if chooser != "all" for k in KS), "all")


class ToolsAtScaleSuite:
    """The suite."""

    name = "tools-at-scale"
    version = "1"
    tasks = ("bm25@10", "oracle@10")
    """The usual ones: they load no embedding model."""
    further_tasks: tuple[str, ...] = EVERY_TASK
    tokens = 262_144
    """Asked when they are named."""
    levels = tuple(SIZES)
    description = "Tools retrieved from catalogues of 100, 300, 1,000 and 3,000 before the model"
    license = "own"
    generated = True

    def samples(
        self, *, seed: int, tasks: Sequence[str], levels: Sequence[int], limit: int
    ) -> tuple[Sample, ...]:
        """Generate samples; see ``Suite.samples``."""
        offers = {task: offer_of(task) for task in tasks}
        fits = [
            (task, level, number)
            for task, level, number in places(tasks, levels, limit)
            if task != "all" or SIZES[level] <= MOST
        ]
        if not fits and tasks:
            raise ConfigError(
                f"No level has at most {MOST} tools: all of them cannot be offered.",
                hint="Ask for --level 1.",
            )
        return tuple(named(draw(seed, offers[task], level, n), n) for task, level, n in fits)

    def environment(self, *, slots: int) -> AbstractAsyncContextManager[Environment]:
        """Serve the tools from at most ``slots`` processes."""
        return ServerPool(slots, WORLDS)

    def score(self, sample: Sample, transcript: Transcript) -> Score:
        """Judge by end state and answer, and tell what retrieval had to do with it."""
        return scoring.score(sample, transcript, scorer=f"tools-at-scale/{self.version}")

    def solution(self, sample: Sample) -> tuple[Message, ...]:
        """Make the reference's calls, then answer; empty where a needed tool is not offered."""
        return played(sample) if scoring.solvable(sample) else ()

    def blunder(self, sample: Sample) -> tuple[Message, ...]:
        """Call another tool than the one that is needed, and say that it is done."""
        last = Message(role="assistant", content="Done.")
        if not sample.reference:
            return (called(0, sample.tools[0], {}), last)
        wanted = sample.reference[0]
        wrong = [name for name in sample.tools if name != wanted.name]
        same = [n for n in wrong if universe()[n].arguments == universe()[wanted.name].arguments]
        return (called(0, (same or wrong or [wanted.name])[0], wanted.arguments), last)


def draw(seed: int, offer: Offer, level: int, number: int) -> Sample:
    """Draw one sample, still without an id. Raises ConfigError."""
    made = request(seed, number)
    names = chosen(offer, made.prompt, gold(made), seed=seed, size=SIZES[level])
    return Sample(
        id="",
        suite=ToolsAtScaleSuite.name,
        task=offer.task,
        level=level,
        family=made.family,
        prompt=made.prompt,
        system=SYSTEM,
        tools=names,
        world=world.NAME,
        start_state={"offered": list(names), "records": made.records},
        end_state={"offered": list(names), "records": made.after},
        answer=made.answer,
        reference=made.calls,
        details={"kind": made.kind, "request": number, "retrieval": _facts(names, level)},
    )


def _facts(names: Sequence[str], level: int) -> dict[str, int]:
    return {"k": len(names), "tools": SIZES[level], "tokens": tokens(names)}


def requests(seed: int, number: int) -> tuple[Request, ...]:
    """Return the first ``number`` requests: the ones that samples of ``seed`` ask."""
    return tuple(request(seed, place) for place in range(number))
