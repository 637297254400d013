"""MCP-RADAR's dimensions (Gao et al., arXiv 2505.16700), both published versions.

The versions of May 2025 (v1) and October 2025 (v2) differ, so their keys do: ``radar1.*`` has
five dimensions, ``radar2.*`` three, and DTSR means another thing in each. What the paper leaves
open is decided here:

* An erroneous call is one whose run has a fault: arguments that are not JSON or break the tool's
  schema, a tool that is not offered, a refused call, or an error that the tool answered. An
  offered tool that the reference does not use is no error: it may be a sound detour, and
  ``decision.tool_precision`` shows it.
* v1 prints its call accuracy as the mean of erroneous / total calls, which is an error rate; the
  higher-is-better form ``1 - erroneous / total`` that its text intends is used.
* An attempt without a call has no call accuracy and no error position; its other dimensions stay.
* An attempt without an error has FEP_norm 1 and no FEP; one whose only call is an error has
  FEP_norm 0.
* Tokens and seconds are raw, lower is better. The paper names no formula that maps them to
  0..1: ``relative`` is min(optimal / actual, 1) and ``min_max`` spreads systems over 0..1.
"""

from __future__ import annotations

from collections.abc import Sequence

from qbench.benchmarks.scoring.decisions import same_json
from qbench.benchmarks.suite import Sample
from qbench.benchmarks.transcript import ToolRun, Transcript


def dimensions(sample: Sample, transcript: Transcript, *, passed: bool) -> dict[str, float]:
    """Return the dimensions of one attempt of both versions; absent where without meaning.

    Keys: ``radar1.ra`` result accuracy, ``radar1.tcpa`` tool call process accuracy,
    ``radar1.fep`` first error position (1-based), ``radar1.fep_norm``, ``radar1.cre`` tokens,
    ``radar1.rte`` seconds; ``radar2.ra``, ``radar2.dtsr`` dialogue turn success rate,
    ``radar2.cre`` tokens.
    """
    runs = transcript.tool_runs
    usage = transcript.usage if transcript.own_calls else None
    tokens = None if usage is None else float(usage.prompt_tokens + usage.completion_tokens)
    errors = [bool(run.fault) for run in runs]
    parts = {
        "radar1.ra": float(passed),
        "radar1.tcpa": call_accuracy(errors),
        "radar1.fep": first_error(errors),
        "radar1.fep_norm": first_error_norm(errors),
        "radar1.cre": tokens,
        "radar1.rte": transcript.seconds,
        "radar2.ra": float(accurate(sample, runs, passed=passed)),
        "radar2.dtsr": turn_success(sample, transcript),
        "radar2.cre": tokens,
    }
    return {name: value for name, value in parts.items() if value is not None}


def call_accuracy(errors: Sequence[bool]) -> float | None:
    """Return v1's TCPA of one attempt, ``1 - erroneous calls / calls``; None without a call.

    v1 calls it DTSR in its section 3.2 and TCPA in section 4.2.
    """
    return 1 - sum(errors) / len(errors) if errors else None


def first_error(errors: Sequence[bool]) -> float | None:
    """Return v1's FEP: the 1-based position of the first erroneous call; None without one."""
    return float(list(errors).index(True) + 1) if any(errors) else None


def first_error_norm(errors: Sequence[bool]) -> float | None:
    """Return ``(FEP - 1) / (calls - 1)``, 1 without an error; None without a call."""
    if not errors:
        return None
    position = first_error(errors)
    if position is None:
        return 1.0
    return (position - 1) / (len(errors) - 1) if len(errors) > 1 else 0.0


def is_fuzzy(sample: Sample) -> bool:
    """Say whether v2 judges ``sample`` by its final call (fuzzy match), not by an answer."""
    return bool(sample.reference) and sample.answer is None


def accurate(sample: Sample, runs: Sequence[ToolRun], *, passed: bool) -> bool:
    """Return v2's result accuracy.

    With an answer to match: the suite's verdict. Fuzzy match: the last call without a fault has
    the tool and exactly the arguments of the reference's last call.
    """
    if not is_fuzzy(sample):
        return passed
    wanted = sample.reference[-1]
    last = next((run for run in reversed(runs) if not run.fault), None)
    if last is None or last.name != wanted.name:
        return False
    return same_json(last.arguments, wanted.arguments)


def turn_success(sample: Sample, transcript: Transcript) -> float | None:
    """Return v2's DTSR: successful tool calls / model calls, at most 1; fuzzy samples only.

    Parallel calls in one turn could pass 1, which the paper does not consider.
    """
    if not is_fuzzy(sample) or not transcript.turns:
        return None
    successful = sum(not run.fault for run in transcript.tool_runs)
    return min(1.0, successful / len(transcript.turns))


def relative(optimal: float, actual: float) -> float:
    """Map tokens or seconds to 0..1 against an optimum or budget: ``min(optimal / actual, 1)``."""
    return 1.0 if actual <= optimal else optimal / actual


def min_max(values: Sequence[float], *, higher_is_better: bool) -> list[float]:
    """Spread the values of several systems over 0..1, the best at 1; all 1 when they are equal."""
    low, high = min(values), max(values)
    if high == low:
        return [1.0] * len(values)
    scaled = [(value - low) / (high - low) for value in values]
    return scaled if higher_is_better else [1 - value for value in scaled]
