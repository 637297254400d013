"""Who takes part on a layer: a contestant with a format, its weights made, ready to be timed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from msgspec import Struct
from torch import Tensor

from qbench.errors import EngineError
from qbench.kernels.checking.exact import exact_inputs, exact_weight, relative_error
from qbench.kernels.formats import Format
from qbench.kernels.speed.contestant import Contestant, Product
from qbench.kernels.speed.timing import Machine, Start, copies_for, turns_for
from qbench.kernels.speed.work import bytes_moved

SAMPLED_INPUTS, SAMPLED_OUTPUTS = 16, 1024
"""Rows and columns of a result that are compared with float64: enough to tell a wrong kernel."""
WRONG = 0.25
"""Relative error from which a product is wrong: 4-bit activations err by about 0.12."""


class Stage(Struct, kw_only=True):
    """A layer's weight and inputs, which all entrants share."""

    weight: Tensor
    """(N, K) bfloat16."""
    machine: Machine
    source: torch.Generator
    exact: dict[str, Tensor] = {}
    """Format to rows of its weight in float64, those of ``outputs``."""

    @property
    def outputs(self) -> Tensor:
        """Rows of the weight that errors are found on, the first and the last among them."""
        return _spread(len(self.weight), SAMPLED_OUTPUTS, self.weight.device)

    def inputs(self, m: int, copies: int) -> list[Tensor]:
        """Return random inputs (m, K), normally distributed."""
        columns = self.weight.shape[1]
        shape = (m, columns)
        drawn = (
            torch.randn(shape, device=self.weight.device, generator=self.source)
            for _ in range(copies)
        )
        return [one.bfloat16() for one in drawn]

    def error(self, fmt: Format, x: Tensor, made: Tensor) -> float:
        """Return the error of ``made`` (M, N) on a sample, against float64 of unrounded inputs."""
        rows, columns = _spread(len(x), SAMPLED_INPUTS, x.device), self.outputs
        if fmt.name not in self.exact:
            self.exact[fmt.name] = exact_weight(fmt, self.weight, columns)
        wanted = exact_inputs(fmt, x[rows]) @ self.exact[fmt.name].T
        return relative_error(made[rows][:, columns], wanted)


def _spread(size: int, most: int, device: torch.device) -> Tensor:
    """Return up to ``most`` places from 0 to ``size`` - 1, evenly, both ends among them."""
    places = torch.linspace(0, size - 1, min(size, most), device=device, dtype=torch.float64)
    found: Tensor = places.round().long().unique()
    return found


class Ready(Struct, frozen=True, kw_only=True):
    """An entrant at one M: its graph and how far its result is from the exact one."""

    start: Start
    calls: int
    error: float


class Entrant:
    """A contestant with a format, on one layer."""

    def __init__(self, contestant: Contestant, fmt: Format, stage: Stage) -> None:
        self.contestant = contestant
        self.format = fmt
        self._stage = stage
        self._products: list[Product] = []

    def make(self, m: int) -> bool:
        """Make the weights that ``m`` and more rows need; False where there is no such product."""
        missing = self.copies(m) - len(self._products)
        for _ in range(missing):
            product = self.contestant.make(self.format, self._stage.weight.clone())
            if product is None:
                return False
            self._products.append(product)
        return True

    def ready(self, xs: Sequence[Tensor], floor_us: float) -> Ready | None:
        """Run it once on each of ``xs``, check the result, capture the graph.

        Returns None where it does not take so few rows. Raises EngineError where its result is
        wrong, and what the contestant raises.
        """
        contestant, fmt, copies = self.contestant, self.format, self.copies(len(xs[0]))
        given = [contestant.prepare(fmt, x) if contestant.prepare else x for x in xs[:copies]]
        if given[0] is None:
            return None
        products = self._products[:copies]
        error = self._error(xs[0], given[0], products[0](given[0]))
        for product, one in zip(products, given, strict=True):
            product(one)
        self._stage.machine.settle()
        turns = turns_for(copies, floor_us)
        return Ready(
            start=self._stage.machine.capture(products, given, turns),
            calls=turns * copies,
            error=error,
        )

    def copies(self, m: int) -> int:
        """Return how many copies of weight, x and result make caches useless at ``m`` rows."""
        n, k = self._stage.weight.shape
        moved = bytes_moved(self.format, n, k, m, self.contestant.part)
        return copies_for(moved, self._stage.machine.cache)

    def _error(self, x: Tensor, given: Any, made: Tensor) -> float:
        """Return the error of a result. Raises EngineError where it is wrong or not a number."""
        contestant = self.contestant
        if contestant.finish is not None:
            made = contestant.finish(self.format, self._stage.weight, given, made)
        error = self._stage.error(self.format, x, made)
        if not error < WRONG:
            raise EngineError(f"its result is wrong: relative error {error:.2g}")
        return error
