"""A published table recomputed and judged: ``qbench audit TABLE``.

Nothing is known but what the table prints: not which samples were passed, so every comparison is
unpaired, and not how costs vary, so they are taken as they stand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from qbench.benchmarks.analysis.comparison.multiplicity import holm
from qbench.benchmarks.analysis.comparison.paired import verdict
from qbench.benchmarks.analysis.comparison.unpaired import Gap, gap
from qbench.benchmarks.analysis.frontier.aggregates import Aggregate, standings
from qbench.benchmarks.analysis.printed import effective
from qbench.benchmarks.analysis.rates import wilson
from qbench.errors import ConfigError, NotFound
from qbench.service.reports.audit.checks import Entry, attempts, checks, series
from qbench.service.reports.audit.table import Cells, Table, read_table
from qbench.service.reports.audit.values import Audit, AuditRow, Check
from qbench.service.reports.evidence import estimate
from qbench.service.reports.values import Verdict


class Reading(Struct, frozen=True, kw_only=True):
    """What a table's reader knows and the table does not say."""

    columns: dict[str, str] = {}
    """Meaning to column."""
    n: dict[str, float] = {}
    """Tasks by group; under the empty name those of all others."""
    trials: float = 1.0
    """Attempts at each task."""
    prices: dict[str, float] = {}
    """Dollars per hour of one GPU, by ``NAMExCOUNT`` or by name."""
    baseline: str = ""
    """A system; empty for the first row of each group."""
    group: str = ""
    """Only this one."""
    margin: float = 0.05


def audit(path: Path, reading: Reading) -> Audit:
    """Recompute and judge a published table.

    Raises:
        ConfigError: the table cannot be read, or says nothing about results.
        NotFound: no such column, group or baseline.

    """
    table = read_table(path, reading.columns)
    entries = _entries(table, reading)
    baselines = _baselines(entries, reading.baseline)
    found = checks(entries, baselines)
    rows = _rows(entries, baselines, reading.margin)
    if not found and not any(row.accuracy is not None for row in rows):
        raise ConfigError(
            f"{table.name} says nothing about results: no accuracy, nor anything to recompute.",
            hint="Name the columns: --map accuracy=COLUMN,cost=COLUMN,system=COLUMN",
        )
    return Audit(
        table=table.name,
        columns=table.columns,
        ignored=table.ignored,
        rows=rows,
        checks=found,
        baselines=baselines if any(row.verdict for row in rows) else {},
        margin=reading.margin,
        notes=tuple(_notes(entries, rows)),
        finding=_finding(found, rows),
    )


def _entries(table: Table, reading: Reading) -> list[Entry]:
    groups = dict.fromkeys(cells.text("group") for cells in table.rows)
    if reading.group and reading.group not in groups:
        raise NotFound.among("group", reading.group, groups)
    unknown = [name for name in reading.n if name and name not in groups]
    if unknown:
        raise NotFound.among("group", unknown[0], groups)
    seen: dict[tuple[str, str, str], int] = {}
    made = []
    for cells in table.rows:
        if reading.group in ("", cells.text("group")):
            key = (cells.text("group"), cells.text("case"), cells.text("system"))
            seen[key] = seen.get(key, 0) + 1
            made.append(_entry(cells, reading, seen[key]))
    return made


def _entry(cells: Cells, reading: Reading, time: int) -> Entry:
    group = cells.text("group")
    name = cells.text("system") or f"row {cells.number}"
    gpu, gpus = cells.text("gpu"), cells.value("gpus") or 1.0
    prices = reading.prices
    return Entry(
        cells=cells,
        system=name if time == 1 else f"{name} #{time}",
        group=group,
        case=cells.text("case"),
        n=cells.value("n") or reading.n.get(group, reading.n.get("")),
        trials=cells.value("trials") or reading.trials,
        hourly=prices.get(f"{gpu}x{gpus:.0f}", prices.get(gpu)),
    )


def _baselines(entries: Sequence[Entry], wanted: str) -> dict[str, str]:
    """Return the baseline of each group; groups without the wanted one have none."""
    if not wanted:
        return {entry.group: entry.system for entry in reversed(entries)}
    found = {e.group: e.system for e in entries if e.system.lower() == wanted.lower()}
    if not found:
        raise NotFound.among("system", wanted, {entry.system for entry in entries})
    return found


def _rows(
    entries: Sequence[Entry], baselines: Mapping[str, str], margin: float
) -> tuple[AuditRow, ...]:
    rated = [entry for entry in entries if entry.accuracy is not None]
    verdicts = _verdicts(rated, baselines, margin)
    places = _frontiers(rated)
    return tuple(
        _row(entry, verdicts.get(at), *places.get(at, (False, None)))
        for at, entry in enumerate(rated)
    )


def _row(entry: Entry, judged: Verdict | None, now: bool, share: float | None) -> AuditRow:
    accuracy, n = _accuracy(entry), _size(entry)
    low, high = wilson(accuracy * n, n) if n else (None, None)
    cost = entry.cost.value if entry.cost else None
    return AuditRow(
        row=entry.cells.number,
        system=entry.system,
        group=entry.group,
        n=n,
        accuracy=accuracy,
        low=low,
        high=high,
        cost=cost,
        cost_of_pass=_per_pass(cost, accuracy),
        cost_of_pass_low=_per_pass(cost, high),
        cost_of_pass_high=_per_pass(cost, low),
        verdict=judged,
        undominated=now,
        on_frontier=share,
    )


