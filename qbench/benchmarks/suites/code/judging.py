"""From the verdicts of tests to a score: pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from qbench.benchmarks.suite import Score
from qbench.benchmarks.suites.code.executing import State
from qbench.benchmarks.suites.code.performing import placed
from qbench.benchmarks.transcript import Transcript


def judge_state(transcript: Transcript, *, scorer: str) -> Score:
    """Judge an attempt by its end state: the share of hidden tests passed; passed: all of them.

    Components: ``extraction.failed``, ``loaded`` (the program could be loaded), ``examples`` and
    ``tests`` (shares passed), ``stopped`` (at a limit of the sandbox), and where performance is
    asked for and the program is right ``dps`` and ``dps_norm``, 0 to 100. Without a program only
    the first is there.
    """
    if transcript.end_state is None:
        return Score(status="unscored", reason="The program was not run.", scorer=scorer)
    state = msgspec.convert(transcript.end_state, State)
    if state.why_none:
        parts = {"extraction.failed": 1.0}
        return Score(status="scored", reason=state.why_none, components=parts, scorer=scorer)
    passed = share(state.tests) == 1.0
    place = placed(state.measured) if state.measured else None
    speed = {"dps": place.dps, "dps_norm": place.dps_norm} if place and passed else {}
    return Score(
        status="scored",
        value=share(state.tests),
        passed=passed,
        reason=_why(state),
        components=parts_of(state) | speed,
        scorer=scorer,
    )


def parts_of(state: State) -> dict[str, float]:
    """Return the components of a program that was run."""
    parts = {
        "extraction.failed": 0.0,
        "loaded": float(not state.broken),
        "stopped": float(state.status not in ("ok", "exit")),
        "tests": share(state.tests),
    }
    if state.base:
        parts["tests.base"] = share(state.base)
    return parts | ({"examples": share(state.examples)} if state.examples else {})


def share(verdicts: Sequence[dict[str, Any]]) -> float:
    """Return the share of tests passed."""
    return sum(one["passed"] for one in verdicts) / len(verdicts) if verdicts else 0.0


def _why(state: State) -> str:
    failed = [one.get("why", "") for one in state.tests if not one["passed"]]
    if not failed:
        return ""
    return f"{len(failed)} of {len(state.tests)} hidden tests failed: {failed[0]}"
