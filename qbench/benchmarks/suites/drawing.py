"""How a suite spreads samples over tasks and levels, and names them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import msgspec
from msgspec.structs import replace

from qbench.benchmarks.suite import Sample, Suite
from qbench.errors import ConfigError


def places(
    tasks: Sequence[str], levels: Sequence[int], limit: int
) -> Iterator[tuple[str, int, int]]:
    """Yield (task, level, number) for ``limit`` samples; a larger limit extends a smaller one."""
    pairs = [(task, level) for level in sorted(levels) for task in tasks]
    for place in range(limit):
        task, level = pairs[place % len(pairs)]
        yield task, level, place // len(pairs)


def named(sample: Sample, number: int) -> Sample:
    """Give a sample its id: place, and a digest of everything it says."""
    text = msgspec.json.encode(replace(sample, id=""), order="deterministic")
    digest = hashlib.sha256(text).hexdigest()[:10]
    return replace(sample, id=f"{sample.suite}/{sample.task}/{sample.level}/{number}-{digest}")


TRAINING_SEEDS = 1 << 62
"""Seeds from here on draw calibration data; `qbench.service.order` refuses them for a run."""


def training_samples(suite: Suite, *, seed: int, limit: int) -> tuple[Sample, ...]:
    """Draw ``limit`` samples for calibration, over all tasks and levels of ``suite``.

    A seed is part of what every random choice is derived from, so that these draws are
    independent of any evaluation's.

    Raises:
        ConfigError: the suite is a finite set, whose samples are all an evaluation's.

    """
    if not suite.generated:
        raise ConfigError(
            f"Suite {suite.name} is a finite set: calibrating on it would leak its samples.",
            hint="Calibrate on a generated suite, such as mcp, or on a text file.",
        )
    tasks, levels = suite.tasks, suite.levels
    return suite.samples(seed=TRAINING_SEEDS + seed, tasks=tasks, levels=levels, limit=limit)
