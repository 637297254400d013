"""Checks of what a suite draws: the same everywhere, distinct, and extended by a larger limit."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence

import msgspec

from qbench.benchmarks.checking.findings import Finding
from qbench.benchmarks.suite import Sample, Suite

PROGRAM = """
import sys
from qbench.benchmarks.catalogue import load_suite
suite = load_suite(sys.argv[1])
drawn = suite.samples(
    seed=int(sys.argv[2]), tasks=suite.tasks, levels=suite.levels, limit=int(sys.argv[3])
)
print("\\n".join(sample.id for sample in drawn))
"""
SECONDS = 300


def same(suite: Suite, seed: int, limit: int, samples: Sequence[Sample]) -> Finding:
    """Draw again in another process whose strings hash otherwise."""
    command = [sys.executable, "-c", PROGRAM, suite.name, str(seed), str(limit)]
    told = {"PYTHONHASHSEED": str(seed + 12345), "PYTHONPATH": os.pathsep.join(sys.path)}
    try:
        made = subprocess.run(  # noqa: S603 - our own program
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
            env=os.environ | told,
        )
    except subprocess.TimeoutExpired:
        return Finding(check="same", ok=False, detail=f"not drawn again within {SECONDS} s")
    ids = made.stdout.split("\n")[:-1]
    if made.returncode:
        last = made.stderr.strip().splitlines()[-1:] or ["no error text"]
        return Finding(check="same", ok=False, detail=f"the other process failed: {last[0]}")
    other = [one.id for one, there in zip(samples, ids, strict=False) if one.id != there]
    missed = len(other) + abs(len(samples) - len(ids))
    detail = f"{(other or ['their number'])[0]} is another there" if missed else ""
    return Finding(check="same", ok=not missed, of=len(samples), missed=missed, detail=detail)


def extends(suite: Suite, seed: int, samples: Sequence[Sample]) -> Finding:
    """Draw fewer, and compare with the first ones."""
    missed, detail = 0, ""
    for limit in sorted({1, len(samples) // 3, len(samples) - 1} - {0}):
        fewer = suite.samples(seed=seed, tasks=suite.tasks, levels=suite.levels, limit=limit)
        if fewer != tuple(samples[:limit]):
            missed, detail = missed + 1, f"a limit of {limit} draws others than the first {limit}"
    return Finding(check="extends", ok=not missed, of=len(samples), missed=missed, detail=detail)


def distinct(samples: Sequence[Sample]) -> Finding:
    """Look for equal ids, and for equal questions that are not clustered together."""
    ids = len(samples) - len({sample.id for sample in samples})
    families: dict[bytes, set[str]] = defaultdict(set)
    times: dict[bytes, int] = defaultdict(int)
    for sample in samples:
        families[_asked(sample)].add(sample.family)
        times[_asked(sample)] += 1
    loose = sum(len(names) > 1 for names in families.values())
    twice = sum(number - 1 for number in times.values())
    said = [f"{ids} ids come twice"] * bool(ids)
    said += [f"{loose} questions come twice in different families"] * bool(loose)
    said += [f"{twice} come twice, in one family"] * bool(twice and not loose)
    missed = ids + loose
    return Finding(
        check="distinct", ok=not missed, of=len(samples), missed=missed, detail="; ".join(said)
    )


def _asked(sample: Sample) -> bytes:
    """Everything that a model sees or works on, and what is right."""
    seen = (
        sample.system,
        sample.prompt,
        sample.follow_ups,
        sorted(sample.tools),
        sample.start_state,
        sample.answer,
        sample.details,
    )
    return msgspec.json.encode(seen, order="deterministic")


def tools(suite: Suite, samples: Sequence[Sample]) -> Finding:
    """Look whether each solution's calls are offered."""
    asked = [sample for sample in samples if sample.every_tool]
    if not asked:
        return Finding(check="tools", ok=None, detail="no tools")
    wrong = [
        f"{sample.id}: {call.name} is not offered"
        for sample in asked
        for message in suite.solution(sample)
        for call in message.tool_calls
        if call.name not in sample.every_tool
    ]
    return Finding(
        check="tools", ok=not wrong, of=len(asked), missed=len(wrong), detail=(wrong or [""])[0]
    )
