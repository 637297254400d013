"""Problems that exercise performance, each with solutions from slow to fast."""

from __future__ import annotations

from qbench.benchmarks.suites.code.climb import Climb
from qbench.benchmarks.suites.code.climbs_of_numbers import PAIRS, PRIMES, RANGES
from qbench.benchmarks.suites.code.climbs_of_structures import COMMON, OVERLAP, RISING

LADDERS: dict[int, tuple[Climb, ...]] = {
    1: (RANGES,),
    2: (PAIRS,),
    3: (PRIMES, OVERLAP),
    4: (RISING,),
    5: (COMMON,),
}
