"""Who takes part in a timing: anything that multiplies by a weight in some format."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct
from torch import Tensor

from qbench.kernels.formats import Format
from qbench.kernels.speed.rows import Part

Product = Callable[[Any], Tensor]
"""Maps x (M, K), or what ``prepare`` made of it, to (M, N) in bfloat16."""


class Contestant(Struct, frozen=True, kw_only=True):
    """A way to multiply, timed beside others under its name."""

    name: str
    make: Callable[[Format, Tensor], Product | None]
    """Take a format and a weight (N, K) in bfloat16 and return the product with it in that format;
    None where this contestant has none for the format, the shape or this machine. Called once per
    copy of a weight, outside of the timing. What it returns is captured in a CUDA graph: it must
    not wait for the GPU."""
    part: Part = "whole"
    prepare: Callable[[Format, Tensor], Any] | None = None
    """Where ``part`` is ``product``: what is made of x (M, K) outside of the timing; None where the
    contestant does not take so few rows."""
    finish: Callable[[Format, Tensor, Any, Tensor], Tensor] | None = None
    """Where the product leaves something undone: what makes the result of the format, the weight,
    what ``prepare`` made and what came out. Outside of the timing, for the error alone."""
    told: Callable[[Format, int, int, int], tuple[str, str]] | None = None
    """The program and its tile sizes for a format and N, K, M, where the contestant can tell."""
