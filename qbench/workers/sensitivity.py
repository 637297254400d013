"""Which layers suffer, and which to keep wider: measured layer by layer, chosen exactly.

Units are layers that run as one (q, k and v; gate and up): vLLM gives them one format. Each unit is
quantized alone, and the model's next-token distributions are compared with its own: the mean
Kullback-Leibler divergence, in nats per token (ZeroQ, arXiv 2001.00281, 3.2). Errors of units are
taken to add up (the same, 3.3), so the best choice under a size is a knapsack, solved exactly.
Needs no torch: ``sensitivity_measure`` does the arithmetic, in a process of its own.
"""

from __future__ import annotations

import random
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
from msgspec import Struct
from scipy.optimize import Bounds, LinearConstraint, milp

from qbench.errors import ConfigError
from qbench.workers.quantize.identity import Progress
from qbench.workers.quantize.running import run_maker

Measure = Literal["kl", "output"]
"""``kl``: above. ``output``: squared relative error of the unit's own outputs, no model run."""

SECONDS = 60.0
"""Longest search for the best choice; the bound on what is left is zero in practice."""


class Choice(Struct, frozen=True, kw_only=True):
    """A unit in one format."""

    format: str
    bits: int
    """Codes and scales of all its layers."""
    error: float
    """By the measure that was asked for."""
    output_error: float
    """``|(Q - W) X| / |W X|`` over the calibration inputs of all its layers."""
    weight_error: float
    """``|Q - W|^2 / |W|^2``."""


class Unit(Struct, frozen=True, kw_only=True):
    """Layers that run as one."""

    names: list[str]
    weights: int
    choices: list[Choice]
    """The wanted format first, then the wider ones."""

    @property
    def pattern(self) -> str:
        """A regular expression that is found in the names of its layers and in no others."""
        parent, _, end = self.names[0].rpartition(".")
        ends = [name.rpartition(".")[2] for name in self.names]
        last = re.escape(end) if len(ends) == 1 else f"({'|'.join(map(re.escape, ends))})"
        return rf"^{re.escape(parent)}\.{last}$"


class Budget(Struct, frozen=True, kw_only=True):
    """What the choice may cost: one of the two."""

    bits: float | None = None
    """Mean bits of a weight over all units, scales included."""
    error: float | None = None
    """Sum of the units' errors."""


class Check(Struct, frozen=True, kw_only=True):
    """A whole model in mixed formats, measured on text that no unit was measured on."""

    name: str
    bits_per_weight: float
    error: float
    """Mean divergence from the unquantized model, in nats per token."""
    predicted: float | None
    """Sum of its units' errors; None where they measure something else."""


class Suggestion(Struct, frozen=True, kw_only=True):
    """Which unit gets which format."""

    formats: list[str]
    """In the order of the units."""
    bits_per_weight: float
    error: float
    """Sum of the units' errors."""


class Report(Struct, frozen=True, kw_only=True):
    """What was measured and what follows."""

    format: str
    measure: Measure
    recipe: str
    tokens: int
    units: list[Unit]
    suggestion: Suggestion
    checks: list[Check]
    seconds: float

    @property
    def layers(self) -> dict[str, str]:
        """Patterns and formats of all units that are not in the wanted one: for ``quantize``."""
        chosen = zip(self.units, self.suggestion.formats, strict=True)
        return {unit.pattern: name for unit, name in chosen if name != self.format}


class Study(Struct, frozen=True, kw_only=True):
    """What is to be measured; written as JSON for the measuring process."""

    checkpoint: str
    out: str
    """File for the report."""
    format: str
    others: list[str]
    """Wider formats that a unit may have instead; ``bf16`` keeps it."""
    tokens: str
    """File of JSON lines, each a list of token ids: what units are measured on."""
    probe: str
    """Likewise: what whole models are checked on."""
    budget: Budget
    measure: Measure = "kl"
    recipe: str = "rtn"
    checks: int = 5
    """Random choices of the same size to compare the suggestion with; -1: no checks at all."""
    seed: int = 0


def study(what: Study, progress: Progress) -> Report:
    """Measure in a process of its own and return the report.

    Raises:
        QuantizationFailed: with the reason.

    """
    with tempfile.TemporaryDirectory() as folder:
        file, out = Path(folder) / "study.json", Path(folder) / "report.json"
        file.write_bytes(msgspec.json.encode(msgspec.structs.replace(what, out=str(out))))
        module = "qbench.workers.sensitivity_measure"
        run_maker(
            [sys.executable, "-m", module, str(file)],
            progress,
            failure="The layers were not measured",
        )
        return msgspec.json.decode(out.read_bytes(), type=Report)


def read_budget(size: str, error: float | None) -> Budget:
    """Read ``4.8bits`` or ``4.8``, or an error. Raises ConfigError unless just one is given."""
    if bool(size) == (error is not None):
        raise ConfigError(
            "A suggestion needs a budget: of size, or of error, not both.",
            hint="Add --budget 4.8bits, or --max-error 0.05.",
        )
    if error is not None:
        return Budget(error=error)
    found = re.fullmatch(r"\s*(\d+(\.\d+)?)\s*(bits?)?\s*", size)
    if found is None:
        raise ConfigError(
            f"{size!r} is no size.", hint="Give bits per weight, scales included: 4.8bits."
        )
    return Budget(bits=float(found[1]))


