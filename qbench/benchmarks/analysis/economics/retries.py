"""At most K attempts at a problem, stopping at the first that passes.

Problem by problem, for a problem that a system never solves is not solved by trying again: with
C and R of a whole system, 1 - (1 - R)^K would promise that it is.
"""

from __future__ import annotations

import numpy as np

from qbench.benchmarks.analysis.sums import Floats


def tries(passed: Floats, n: Floats, attempts: int) -> tuple[Floats, Floats]:
    """Return the probability of a pass within K attempts, and the mean number of attempts.

    Up to the n recorded attempts both are unbiased: P(first j fail) = C(n-c, j) / C(n, j) (Chen
    et al., arXiv 2107.03374, Eq. 1), and the mean number is its sum over j < K. Beyond n it is
    (1 - c/n)^j with the recorded rate: an extrapolation.

    Args:
        passed: c, of any shape.
        n: recorded attempts, more than 0, of the same shape.
        attempts: K, at least 1.

    Raises:
        ValueError: K is below 1.

    """
    if attempts < 1:
        raise ValueError(f"at least one attempt is needed, not {attempts}")
    failing, number = np.ones_like(n), np.zeros_like(n)
    exact, rate = attempts <= n, passed / n
    for done in range(attempts):
        number += failing
        left = np.where(exact, n - done, 1.0)
        next_fails = np.where(exact, np.maximum(0.0, n - passed - done) / left, 1 - rate)
        failing = failing * next_fails
    return 1 - failing, number
