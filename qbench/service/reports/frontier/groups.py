"""Parts of a run that have frontiers of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from qbench.service.domain import System
from qbench.service.reports.cost.families import model_family
from qbench.service.reports.frontier.choice import Choice
from qbench.service.reports.frontier.objectives import Cut

Part = tuple[str, Cut, Sequence[System]]


BY_SYSTEM: dict[str, Callable[[System], str]] = {
    "format": lambda system: system.format,
    "model": lambda system: system.model.rsplit("/", 1)[-1],
    "family": model_family,
}


def parts_of(cut: Cut, choice: Choice) -> Iterator[Part]:
    """Yield a name, samples and systems for each group; nothing where none is asked for.

    By format, model or family: some systems on all samples. By level or task: all systems on some
    samples. A run has one suite.
    """
    systems, outcomes = cut.evidence.run.request.systems, cut.evidence.outcomes
    if choice.by in BY_SYSTEM:
        name_of = BY_SYSTEM[choice.by]
        for name in dict.fromkeys(map(name_of, systems)):
            yield name, cut, [system for system in systems if name_of(system) == name]
    elif choice.by == "suite":
        yield cut.evidence.run.request.suite, cut, systems
    elif choice.by == "level":
        for level in np.unique(outcomes.sample_level):
            yield f"level {level}", Cut(cut.evidence, outcomes.sample_level == level), systems
    elif choice.by == "task":
        for place, task in enumerate(outcomes.tasks):
            yield task, Cut(cut.evidence, outcomes.sample_task == place), systems
