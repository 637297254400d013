"""A run's efficiency as tables that fit 80 columns."""

from __future__ import annotations

from qbench.cli.render.console import count, dim, dollars, draw, out, percent, plain, table
from qbench.service.reports.efficiency.values import Costed, Efficiency
from qbench.service.reports.values import Estimate


def report(found: Efficiency) -> None:
    """Print idealized seconds and dollars, what they are made of, the score, one sentence."""
    _seconds(found)
    _money(found)
    _sizes(found)
    if found.scores:
        _scores(found)
    for note in found.notes:
        out.print(dim(f"· {note}"))
    out.print(found.finding, style="bold", markup=False)


def _names(found: Efficiency) -> dict[str, str]:
    """Name systems by their format where they share a model, by their label otherwise."""
    models = {row.model for row in found.rows}
    return {row.system_id: row.variant if len(models) == 1 else row.label for row in found.rows}


def _seconds(found: Efficiency) -> None:
    made = table(
        "System", "n>", "Calls>", "Raw s>", "Denoised s>", "Idealized s>", "95 %>", "Slowdown>",
        caption="per attempt; raw: measured seconds of model calls; denoised: each call as fast as"
        " its fastest repeat; idealized: computed with a profile; slowdown: raw / idealized",
    )  # fmt: skip
    name = _names(found)
    for row in found.rows:
        made.add_row(
            plain(name[row.system_id]),
            count(row.attempts),
            _number(row.calls),
            _number(row.raw),
            _number(row.denoised),
            _number(row.idealized.value if row.idealized else None),
            _ends(row.idealized),
            _number(row.slowdown.value if row.slowdown else None),
        )
    draw(made)


def _money(found: Efficiency) -> None:
    made = table(
        "System", "Idealized $>", "95 %>", "Recorded $>", "Energy J>", "TFLOP>",
        caption=f"per attempt; recorded: billed, {found.basis}; energy: {_power(found)}",
    )  # fmt: skip
    name = _names(found)
    for row in found.rows:
        ideal = row.dollars
        made.add_row(
            plain(name[row.system_id]),
            dollars(ideal.value) if ideal else _missing(row),
            f"{dollars(ideal.low)} to {dollars(ideal.high)}" if ideal else "–",
            dollars(row.recorded),
            _number(row.joules.value if row.joules else None),
            _number(row.teraflops),
        )
    draw(made)


def _sizes(found: Efficiency) -> None:
    made = table(
        "System", "MB>", "MCR>", "95 %>",
        caption="MCR: baseline's size / size x pass rate / baseline's pass rate",
    )  # fmt: skip
    name = _names(found)
    for row in found.rows:
        if row.weight_bytes is not None:
            made.add_row(
                plain(name[row.system_id]),
                f"{row.weight_bytes / 1e6:,.1f}",
                _number(row.compression.value if row.compression else None),
                _ends(row.compression),
            )
    if made.row_count:
        draw(made)


def _missing(row: Costed) -> str:
    return "unpriced" if row.idealized else "–"


def _power(found: Efficiency) -> str:
    told = dict.fromkeys(row.power for row in found.rows if row.power)
    return ", ".join(told) or "unknown"


def _scores(found: Efficiency) -> None:
    names = list(found.weights)
    made = table(
        "System", *(f"{name} x{found.weights[name]:g}>" for name in names),
        "Score>", "95 %>", "First %>", "Rank>", "Wins %>",
        caption="qbench's own score: weighted mean of log2 ratios to the baseline, +1 is twice as"
        f" good; latency: {found.latency} seconds; first: of resamples; wins: of all weightings",
    )  # fmt: skip
    name = _names(found)
    for row in found.scores:
        made.add_row(
            plain(name[row.system_id]),
            *(_signed(row.axes[name]) for name in names),
            _signed(row.score.value) if row.score else plain(row.why),
            f"{_signed(row.score.low)} to {_signed(row.score.high)}" if row.score else "–",
            percent(row.first),
            "–" if row.rank is None else f"{row.rank:.2f}",
            percent(row.wins),
        )
    draw(made)


def _signed(value: float | None) -> str:
    if value is None:
        return "–"
    return "0.00" if abs(value) < 0.005 else f"{value:+.2f}".replace("inf", "∞")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.3g}" if value < 1000 else f"{value:,.0f}"


def _ends(one: Estimate | None) -> str:
    if one is None:
        return "–"
    return f"{_number(one.low)} to {_number(one.high)}".replace("inf", "∞")
