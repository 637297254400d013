"""The suites by name. To be replaced at the merge by the real catalogue (same interface)."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import cast

from qbench.benchmarks.no_tools import no_tools
from qbench.benchmarks.suite import Environment, Sample, Score, Suite
from qbench.benchmarks.transcript import Transcript
from qbench.errors import NotFound

SUITES = {"sums": "qbench.benchmarks.catalogue:Sums"}


def load_suite(name: str) -> Suite:
    """Import and make the suite called ``name``. Raises NotFound."""
    if name not in SUITES:
        raise NotFound.among("suite", name, SUITES)
    module, _, attribute = SUITES[name].partition(":")
    return cast("Suite", getattr(importlib.import_module(module), attribute)())


class Sums:
    """Placeholder: two numbers to add."""

    name = "sums"
    version = "0"
    tasks: tuple[str, ...] = ("add",)
    levels: tuple[int, ...] = (1,)
    description = "Placeholder"

    def samples(
        self, *, seed: int, tasks: Sequence[str], levels: Sequence[int], limit: int
    ) -> tuple[Sample, ...]:
        """Generate sums."""
        return tuple(self._sample(seed, tasks[0], levels[0], n) for n in range(limit))

    def _sample(self, seed: int, task: str, level: int, n: int) -> Sample:
        prompt, answer = f"What is {n} + {n + seed}?", str(2 * n + seed)
        return Sample(
            id=f"sums-{task}-{level}-{n}-{seed}",
            suite=self.name,
            task=task,
            level=level,
            family=f"family-{n % 7}",
            prompt=prompt,
            answer=answer,
        )

    def environment(self, *, slots: int) -> AbstractAsyncContextManager[Environment]:
        """Start nothing."""
        del slots
        return no_tools()

    def score(self, sample: Sample, transcript: Transcript) -> Score:
        """Compare the answer."""
        right = transcript.answer.strip() == sample.answer
        return Score(status="scored", value=float(right), passed=right, scorer="sums/0")
