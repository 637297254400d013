r"""Two mathematical texts compared by math-verify; runs in the process of ``Limited`` only.

math-verify takes ``9=3`` for 3 (the last side counts). Here the sides before the last must be
names (``x = 3``) or equal it.
"""

from __future__ import annotations

from typing import Any

from math_verify import LatexExtractionConfig, parse, verify
from sympy import Basic, Eq

_READ = [LatexExtractionConfig(boxed_match_priority=0)]


def same(request: dict[str, Any]) -> bool:
    """Whether ``request["given"]`` equals ``request["wanted"]``.

    ``relative`` and ``absolute`` are how far a real number may be off.
    """
    wanted, given = _parsed(request["wanted"]), _parsed(request["given"])
    if not wanted or not given or any(_contradicts(part) for part in given):
        return False
    if verify(wanted, given, timeout_seconds=None):
        return True
    most = (float(request["relative"]), float(request["absolute"]))
    return any(most) and _near(_value(wanted[0]), _value(given[0]), most)


def _parsed(text: str) -> list[Any]:
    boxed = f"\\boxed{{{text}}}"
    return list(parse(boxed, _READ, fallback_mode="no_fallback", parsing_timeout=None))


def _contradicts(part: object) -> bool:
    """Whether ``part`` is an equation of two different numbers."""
    if not isinstance(part, Eq) or part.free_symbols:
        return False
    return not verify(part.lhs, part.rhs, timeout_seconds=None)


def _value(part: object) -> float | None:
    """Return what ``part``, or the right side of ``x = part``, is worth as a real number."""
    expression = part.rhs if isinstance(part, Eq) else part
    if not isinstance(expression, Basic) or expression.free_symbols:
        return None
    try:
        return float(expression.doit().evalf())
    except (TypeError, ValueError, AttributeError, OverflowError):
        return None


def _near(wanted: float | None, given: float | None, most: tuple[float, float]) -> bool:
    if wanted is None or given is None:
        return False
    return abs(wanted - given) <= max(abs(wanted) * most[0], most[1])
