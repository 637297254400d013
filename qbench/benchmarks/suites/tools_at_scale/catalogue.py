"""A catalogue: the first N tools in an order drawn from a seed; larger ones hold smaller ones."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import TypeVar

from qbench.benchmarks.suites.tools_at_scale.kinds import Service, kinds, services
from qbench.benchmarks.suites.tools_at_scale.tools import Tool, tools_of, universe
from qbench.benchmarks.worlds.cases import drawn
from qbench.errors import ConfigError

SIZES = {1: 100, 2: 300, 3: 1_000, 4: 3_000}
"""Tools in the catalogue, by level."""

CORE = min(SIZES.values())
"""Requests are about the first tools, which every size has: the same requests at every size."""

T = TypeVar("T")

BLOCK = 5
"""Verbs of an object that enter together."""


@lru_cache(maxsize=8)
def catalogue(seed: int, size: int) -> tuple[Tool, ...]:
    """Return ``size`` tools.

    They enter in units: two objects of one service with the same five verbs. A tool so has
    neighbours of the same object and of the same verb from the smallest catalogue on.

    Raises:
        ConfigError: there are fewer tools.

    """
    if not CORE <= size <= len(universe()):
        raise ConfigError(
            f"There is no catalogue of {size:,} tools.",
            hint=f"From {CORE} to {len(universe()):,} are possible.",
        )
    return _ordered(seed)[:size]


@lru_cache(maxsize=4)
def _ordered(seed: int) -> tuple[Tool, ...]:
    rng = drawn("tools-at-scale", "catalogue", seed)
    units = [unit for service in services().values() for unit in _units(service, rng)]
    rng.shuffle(units)
    return tuple(chain.from_iterable(units))


def _units(service: Service, rng: random.Random) -> Iterator[tuple[Tool, ...]]:
    """Yield the tools of a service in groups of two objects x five verbs."""
    for kind, rules in kinds().items():
        things = [thing for thing in service.things if thing.kind == kind and thing.served]
        rng.shuffle(things)
        verbs = list(rules.verbs)
        for pair in _batches(things, 2):
            rng.shuffle(verbs)
            for block in _batches(verbs, BLOCK):
                yield tuple(
                    tool for thing in pair for tool in tools_of(thing) if tool.verb.name in block
                )


def _batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Cut ``items`` into runs of ``size``; the last one may be shorter."""
    return (items[start : start + size] for start in range(0, len(items), size))
