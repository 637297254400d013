"""The grader ``ifeval``: instructions that code checks, carried in the sample's details."""

from __future__ import annotations

import importlib
from typing import Any

from qbench.benchmarks.suite import Sample, Score
from qbench.benchmarks.transcript import Transcript
from qbench.errors import ConfigError

ROOM = "qbench.benchmarks.scoring.ifeval"


def score(sample: Sample, transcript: Transcript, scorer: str) -> Score:
    """Judge by all instructions, strictly; the looser accuracies are components.

    Raises:
        ConfigError: langdetect is not installed.

    """
    names, arguments = _asked(sample)
    verdict = _part("verdict").judge(names, arguments, transcript.answer)
    passed = all(verdict.strict)
    return Score(
        status="scored",
        value=float(passed),
        passed=passed,
        reason="" if passed else f"Not followed: {', '.join(verdict.missed)}.",
        components=verdict.components,
        scorer=scorer,
    )


def right_reply(sample: Sample) -> str:
    """Make a reply that follows; empty where instructions contradict each other."""
    return _part("replies").following(*_asked(sample)) or ""


def wrong_reply(sample: Sample) -> str:
    """Make a reply that misses an instruction."""
    return str(_part("replies").missing(*_asked(sample)))


def _asked(sample: Sample) -> tuple[list[str], list[dict[str, Any]]]:
    return sample.details["instructions"], sample.details["arguments"]


def _part(name: str) -> Any:
    """Load a module that needs langdetect, which not everybody has."""
    try:
        return importlib.import_module(f"{ROOM}.{name}")
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"The grader ifeval needs {error.name}.", hint="pip install 'qbench[suites]'"
        ) from None
