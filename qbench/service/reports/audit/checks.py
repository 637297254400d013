"""What a published table lets one recompute: each check says which rows cannot be right."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from qbench.benchmarks.analysis.printed import (
    Printed,
    agree,
    falls,
    mean,
    possible,
    queries_per_dollar,
    standard_error,
)
from qbench.service.reports.audit.table import Cells
from qbench.service.reports.audit.values import Check, CheckName, Miss

ALIKE = 3
"""Numbers that two systems must share to the last digit before they look copied."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A row with what the table leaves to its reader."""

    cells: Cells
    system: str
    """Unique in its group and case."""
    group: str
    case: str
    n: float | None
    """Tasks."""
    trials: float
    hourly: float | None
    """Dollars per hour of one GPU."""

    @property
    def name(self) -> str:
        """Group, system and case."""
        return " ".join(part for part in (self.group, self.system, self.case) if part)

    @property
    def accuracy(self) -> Printed | None:
        """As printed, else passed / attempts."""
        found = self.cells.numbers.get("accuracy")
        passed = self.cells.value("passed")
        if found is None and passed is not None and self.n:
            share = passed / (self.n * self.trials)
            return Printed(value=share, low=share, high=share)
        return found

    @property
    def cost(self) -> Printed | None:
        """Dollars per attempt; a printed zero is unknown, for nothing costs nothing."""
        found = self.cells.numbers.get("cost")
        return found if found and found.value > 0 else None


Finder = Callable[[Entry], tuple[Printed, Printed] | None]


def checks(entries: Sequence[Entry], baselines: Mapping[str, str]) -> tuple[Check, ...]:
    """Recompute everything the table allows; checks without a row are left out."""
    made = (
        _recomputed("cost of pass", "cost / accuracy", entries, _cost_of_pass),
        _recomputed("standard error", "sqrt(p (1 - p) / n), n or n - 1", entries, _error),
        _whole(entries),
        _series(entries),
        _recomputed(
            "recovery", "accuracy / the baseline's", entries, _recovery(entries, baselines)
        ),
        _recomputed(
            "queries per dollar", "3600 / (latency x price per hour x GPUs)", entries, _queries
        ),
        _reductions(entries, baselines),
        _zeros(entries),
        _copies(entries),
    )
    return tuple(one for one in made if one.checked)


def _recomputed(name: CheckName, formula: str, entries: Sequence[Entry], find: Finder) -> Check:
    found = [(entry, pair) for entry in entries if (pair := find(entry)) is not None]
    misses = tuple(_miss(entry, *pair) for entry, pair in found if not agree(*pair))
    return Check(name=name, formula=formula, checked=len(found), misses=misses)


def _miss(entry: Entry, told: Printed, made: Printed) -> Miss:
    return Miss(
        row=entry.cells.number,
        name=entry.name,
        said=f"printed {told.value:.4g}, recomputed {made.value:.4g}",
        off=told.value / made.value - 1 if made.value else None,
    )


def _cost_of_pass(entry: Entry) -> tuple[Printed, Printed] | None:
    told = entry.cells.numbers.get("cost_of_pass")
    if told is None or entry.cost is None or entry.accuracy is None:
        return None
    return told, entry.cost.over(entry.accuracy)


def _error(entry: Entry) -> tuple[Printed, Printed] | None:
    told = entry.cells.numbers.get("se")
    if told is None or entry.accuracy is None or not entry.n:
        return None
    return told, standard_error(entry.accuracy, entry.n * entry.trials)


def _queries(entry: Entry) -> tuple[Printed, Printed] | None:
    numbers = entry.cells.numbers
    told, seconds = numbers.get("qpd"), numbers.get("latency")
    if told is None or seconds is None or entry.hourly is None:
        return None
    gpus = entry.cells.value("gpus") or 1.0
    return told, queries_per_dollar(seconds, entry.hourly * gpus)


def _recovery(entries: Sequence[Entry], baselines: Mapping[str, str]) -> Finder:
    whole = {(e.group, e.case): e.accuracy for e in entries if e.system == baselines.get(e.group)}

    def find(entry: Entry) -> tuple[Printed, Printed] | None:
        told, base = entry.cells.numbers.get("recovery"), whole.get((entry.group, entry.case))
        if told is None or base is None or entry.accuracy is None:
            return None
        return told, entry.accuracy.over(base)

    return find


