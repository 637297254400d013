"""What is asked about a frontier, read from words: the same for terminal and REST."""

from __future__ import annotations

import re

from msgspec import Struct

from qbench.errors import ConfigError, NotFound
from qbench.service.reports.frontier.objectives import OBJECTIVES, Objective

GROUPINGS = ("format", "model", "family", "suite", "level", "task")
AMOUNT = re.compile(r"\$?\s*([0-9.]+(?:[eE][+-]?[0-9]+)?)\s*([A-Za-z]*)")
WORDS = {"s": "s/attempt", "gib": "GiB", "bits": "bits/weight", "tokens": "tokens/attempt"}
"""Unit behind an amount to the unit of the objective that it suits."""


class Choice(Struct, frozen=True, kw_only=True):
    """What is asked."""

    on: tuple[str, ...] = ("accuracy", "cost")
    """Two or three objectives."""
    by: str = ""
    without: str = ""
    """Shell pattern of MODEL@FORMAT, in any case."""
    budget: float | None = None
    """Of the first objective other than accuracy."""
    accuracy: float | None = None
    reference: dict[str, float] = {}
    native_only: bool = False
    also: tuple[str, ...] = ()
    """Further runs on the same samples."""

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """The chosen objectives, in the order given."""
        return tuple(OBJECTIVES[name] for name in self.on)


class Asked(Struct, frozen=True, kw_only=True):
    """The words of a choice, as a command line or an address has them."""

    on: str = "accuracy,cost"
    by: str = ""
    without: str = ""
    budget: str = ""
    accuracy: str = ""
    reference: str = ""
    native_only: bool = False
    also: tuple[str, ...] = ()


def read_choice(asked: Asked) -> Choice:
    """Read a choice from words.

    Raises:
        NotFound: an unknown objective or grouping.
        ConfigError: anything that cannot be read, or that the objectives do not allow.

    """
    chosen = _objectives(asked.on)
    if asked.by and asked.by not in GROUPINGS:
        raise NotFound.among("grouping", asked.by, GROUPINGS)
    answers = asked.budget or asked.accuracy
    if answers and (chosen[0].name != "accuracy" or chosen[1].more):
        raise ConfigError(
            "A budget or an accuracy needs a frontier of accuracy against something.",
            hint="Say --on accuracy,cost.",
        )
    return Choice(
        on=tuple(one.name for one in chosen),
        by=asked.by,
        without=asked.without.strip(),
        budget=_amount(asked.budget, chosen[1], "budget") if asked.budget else None,
        accuracy=_share(asked.accuracy) if asked.accuracy else None,
        reference=_reference(asked.reference, chosen),
        native_only=asked.native_only,
        also=asked.also,
    )


def _objectives(text: str) -> tuple[Objective, ...]:
    names = dict.fromkeys(part.strip().lower() for part in text.split(",") if part.strip())
    for name in names:
        if name not in OBJECTIVES:
            raise NotFound.among("objective", name, OBJECTIVES)
    if not 2 <= len(names) <= 3:
        raise ConfigError(
            f"A frontier has two or three objectives, not {len(names)}.",
            hint="Say, for example, --on accuracy,cost or --on accuracy,cost,latency.",
        )
    first = sorted(names, key=lambda name: name != "accuracy")
    return tuple(OBJECTIVES[name] for name in first)


def _amount(text: str, objective: Objective, what: str) -> float:
    found = AMOUNT.fullmatch(text.strip())
    try:
        value = float(found[1]) if found else 0.0
    except ValueError:
        value = 0.0
    unit = WORDS.get(found[2].lower(), "another unit") if found and found[2] else objective.unit
    dollars = text.strip().startswith("$") and not objective.unit.startswith("$")
    if not 0 < value < float("inf") or unit != objective.unit or dollars:
        raise ConfigError(
            f"Cannot read a {what} of {objective.name} from {text!r}.",
            hint=f"Write a number above 0 in {objective.unit}.",
        )
    return value


def _share(text: str) -> float:
    """Read ``60%`` or ``0.6``; ``60`` alone could be either and is refused."""
    number, percent = text.strip().removesuffix("%"), text.strip().endswith("%")
    try:
        value = float(number) / (100 if percent else 1)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise ConfigError(
            f"Cannot read an accuracy from {text!r}.", hint="Write a share, like 60% or 0.6."
        )
    return value


def _reference(text: str, chosen: tuple[Objective, ...]) -> dict[str, float]:
    """Read ``cost=0.01,accuracy=20%``."""
    known, found = {one.name: one for one in chosen}, {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, _, value = part.partition("=")
        objective = known.get(name.strip().lower())
        if objective is None:
            raise NotFound.among("objective of this frontier", name.strip(), known)
        more = objective.name == "accuracy"
        found[objective.name] = _share(value) if more else _amount(value, objective, "reference")
        if found[objective.name] == 1 and more:
            raise ConfigError("No accuracy is above 100 %.", hint="Name a lower reference.")
    return found
