"""A generator's own verification of an answer; runs in the process of ``Limited`` only."""

from __future__ import annotations

from typing import Any

import msgspec

from qbench.benchmarks.suites.reasoning.gym import dataset


def judge(request: dict[str, Any]) -> float:
    """Return the credit for ``request["given"]``; a text its check cannot read gets none."""
    settings = msgspec.json.encode(request["settings"])
    checker = dataset(request["generator"], settings, 0)
    try:
        return float(checker.score_answer(request["given"], request["entry"]))
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError):
        return 0.0
