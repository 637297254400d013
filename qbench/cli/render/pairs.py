"""Draw comparisons of systems: two by every method, or all pairs."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from qbench.cli.render.console import count, dim, draw, out, percent, plain, table
from qbench.cli.render.tables import COLOURS
from qbench.service.reports.comparison.values import Comparison, Pairs
from qbench.service.reports.values import Estimate

CORRECTIONS = {"holm": "Holm", "bh": "Benjamini and Hochberg"}


def comparison(found: Comparison) -> None:
    """Print two systems: their pass rates, the difference by every method, and part by part."""
    out.print(f"1st: {found.first}   2nd: {found.second}", markup=False)
    out.print()
    if found.rates:
        draw(_rates(found))
    if found.methods:
        draw(_methods(found))
    draw(_parts(found))
    if found.components:
        draw(_components(found))
    out.print(found.finding, style="bold", markup=False)


def _rates(found: Comparison) -> Table:
    made = table("", "Passes %>", "95 %>", "Jeffreys 95 %>")
    for name, rate in zip(("1st", "2nd"), found.rates, strict=True):
        made.add_row(
            name, percent(rate.pass_rate.value), _span(rate.pass_rate), _span(rate.jeffreys)
        )
    return made


def _span(found: Estimate | None) -> str:
    return "" if found is None else f"[{100 * found.low:.1f}, {100 * found.high:.1f}]"


def _gap(found: Estimate | None) -> str:
    return "" if found is None else f"[{100 * found.low:+.1f}, {100 * found.high:+.1f}]"


def _p(p: float | None) -> str:
    return "" if p is None else f"{p:.2g}"


def _methods(found: Comparison) -> Table:
    made = table("1st - 2nd, points", "95 %>", "p>", "")
    for method in found.methods:
        note = "" if method.families else "ignores families"
        made.add_row(plain(method.name), _gap(method.difference), _p(method.p), dim(note))
    margin = f"{100 * found.margin:g}"
    if found.belief is not None:
        chances = (
            f"P: worse {percent(found.belief.worse, 0)} %, within {margin} points "
            f"{percent(found.belief.equivalent, 0)} %, better {percent(found.belief.better, 0)} %"
        )
        made.add_row("Dirichlet posterior", _gap(found.belief.difference), "", dim(chances))
    for name, p in (
        (f"equivalent within {margin} (TOST)", found.equivalence_p),
        (f"not worse by {margin} (one-sided)", found.non_inferiority_p),
    ):
        made.add_row(plain(name), "", _p(p), "")
    made.caption = (
        f"difference {100 * found.slices[0].difference.value:+.1f}; verdict: {found.verdict.kind}, "
        f"by the first interval, p = {_p(found.verdict.p)} and the declared margin"
    )
    return made


def _parts(found: Comparison) -> Table:
    made = table("Part", "n>", "both>", "only 1st>", "only 2nd>", "neither>", "points>", "p>")
    for part in found.slices:
        gap = f"{100 * part.difference.value:+.1f} {_gap(part.difference)}"
        numbers = (part.samples, part.both, part.only_first, part.only_second, part.neither)
        made.add_row(plain(part.name), *(count(n) for n in numbers), gap, _p(part.p))
    return made


def _components(found: Comparison) -> Table:
    made = table("Component (mean)", "1st>", "2nd>")
    for name, (one, two) in found.components.items():
        made.add_row(plain(name), _number(one), _number(two))
    return made


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.3f}"


def pairs(found: Pairs) -> None:
    """Print all pairs, the most certain difference first."""
    made = table("1st", "2nd", "points>", "95 %>", "p>", "corrected>", "Verdict", "needed>")
    for pair in found.pairs:
        gap = pair.verdict.difference
        made.add_row(
            plain(pair.first),
            plain(pair.second),
            "" if gap is None else f"{100 * gap.value:+.1f}",
            _gap(gap),
            _p(pair.p),
            _p(pair.verdict.p),
            Text(pair.verdict.kind, style=COLOURS.get(pair.verdict.kind, "")),
            count(pair.verdict.needed) if pair.verdict.needed else "",
        )
    made.caption = (
        f"p corrected over {len(found.pairs)} pairs ({CORRECTIONS[found.correction]}); "
        f"margin {100 * found.margin:g} points; needed: samples that would settle it"
    )
    draw(made)
    for label, why in found.left_out.items():
        out.print(dim(f"· left out: {label} ({why})"))
    out.print(found.finding, style="bold", markup=False)