def _whole(entries: Sequence[Entry]) -> Check:
    """Find accuracies that no whole number of passes gives."""
    known = [
        (e, e.cells.numbers["accuracy"]) for e in entries if e.n and "accuracy" in e.cells.numbers
    ]
    misses = tuple(
        Miss(
            row=entry.cells.number,
            name=entry.name,
            said=f"{_text(entry)} % is no share of {attempts(entry):,.0f} attempts",
        )
        for entry, share in known
        if not possible(share, attempts(entry))
    )
    return Check(name="whole attempts", formula="accuracy x n", checked=len(known), misses=misses)


def _text(entry: Entry) -> str:
    """Write an accuracy with the digits that the table has."""
    text = entry.cells.text("accuracy").rstrip("% ")
    return text if "accuracy" in entry.cells.percent else f"100 x {text}"


def attempts(entry: Entry) -> float:
    """Return tasks x trials."""
    return (entry.n or 0.0) * entry.trials


def series(entry: Entry) -> list[Printed]:
    """Return pass^1, pass^2, ... without a gap."""
    made = [entry.accuracy] if entry.accuracy is not None else []
    while made and (more := entry.cells.numbers.get(f"pass_{len(made) + 1}")) is not None:
        made.append(more)
    return made


def _series(entries: Sequence[Entry]) -> Check:
    known = [(entry, found) for entry in entries if len(found := series(entry)) > 1]
    misses = tuple(
        Miss(
            row=entry.cells.number,
            name=entry.name,
            said="pass^1, pass^2, ... are "
            + ", ".join(f"{100 * one.value:.4g}" for one in found)
            + " %: they must fall, and by less each time",
        )
        for entry, found in known
        if not falls(found)
    )
    return Check(
        name="pass^k",
        formula="falls with k, by less each time",
        checked=len(known),
        misses=misses,
    )


def _reductions(entries: Sequence[Entry], baselines: Mapping[str, str]) -> Check:
    """Recompute mean(QPD / the baseline's QPD) over the cases of a system."""
    at = {(e.group, e.system, e.case): e for e in entries}
    made: list[tuple[Entry, tuple[Printed, Printed]]] = []
    for first, told, cases in _blocks(entries):
        base = [at.get((first.group, baselines.get(first.group, ""), case)) for case in cases]
        mine = [at[first.group, first.system, case] for case in cases]
        ratios = [
            one.cells.numbers["qpd"].over(two.cells.numbers["qpd"])
            for one, two in zip(mine, base, strict=True)
            if two is not None and "qpd" in one.cells.numbers and "qpd" in two.cells.numbers
        ]
        if len(ratios) == len(cases):
            made.append((first, (told, mean(ratios))))
    misses = tuple(_miss(entry, *pair) for entry, pair in made if not agree(*pair))
    formula = "mean over cases of queries per dollar / the baseline's"
    return Check(name="cost reduction", formula=formula, checked=len(made), misses=misses)


def _blocks(entries: Sequence[Entry]) -> Iterator[tuple[Entry, Printed, list[str]]]:
    """Yield the first row of each system, its printed reduction, and its cases."""
    blocks: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        blocks.setdefault((entry.group, entry.system), []).append(entry)
    for block in blocks.values():
        told = block[0].cells.numbers.get("reduction")
        if told is not None:
            yield block[0], told, [entry.case for entry in block]


def _zeros(entries: Sequence[Entry]) -> Check:
    known = [entry for entry in entries if "cost" in entry.cells.numbers]
    misses = tuple(
        Miss(
            row=entry.cells.number,
            name=entry.name,
            said="costs $0: taken as unpriced, for nothing costs nothing",
        )
        for entry in known
        if entry.cost is None
    )
    return Check(name="unpriced zero", formula="cost > 0", checked=len(known), misses=misses)


def _copies(entries: Sequence[Entry]) -> Check:
    """Find rows of different systems whose accuracies are the same to the last digit."""
    roles = ("accuracy", *(f"pass_{k}" for k in range(2, 10)))
    known = []
    for entry in entries:
        texts = tuple(text for role in roles if (text := entry.cells.text(role)) and _told(text))
        if len(texts) >= ALIKE:
            known.append((entry, (entry.group, entry.case, *texts)))
    first: dict[tuple[str, ...], Entry] = {}
    misses = [
        Miss(
            row=entry.cells.number,
            name=entry.name,
            said=f"all its numbers are those of {other.system}, to the last digit",
        )
        for entry, key in known
        if (other := first.setdefault(key, entry)) is not entry
    ]
    return Check(
        name="copied numbers",
        formula="no two systems share every number",
        checked=len(known),
        misses=tuple(misses),
    )


def _told(text: str) -> bool:
    """Whether a number says something: zeros and hundreds are shared by chance."""
    return text.strip("$% ").strip("0.") not in ("", "1")
