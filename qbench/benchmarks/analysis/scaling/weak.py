"""Accepting attempts by a weak test that was recorded with each: a verifier as it really errs.

Nothing is supposed of its errors. They come in bunches, on samples that invite the same mistake
again and again: a test of the same soundness whose errors were spread evenly would do better.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qbench.benchmarks.analysis.scaling.coverage import Ints, coverage
from qbench.benchmarks.analysis.scaling.strategies import PERFECT, Outlook, spent
from qbench.benchmarks.analysis.scaling.tallies import Row
from qbench.benchmarks.analysis.scaling.verifier import measured
from qbench.benchmarks.analysis.sums import Floats


@dataclass(frozen=True, kw_only=True)
class WeakTest:
    """What a weak test said of one system's attempts, on the samples of its curve."""

    row: Row
    """Its ``passed`` are the attempts that the weak test accepts."""
    right: Ints
    """(S',) attempts that it accepts and that are right."""
    truth: Ints
    """(S',) attempts that are right."""

    def answers(self, ks: Sequence[int]) -> tuple[Floats, Floats]:
        """Return the chances (S', K) of a right and of a false answer within k tries.

        The first accepted attempt is any of those accepted: right in so many of them.
        """
        taken = coverage(self.row.n, self.row.passed, ks)
        share = (self.right / np.maximum(self.row.passed, 1))[:, None]
        return np.asarray(taken * share), np.asarray(taken * (1 - share))

    def made(self, ks: Sequence[int]) -> Floats:
        """Return expected attempts (S', K), of at most k."""
        return self._tries(ks)[0]

    def outlook(self, ks: Sequence[int], *, at_once: bool) -> Outlook:
        """Return what stopping at the first accepted attempt gets and pays."""
        paid = self.row.cost[:, None] * np.asarray(ks, dtype=np.float64)
        return Outlook(
            strategy="until tested",
            ks=tuple(ks),
            passed=self.answers(ks)[0],
            cost=paid if at_once else self._tries(ks)[1],
        )

    def _tries(self, ks: Sequence[int]) -> tuple[Floats, Floats]:
        tries = measured(self.row.n, self.row.passed, PERFECT, max(ks))
        places = np.asarray(ks) - 1
        return tries.made[:, places], spent(self.row, tries)[:, places]

    def shares(self) -> Floats:
        """Return (5, S') shares of attempts: right, wrong, accepted, accepted right and wrong."""
        counts = (
            self.truth,
            self.row.n - self.truth,
            self.row.passed,
            self.right,
            self.row.passed - self.right,
        )
        return np.stack([count / self.row.n for count in counts])


def errors(shares: Floats) -> Floats:
    """Return completeness, soundness and P(right | accepted) (3, B) from means of ``shares``.

    NaN where there is no right, no wrong, or no accepted attempt.
    """
    right, wrong, taken, hit, miss = shares
    parts = np.stack([hit, miss, hit]), np.stack([right, wrong, taken])
    found: Floats = np.divide(*parts, out=np.full(parts[0].shape, np.nan), where=parts[1] > 0)
    found[1] = 1 - found[1]
    return found
