"""Costs of right answers as tables: each system, together, retried, without each family."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table

from qbench.cli.render.console import dim, draw, out, percent, plain, table
from qbench.cli.render.tables import money, scaled, unit_for
from qbench.service.reports.cost.values import CostsOfPass, FrontierValue
from qbench.service.reports.cost.words import amount, interval
from qbench.service.reports.values import Estimate


def costs(found: CostsOfPass) -> None:
    """Print what right answers cost, notes, and the finding last."""
    names = names_of({row.system_id: row.label for row in found.rows})
    for made in _tables(found, names):
        made.columns[0].no_wrap = True
        for column in made.columns[1:]:
            column.no_wrap = False  # a terminal too narrow breaks before an interval
        draw(made)
    for note in (*_explained(found), *found.notes):
        out.print(dim(f"· {note}"))
    out.print()
    out.print(found.finding, style="bold", markup=False)


def _tables(found: CostsOfPass, names: dict[str, str]) -> Iterator[Table]:
    yield _systems(found, names)
    if any(row.per_problem_mean for row in found.rows):
        yield _together(found, names)
    if any(row.retries for row in found.rows):
        yield _retried(found, names)
    if found.frontier is not None:
        yield _frontier(found, found.frontier)
    if found.families or found.techniques:
        yield _families(found)
    if found.releases:
        yield _releases(found)


def _explained(found: CostsOfPass) -> tuple[str, ...]:
    return (found.meaning, f"cost basis: {found.basis} (API models: list price)")


def _systems(found: CostsOfPass, names: dict[str, str]) -> Table:
    """Both statistics of one system beside each other, and no other one."""
    scale, unit = unit_for(row.cost.value for row in found.rows if row.cost)
    per, per_unit = unit_for(row.ratio_of_means.value for row in found.rows if row.ratio_of_means)
    made = table(
        "System",
        "Pass %>",
        f"{unit}/attempt>",
        f"{per_unit} ratio-of-means>",
        "per-problem median>",
        "Solved %>",
    )
    for row in found.rows:
        made.add_row(
            plain(names[row.system_id]),
            percent(row.pass_rate.value if row.pass_rate else None),
            _cost(row.cost, scale),
            _ratio(row.ratio_of_means, per),
            "–" if row.per_problem is None else scaled(row.per_problem, per),
            percent(row.solved_share),
        )
    made.caption = f"95 % intervals in brackets; per-problem in {per_unit}, ∞ where never solved"
    return made


def _cost(found: Estimate | None, scale: float) -> str:
    if found is not None and 0 <= found.high - found.low < found.value / 1000:
        return f"{scaled(found.value, scale)} ± <{scaled(found.value / 1000, scale)}"
    return money(found, scale)


def _ratio(found: Estimate | None, scale: float) -> str:
    if found is None:
        return "unpriced"
    low, value, high = (scaled(part, scale) for part in (found.low, found.value, found.high))
    return f"{value} [{low}, {high}]"


def _together(found: CostsOfPass, names: dict[str, str]) -> Table:
    """Show what each system is worth beside the others."""
    made = table("System", "per-problem V>", "Gain>", "Essential %>", "Cheapest %>")
    for row in found.rows:
        if not row.left_out:
            made.add_row(
                plain(names[row.system_id]),
                spread(row.per_problem_mean),
                spread(row.gain),
                share(row.essentialness),
                share(row.cheapest_share),
            )
    made.caption = (
        "V: this system and the expert; gain: by how much it lowers the frontier of the others; "
        "essential: the gain's share of that; cheapest: of how many problems"
    )
    return made


def _retried(found: CostsOfPass, names: dict[str, str]) -> Table:
    tried = [(names[row.system_id], row.retries) for row in found.rows if row.retries]
    attempts = tried[0][1].attempts
    made = table(f"K = {attempts}", "Solved %>", "per problem>", "per solved>", "with expert>")
    for name, one in tried:
        made.add_row(
            plain(f"{name}{'*' if one.extrapolated else ''}"),
            share(one.success),
            spread(one.cost),
            spread(one.cost_of_pass),
            spread(one.with_expert),
        )
    made.caption = f"at most {attempts} attempts at each problem, until one passes"
    if any(one.extrapolated for _, one in tried):
        made.caption += "; * more than were made: recorded rates are taken as known"
    return made


def _frontier(found: CostsOfPass, frontier: FrontierValue) -> Table:
    made = table("Frontier: minimum per problem, then the mean", "A right answer>")
    made.add_row("V, with every system and the expert", spread(frontier.value, 3))
    expert = amount(float(found.expert.dollars)) if found.expert else "unknown"
    made.add_row("the expert alone", expert)
    made.add_row("over the problems that are solved", spread(frontier.solved_only, 3))
    made.add_row("half of the epochs choose, half pay", spread(frontier.held_out, 3))
    left = f", {frontier.at_expert:,} left to the expert" if found.expert else ""
    made.caption = (
        f"{frontier.problems:,} problems of {frontier.families:,} families, "
        f"{frontier.unsolved:,} unsolved{left}"
    )
    return made


def _families(found: CostsOfPass) -> Table:
    made = table("Without", "kind", "V without>", "Essential %>")
    for one in found.families:
        made.add_row(plain(one.name), one.kind, spread(one.without), share(one.essentialness))
    for added in found.techniques:
        made.add_row(plain(added.name), "strategy", "", share(added.benefit))
    if found.techniques:
        made.caption = "strategy: its benefit, (V plain - V with it) / V plain"
    return made


def _releases(found: CostsOfPass) -> Table:
    made = table("Released", "Models", "V>", "Relative gain %>")
    for one in found.releases:
        models = ", ".join(model.rsplit("/", 1)[-1] for model in one.models)
        day = one.released.isoformat()
        made.add_row(day, plain(models), spread(one.value), share(one.relative_gain))
    if found.decay is not None:
        half = found.decay.halving_months
        low, value, high = (scaled(part, 1.0) for part in (half.low, half.value, half.high))
        made.caption = (
            f"V(t) = a exp(-bt) + c; what can fall halves in {value} [{low}, {high}] months"
        )
    return made


def spread(found: Estimate | None, digits: int = 2) -> str:
    """Write dollars with their interval in a unit of their own; unknown is a dash."""
    return "–" if found is None else interval(found, digits)


def share(found: Estimate | None) -> str:
    """Write a share in per cent with its interval; unknown is a dash."""
    if found is None:
        return "–"
    low, value, high = (_percent(part) for part in (found.low, found.value, found.high))
    return value if value == low == high else f"{value} [{low}, {high}]"


def _percent(part: float) -> str:
    return "<1" if 0 < part < 0.005 else percent(part, 0)


def names_of(labels: dict[str, str]) -> dict[str, str]:
    """Return short names: without the model where all have the same."""
    models = {label.partition(" ")[0] for label in labels.values()}
    if len(models) > 1:
        return labels
    return {key: label.partition(" ")[2] or label for key, label in labels.items()}
