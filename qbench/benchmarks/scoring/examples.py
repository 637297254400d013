"""The tests that a prompt shows, as a verifier of candidates: a deployment has those, too."""

from __future__ import annotations

from qbench.benchmarks.suite import Suite
from qbench.benchmarks.transcript import Transcript


def shows_tests(suite: Suite) -> bool:
    """Say whether the suite's end states tell which of the prompt's own tests passed."""
    return bool(getattr(suite, "shows_tests", False))


def examples_passed(transcript: Transcript) -> float:
    """Return the share of the prompt's tests that an answer passes; 0 where it was not run."""
    verdicts = (transcript.end_state or {}).get("examples") or ()
    return sum(bool(one["passed"]) for one in verdicts) / len(verdicts) if verdicts else 0.0
