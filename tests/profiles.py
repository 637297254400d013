"""Profiles made up for tests: a grid without noise."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import product
from typing import Any

from qbench.service.profiles import Profile, Timed
from qbench.workers.profiling import summary

FIRST_S = 0.05
PER_PROMPT_TOKEN_S = 0.001
PER_TOKEN_S = 0.02


def seconds(prompt: float, output: float) -> float:
    """Return what a made-up machine takes: linear in the prompt, so that any lookup is exact."""
    return FIRST_S + PER_PROMPT_TOKEN_S * prompt + (output - 1) * PER_TOKEN_S


def made_profile(*, factor: float = 1.0, noise: float = 0.0, **changes: Any) -> Profile:
    """Make a profile whose timings are ``factor`` times the machine's; repeats differ by noise."""
    timings = tuple(
        Timed(prompt=p, output=o, seconds=factor * seconds(p, o) * (1 + noise * sign))
        for p, o, sign in product((1, 128, 512), (1, 16, 64), (-1, 1))
    )
    values: dict[str, Any] = {
        "id": "abc123abc123",
        "model": "some/model",
        "format": "bf16",
        "engine": "embedded",
        "engine_key": "k",
        "engine_version": "v",
        "hardware": "cpu-2core",
        "devices": 1,
        "architecture": "x86_64",
        "effective": "bf16",
        "kernel": "matmul",
        "path": "native",
        "checkpoint": "",
        "made_at": datetime(2026, 11, 1, tzinfo=UTC),
        "version": "0",
        "load_s": 1.0,
        "timings": timings,
        "fit": summary(timings, ()),
    }
    return Profile(**(values | changes))