def _accuracy(entry: Entry) -> float:
    assert entry.accuracy is not None
    return min(1.0, entry.accuracy.value)


def _size(entry: Entry) -> float | None:
    """Return how many independent attempts a row's accuracy is worth; None where n is unknown."""
    if not entry.n:
        return None
    found = [one.value for one in series(entry)]
    return effective(_accuracy(entry), found[1] if len(found) > 1 else None, entry.n, entry.trials)


def _per_pass(cost: float | None, accuracy: float | None) -> float | None:
    if cost is None or accuracy is None:
        return None
    return cost / accuracy if accuracy else float("inf")


def _verdicts(
    entries: Sequence[Entry], baselines: Mapping[str, str], margin: float
) -> dict[int, Verdict]:
    """Judge every row against its group's baseline; p adjusted over the whole table (Holm)."""
    base = {(e.group, e.case): e for e in entries if e.system == baselines.get(e.group)}
    gaps: dict[int, Gap] = {}
    made: dict[int, Verdict] = {}
    for at, entry in enumerate(entries):
        other = base.get((entry.group, entry.case))
        n, m = _size(entry), _size(other) if other else None
        if other is entry:
            made[at] = Verdict(kind="baseline")
        elif other and n and m:
            gaps[at] = gap((_accuracy(entry), n), (_accuracy(other), m))
    adjusted = holm([one.p for one in gaps.values()])
    for (at, one), p in zip(gaps.items(), adjusted, strict=True):
        kind = verdict(one, p, margin)
        made[at] = Verdict(kind=kind, difference=estimate(one.value, one.interval), p=p)
    return made if gaps else {}


def _frontiers(entries: Sequence[Entry]) -> dict[int, tuple[bool, float | None]]:
    """Return who is undominated in each group, and how probably."""
    groups: dict[tuple[str, str], list[int]] = {}
    for at, entry in enumerate(entries):
        if entry.cost is not None:
            groups.setdefault((entry.group, entry.case), []).append(at)
    found: dict[int, tuple[bool, float | None]] = {}
    for members in groups.values():
        found |= dict(zip(members, _frontier([entries[at] for at in members]), strict=True))
    return found


def _frontier(entries: Sequence[Entry]) -> Iterator[tuple[bool, float | None]]:
    sizes = [_size(entry) for entry in entries]
    rows = [
        Aggregate(
            name=entry.name,
            n=size or 1.0,
            passed=_accuracy(entry) * (size or 1.0),
            cost=entry.cost.value if entry.cost else None,
        )
        for entry, size in zip(entries, sizes, strict=True)
    ]
    for one in standings(rows):
        yield one.undominated, one.on_frontier if all(sizes) else None


def _notes(entries: Sequence[Entry], rows: Sequence[AuditRow]) -> Iterator[str]:
    if not rows:
        return
    if all(row.n is None for row in rows):
        yield "n is unknown: no interval, no verdict. Give it: --n 164, or --n GROUP=114,GROUP=50."
    elif any(row.verdict for row in rows):
        yield (
            "Verdicts are unpaired, for the table does not say who passed what: two systems on "
            "the same samples are told apart by fewer of them in a run of your own."
        )
    if any((row.n or 0) not in (0.0, attempts(e)) for row, e in _rated(entries, rows)):
        yield (
            "n is the number of independent attempts worth as much as the printed ones: trials of "
            "a task resemble each other (from pass^2 where it is printed, else the tasks alone)."
        )
    if any(row.cost is not None for row in rows):
        yield "Costs are taken as printed, without uncertainty; cost per pass is a ratio of means."


def _rated(entries: Sequence[Entry], rows: Sequence[AuditRow]) -> Iterator[tuple[AuditRow, Entry]]:
    at = {entry.cells.number: entry for entry in entries}
    yield from ((row, at[row.row]) for row in rows)


def _finding(found: Sequence[Check], rows: Sequence[AuditRow]) -> str:
    return " ".join([_said(found), *_frontier_said(rows), *_judged(rows)])


def _said(found: Sequence[Check]) -> str:
    if not found:
        return "The table holds nothing that can be recomputed."
    told = [
        f"{one.name} {one.checked - len(one.misses)} of {one.checked}{_missed(one)}"
        for one in found
    ]
    return f"Consistent within rounding: {'; '.join(told)}."


def _missed(check: Check, most: int = 4) -> str:
    if not check.misses:
        return ""
    names = [miss.name for miss in check.misses[:most]]
    more = f" and {len(check.misses) - most} more" if len(check.misses) > most else ""
    return f" (not {', '.join(names)}{more})"


def _frontier_said(rows: Sequence[AuditRow]) -> Iterator[str]:
    for group in dict.fromkeys(row.group for row in rows):
        members = [row for row in rows if row.group == group and row.undominated]
        if members:
            cheapest = sorted(members, key=lambda row: row.cost or 0.0)
            names = ", ".join(f"{row.system}{_share(row)}" for row in cheapest)
            yield f"On the frontier{f' of {group}' if group else ''}: {names}."


def _share(row: AuditRow) -> str:
    return "" if row.on_frontier is None else f" ({100 * row.on_frontier:.0f} %)"


def _judged(rows: Sequence[AuditRow]) -> Iterator[str]:
    kinds = [row.verdict.kind for row in rows if row.verdict and row.verdict.kind != "baseline"]
    if kinds:
        told = [f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds))]
        yield f"Against the baseline, {len(kinds)} rows are: {', '.join(told)} (Holm)."
