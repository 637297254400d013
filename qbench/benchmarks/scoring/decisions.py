"""Tool decisions taken apart: where on the way from request to end state an attempt failed.

Each component is a number from 0 to 1 under the key ``decision.<name>``. One that has no meaning
for an attempt is absent, so that its mean over attempts is a rate among those it concerns.
``docs/tool-decisions.md`` explains them with examples.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from qbench.benchmarks.suite import Sample
from qbench.benchmarks.transcript import ToolRun, Transcript


def decompose(sample: Sample, transcript: Transcript, *, passed: bool) -> dict[str, float]:
    """Return the decision components of one attempt; ``passed`` is the suite's verdict.

    See the functions of this module for the formulas. Empty for a sample without tools.
    """
    if not sample.tools:
        return {}
    runs = transcript.tool_runs
    parts = {
        "call": call(sample, runs),
        "parse": parse(runs),
        "tool": tool(sample, runs),
        "tool_precision": tool_precision(sample, runs),
        "arguments": arguments(sample, runs),
        "recovery": recovery(runs, passed=passed),
        "state": state(sample, transcript),
        "wasted": wasted(sample, runs),
    }
    return {f"decision.{name}": value for name, value in parts.items() if value is not None}


def call(sample: Sample, runs: tuple[ToolRun, ...]) -> float | None:
    """Say whether a tool was called exactly when one was due.

    1 when ``(calls > 0) == (reference calls > 0)``, else 0. An attempted call that could not be
    read counts as a call. None when the first turn was forced to call or not to.
    """
    if sample.tool_choice != "auto":
        return None
    return float(bool(runs) == bool(sample.reference))


def parse(runs: tuple[ToolRun, ...]) -> float | None:
    """Return readable calls / attempted calls; None without an attempted call."""
    if not runs:
        return None
    return sum(run.fault != "invalid_json" for run in runs) / len(runs)


def tool(sample: Sample, runs: tuple[ToolRun, ...]) -> float | None:
    """Return the share of the reference's tools that were chosen (recall).

    ``|R & C| / |R|`` over multisets of names, R the reference's and C the attempt's, in any
    order. None where nothing is due.
    """
    if not sample.reference:
        return None
    return _matched(sample, runs).total() / len(sample.reference)


def tool_precision(sample: Sample, runs: tuple[ToolRun, ...]) -> float | None:
    """Return the share of the chosen tools that the reference has: ``|R & C| / |C|``.

    None without a call.
    """
    return _matched(sample, runs).total() / len(runs) if runs else None


def arguments(sample: Sample, runs: tuple[ToolRun, ...]) -> float | None:
    """Return the share of matched calls whose arguments equal the reference's.

    ``|R' & C'| / |R & C|``, the primed multisets being of (name, arguments). Arguments are equal
    when they are the same JSON value, 1 and 1.0 being the same and the order of keys being
    nothing; an argument left out is not equal to its default written down. None when no tool
    matched.
    """
    matched = _matched(sample, runs).total()
    if not matched:
        return None
    wanted = Counter((ref.name, _canonical(ref.arguments)) for ref in sample.reference)
    made = Counter((run.name, _canonical(run.arguments)) for run in runs)
    return (wanted & made).total() / matched


def recovery(runs: tuple[ToolRun, ...], *, passed: bool) -> float | None:
    """Say whether an attempt in which a call went wrong passed all the same.

    1 when it passed, 0 when not; None when no call had a fault (whatever the fault: a tool's
    error, an unknown tool, bad arguments, a refusal). Its mean is P(pass | a call went wrong).
    """
    return float(passed) if any(run.fault for run in runs) else None


def state(sample: Sample, transcript: Transcript) -> float | None:
    """Say whether the world ended as the reference leaves it; None when it cannot be told."""
    if sample.end_state is None or transcript.end_state is None:
        return None
    return float(same_json(transcript.end_state, sample.end_state))


def wasted(sample: Sample, runs: tuple[ToolRun, ...]) -> float | None:
    """Return the calls beyond the reference's number, as a share of the calls; lower is better.

    ``max(0, calls - reference calls) / calls``. None without a call.
    """
    return max(0, len(runs) - len(sample.reference)) / len(runs) if runs else None


def _matched(sample: Sample, runs: tuple[ToolRun, ...]) -> Counter[str]:
    return _names(sample.reference) & _names(runs)


def _names(calls: Iterable[Any]) -> Counter[str]:
    return Counter(call.name for call in calls if call.name)


def same_json(one: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> bool:
    """Say whether two JSON values are equal: 1 equals 1.0, true is no number, key order is nothing.

    Unlike Python's ``==``, for which 1 equals True.
    """
    return _canonical(one) == _canonical(other)


def _canonical(value: Mapping[str, Any] | None) -> bytes:
    """Write ``value`` so that equal JSON values have equal bytes."""
    return msgspec.json.encode(whole(value), order="deterministic")


def whole(value: Any) -> Any:
    """Turn floats without a fraction into integers, everywhere in ``value``."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: whole(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [whole(item) for item in value]
    return value
