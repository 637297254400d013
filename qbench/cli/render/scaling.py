"""Test-time scaling as tables that fit 80 columns, with one sentence at the end."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from rich.table import Table
from rich.text import Text

from qbench.cli.render.console import clip, count, dim, dollars, draw, out, percent, plain, table
from qbench.cli.render.tables import scaled, unit_for
from qbench.service.reports.scaling.values import (
    Accepted,
    Checked,
    Choice,
    Depth,
    Group,
    Plan,
    Scaling,
    SystemScaling,
)
from qbench.service.reports.values import Estimate

COLUMNS = 5
"""Most k side by side."""
NAME = 21
REACHES = {"never": "never", "yes": "reached", "open": "open"}
BOUNDS: dict[Group, str] = {
    "within reach": "within reach: once and tested as measured, a vote at least, a verifier as"
    " supposed",
    "upper bound": "upper bound: a verifier that is never wrong stops at the first right attempt",
}


def scaling(found: Scaling) -> None:
    """Print what more attempts buy."""
    if found.systems:
        _curves(found, "Coverage %", lambda one: one.coverage, _ABOUT_COVERAGE)
        if any(one.attempts > 1 for one in found.systems):
            _curves(found, "All pass %", lambda one: one.reliability, _ABOUT_RELIABILITY)
            _fits(found)
        _tested(found)
        _verified(found)
    for group in BOUNDS:
        _plans(found, group)
    _choices(found)
    for label, why in found.left_out.items():
        out.print(dim(f"· left out: {label} ({why})"))
    for note in found.notes:
        out.print(dim(f"· {note}"))
    out.print(found.finding, style="bold", markup=False)


_ABOUT_COVERAGE = (
    "pass@k, unbiased: at least one of k attempts passes; what a perfect verifier would reach, an"
    " upper bound of any other"
)
_ABOUT_RELIABILITY = "pass^k, unbiased: all of k attempts pass"


def _name(label: str) -> Text:
    return plain(clip(label, NAME))


def shown(ks: Sequence[int]) -> list[int]:
    """Choose the k that stand side by side: the first, the last, and some between."""
    if len(ks) <= COLUMNS:
        return list(ks)
    places = (round(step * (len(ks) - 1) / (COLUMNS - 1)) for step in range(COLUMNS))
    return [ks[place] for place in places]


def _curves(found: Scaling, title: str, value: Callable[[Depth], Estimate], caption: str) -> None:
    ks = shown(sorted({depth.k for one in found.systems for depth in one.depths}))
    made = table(title, "n>", *(f"k = {k}>" for k in ks), caption=caption)
    for one in found.systems:
        by_k = {depth.k: value(depth) for depth in one.depths}
        cells = (share(by_k[k]) if k in by_k else "–" for k in ks)
        made.add_row(_name(one.label), count(one.samples), *cells)
    draw(made)


def share(found: Estimate) -> str:
    """Write a share with half the width of its interval: ``63.0 ± 4.8``."""
    return f"{percent(found.value)} ± {50 * (found.high - found.low):.1f}"


def number(value: float) -> str:
    """Write a number of attempts; one may be infinite."""
    return "∞" if math.isinf(value) else f"{value:,.0f}"


def _fits(found: Scaling) -> None:
    made = table("Saturation", "F_max %>", "p_x %>", "N*>", "Seen>", "+1 gives>", "Off>")
    for one in found.systems:
        if one.saturation is None:
            made.add_row(_name(one.label), *("–",) * 6)
            continue
        fit = one.saturation
        made.add_row(
            _name(one.label),
            f"{'≥ ' if fit.lower_bound else ''}{share(fit.most)}",
            share(fit.hit),
            f"{number(fit.point.value)} [{number(fit.point.low)}, {number(fit.point.high)}]",
            number(fit.seen) if fit.seen is not None else f"> {one.attempts - 1}",
            f"{100 * fit.gain:.2f}",
            f"{100 * fit.error:.1f}",
        )
    made.caption = (
        "F(N) = F_max [1 - (1 - p_x)^N] fitted to coverage; N*: attempts after which one more adds"
        f" at most {100 * found.asked.least_gain:g} points, by the fit and as seen on the curve;"
        " off: largest distance of the fit, in points. The model supposes equally hard samples; ≥:"
        " they are not"
    )
    draw(made)
    _cautions(found.systems)


def _cautions(systems: Sequence[SystemScaling]) -> None:
    """Say each once, with whom it concerns."""
    concerned: dict[str, list[str]] = {}
    for one in systems:
        for caution in one.saturation.cautions if one.saturation else ():
            concerned.setdefault(caution, []).append(one.label)
    for caution, labels in concerned.items():
        out.print(dim(f"· {caution}: {', '.join(labels)}."))
    if concerned:
        out.print()


def _verified(found: Scaling) -> None:
    told_of = [(one, one.checked) for one in found.systems if one.checked is not None]
    if not told_of:
        return
    made = _resampling("Until accepted", [(one, checked.depths) for one, checked in told_of])
    asked = found.asked
    made.caption = (
        f"a supposed verifier of completeness {_or_one(asked.completeness):g} and soundness "
        f"{_or_one(asked.soundness):g}; {_stakes(found)}; unbiased from the attempts there are"
    )
    draw(made)
    _ceilings(told_of)


def _resampling(title: str, rows: Sequence[tuple[SystemScaling, Sequence[Accepted]]]) -> Table:
    made = table(title, "k>", "Right %>", "False %>", "Reward>", "Attempts>")
    for one, depths in rows:
        name = _name(one.label)
        for depth in _some(depths):
            made.add_row(
                name,
                count(depth.k),
                share(depth.right),
                share(depth.false),
                f"{depth.reward.value:+.3f}",
                f"{depth.attempts:.2f}",
            )
            name = plain("")
    return made


def _stakes(found: Scaling) -> str:
    asked = found.asked
    return (
        f"reward: right - {asked.false_positive_cost:g} x false - {asked.attempt_cost:g} x attempts"
    )


def _tested(found: Scaling) -> None:
    told_of = [(one, one.tested) for one in found.systems if one.tested is not None]
    if not told_of:
        return
    made = table("Weak test", "Accepts right %>", "Rejects wrong %>", "Right if accepted %>")
    for one, tested in told_of:
        parts = (tested.completeness, tested.soundness, tested.accuracy)
        made.add_row(_name(one.label), *(share(part) if part else "–" for part in parts))
    made.caption = f"{found.asked.weak_test} is 1, as recorded; over all attempts"
    draw(made)
    made = _resampling("Until tested", [(one, tested.depths) for one, tested in told_of])
    made.caption = f"until the weak test accepts, as recorded: nothing supposed; {_stakes(found)}"
    draw(made)


def _or_one(value: float | None) -> float:
    return 1.0 if value is None else value


def _some(depths: Sequence[Accepted]) -> list[Accepted]:
    by_k = {depth.k: depth for depth in depths}
    return [by_k[k] for k in shown(sorted(by_k))]


def _ceilings(told_of: Sequence[tuple[SystemScaling, Checked]]) -> None:
    made = table("Ceiling", "≥ %>", "Ceiling %>", "≤ %>", "Best k>", "of all>", "Strongest")
    for one, checked in told_of:
        best = f"{checked.best} [{checked.best_low}, {checked.best_high}]"
        made.add_row(
            _name(one.label),
            percent(checked.at_least.value),
            share(checked.ceiling) if checked.ceiling else "–",
            percent(checked.at_most.value),
            f"{best}{'+' if checked.rising else ''}",
            "–" if checked.best_of_all is None else number(checked.best_of_all),
            plain(REACHES[one.against.reach] if one.against else "is it"),
        )
    made.caption = (
        "right answers with endless attempts: at least those within the attempts there are; by a"
        " beta law of difficulty; at most, were all samples equally hard. Best k by reward, + where"
        " it is the last there are attempts for; of all: by the law. Strongest: does it reach one"
        " attempt of the strongest system"
    )
    draw(made)


def short(plan: Plan) -> str:
    """Name what is done, and how often at most: ``once``, ``vote ×7``, ``until accepted ×8``."""
    return plan.strategy if plan.strategy == "once" else f"{plan.strategy} ×{plan.k}"


def _amount(found: Estimate, scale: float) -> str:
    """Write an amount and half its interval with as many places."""
    value = scaled(found.value, scale)
    places = len(value.partition(".")[2])
    return f"{value} ± {(found.high - found.low) / (2 * scale):.{places}f}"


def _plans(found: Scaling, group: Group) -> None:
    plans = [one for one in found.plans if one.group == group and one.on_frontier >= 0.05]
    if not plans:
        return
    scale, unit = _unit(found, [plan.cost.value for plan in plans])
    made = table("Frontier", "How", "Passed %>", f"{unit}/sample>", "P %>")
    for plan in plans:
        made.add_row(
            _name(plan.label),
            plain(short(plan)),
            share(plan.passed),
            _amount(plan.cost, scale),
            percent(plan.on_frontier, 0),
        )
    paid = "all k attempts paid" if found.asked.at_once else "paid until it stops, a vote in full"
    made.caption = f"{BOUNDS[group]}; {paid}; P: share of resamples, those from 5 %"
    draw(made)


def _unit(found: Scaling, amounts: Sequence[float]) -> tuple[float, str]:
    return unit_for(amounts) if found.unit == "$" else (1.0, found.unit)


def _choices(found: Scaling) -> None:
    if not found.choices:
        return
    made = table("Budget>", "Best", "How", "Passed %>", "Costs>", "P %>")
    for choice in found.choices:
        made.add_row(*_choice(found, choice))
    made.caption = (
        f"{found.unit} per sample; ≤: upper bound, a perfect verifier; P: share of resamples that"
        " choose the same"
    )
    draw(made)


def _choice(found: Scaling, choice: Choice) -> tuple[str | Text, ...]:
    budget, plan = _price(found, choice.budget), choice.plan
    if plan is None:
        return budget, dim("nothing is that cheap"), "", "", "", ""
    return (
        budget,
        _name(plan.label),
        plain(short(plan)),
        f"{'≤ ' if choice.group == 'upper bound' else ''}{share(plan.passed)}",
        _price(found, plan.cost.value),
        percent(choice.chance, 0),
    )


def _price(found: Scaling, amount: float) -> str:
    return dollars(amount) if found.unit == "$" else scaled(amount, 1.0)