def suggest(units: Sequence[Unit], budget: Budget) -> Suggestion:
    """Return the choice with the least error within a size, or the smallest within an error.

    Raises:
        ConfigError: no choice keeps the budget; says what is possible.

    """
    errors = np.array([choice.error for unit in units for choice in unit.choices])
    bits = np.array([choice.bits for unit in units for choice in unit.choices], dtype=float)
    total = sum(unit.weights for unit in units)
    _refuse_impossible(units, budget, total)
    if budget.bits is not None:
        goal, limited, limit = errors, bits, budget.bits * total
    else:
        goal, limited, limit = bits, errors, budget.error or 0.0
    owners = [at for at, unit in enumerate(units) for _ in unit.choices]
    once = np.zeros((len(units), len(owners)))
    once[owners, range(len(owners))] = 1
    rules = [
        LinearConstraint(once, 1, 1),
        LinearConstraint(_scaled(np.where(limited <= limit, limited, 0.0), limit), -np.inf, 1),
    ]
    solved = milp(
        _scaled(goal, float(goal.max())),
        constraints=rules,
        integrality=np.ones(len(owners)),
        bounds=Bounds(0, np.where(limited <= limit, 1.0, 0.0)),
        options={"time_limit": SECONDS, "mip_rel_gap": 0},
    )
    if solved.x is None:
        raise ConfigError(f"No choice was found: {solved.message}", hint="Allow a little more.")
    picked = [int(at) for at in np.flatnonzero(solved.x > 0.5)]
    return _suggestion(units, picked, total)


def _scaled(values: np.ndarray, by: float) -> np.ndarray:
    return values / by if by > 0 else values


def _suggestion(units: Sequence[Unit], picked: Sequence[int], total: int) -> Suggestion:
    flat = [choice for unit in units for choice in unit.choices]
    chosen = [flat[at] for at in picked]
    return Suggestion(
        formats=[choice.format for choice in chosen],
        bits_per_weight=sum(choice.bits for choice in chosen) / total,
        error=sum(choice.error for choice in chosen),
    )


def _refuse_impossible(units: Sequence[Unit], budget: Budget, total: int) -> None:
    smallest = sum(min(choice.bits for choice in unit.choices) for unit in units) / total
    least = sum(min(choice.error for choice in unit.choices) for unit in units)
    if budget.bits is not None and budget.bits < smallest:
        raise ConfigError(
            f"{budget.bits:g} bits per weight are less than these formats take: "
            f"{smallest:.3f} at least.",
            hint="Allow more, or choose a smaller --format.",
        )
    if budget.error is not None and budget.error < least:
        raise ConfigError(
            f"An error of {budget.error:g} cannot be kept: {least:.3g} is the least.",
            hint="Allow more, or let layers stay in 16 bits: --other bf16.",
        )


def described(units: Sequence[Unit], formats: Sequence[str]) -> Suggestion:
    """Return what a choice of formats costs, by the units' own numbers."""
    picked, start = [], 0
    for unit, name in zip(units, formats, strict=True):
        picked.append(start + [choice.format for choice in unit.choices].index(name))
        start += len(unit.choices)
    return _suggestion(units, picked, sum(unit.weights for unit in units))


def spread_choice(units: Sequence[Unit], like: Suggestion, order: Sequence[int]) -> list[str]:
    """Widen units in ``order`` as long as the size of ``like`` is kept; widest format first."""
    formats = [unit.choices[0].format for unit in units]
    total = sum(unit.weights for unit in units)
    left = like.bits_per_weight * total - sum(unit.choices[0].bits for unit in units)
    widened = {name for name in like.formats if name != formats[0]}
    for at in order:
        unit = units[at]
        for choice in sorted(unit.choices[1:], key=lambda one: -one.bits):
            if choice.format in widened and choice.bits - unit.choices[0].bits <= left:
                formats[at] = choice.format
                left -= choice.bits - unit.choices[0].bits
                break
    return formats


def rivals(units: Sequence[Unit], like: Suggestion, count: int, seed: int) -> dict[str, list[str]]:
    """Return choices of the same size without knowledge: evenly spread, first layers, random."""
    stride = max(1, round(len(units) * 0.618))
    while np.gcd(stride, len(units)) != 1:
        stride += 1
    found = {
        "evenly spread": spread_choice(
            units, like, [at * stride % len(units) for at in range(len(units))]
        ),
        "first layers": spread_choice(units, like, range(len(units))),
    }
    draw = random.Random(seed)  # noqa: S311 - no secret
    for number in range(count):
        order = draw.sample(range(len(units)), len(units))
        found[f"random {number + 1}"] = spread_choice(units, like, order)
    return found
