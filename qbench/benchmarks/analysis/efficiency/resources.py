"""Six metrics of how a machine was used, after EfficientLLM (arXiv 2505.13840).

The names are the paper's. Its formulas could not be checked against its text: what is computed
here is documented at each function and in docs/efficiency.md, and is a convention of qbench's.
"""

from __future__ import annotations

import math

import numpy as np

from qbench.benchmarks.analysis.sums import Floats


def time_average(values: Floats, at: Floats) -> float:
    """Return the mean of a sampled quantity over time: the trapezoid's area over its length.

    Args:
        values: (N,) samples.
        at: (N,) seconds, ascending.

    Returns:
        NaN for no sample; the value itself for one, or where no time passed.

    """
    if not len(values):
        return math.nan
    span = float(at[-1] - at[0])
    if not span:
        return float(values.mean())
    return float(np.trapezoid(values, at)) / span


def memory_utilization(used: Floats, total: float, at: Floats) -> float:
    """Return AMU: the time average of used / total memory."""
    return time_average(used / total, at)


def compute_utilization(operations: float, seconds: float, peak: float) -> float:
    """Return PCU: achieved / peak floating-point operations a second.

    ``peak`` is of all devices together, dense, in the format that is multiplied.
    """
    return operations / seconds / peak


def throughput(number: float, seconds: float, parameters: float = 1.0) -> float:
    """Return TT (tokens), ST (samples) per parameter and second, or IT without parameters."""
    return number / seconds / parameters


def compression_ratio(baseline_bytes: float, bytes_now: float, performance: float) -> float:
    """Return MCR: size of the original / size x performance / performance of the original.

    Args:
        baseline_bytes: of the original weights.
        bytes_now: of the compressed ones.
        performance: ratio of the compressed model's performance to the original's.

    """
    return baseline_bytes / bytes_now * performance
