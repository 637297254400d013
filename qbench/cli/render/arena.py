"""A tournament as tables that fit 80 columns: standings, then the judge."""

from __future__ import annotations

from qbench.benchmarks.analysis.arena.calibration import Share
from qbench.cli.render.console import clip, count, dim, dollars, draw, out, percent, plain, table
from qbench.cli.render.tables import scaled, unit_for
from qbench.service.reports.arena.values import Arena, ArenaRow
from qbench.service.reports.arena.words import end

NAME = 22


def arena(found: Arena) -> None:
    """Print what a tournament found."""
    out.print(
        f"{found.suite} · {found.design} · {found.matches:,} of {found.planned:,} matches at "
        f"{found.prompts:,} prompts · seed {found.seed} · run {found.run_id}, tournament "
        f"{found.tournament}",
        style="bold",
        markup=False,
    )
    out.print()
    if found.rows:
        _standings(found)
    if found.truth is not None:
        _truth(found)
    _judge(found)
    for note in found.notes:
        out.print(dim(f"· {note}"))
    if found.left_out:
        out.print(dim(f"· {found.left_out:,} prompts left out: a system has no answer there."))
    out.print()
    out.print(found.finding, style="red" if found.invalid else "bold", markup=False)


def _standings(found: Arena) -> None:
    scale, unit = unit_for(row.cost for row in found.rows if row.cost)
    headers = ("System", "Elo>", "95 %>", "Rank>", "Won-tied-lost>", "Verdict", "p>")
    made = table(*headers, f"{unit}/attempt>")
    alike = len({row.model for row in found.rows}) == 1
    for row in found.rows:
        made.add_row(
            plain(clip(row.label.split(" ", 1)[-1] if alike else row.label, NAME)),
            f"{row.rating.value:.0f}",
            f"[{end(row.rating.low)}, {end(row.rating.high)}]",
            _rank(row),
            f"{row.won:,}-{row.tied:,}-{row.lost:,}",
            row.verdict,
            "" if row.p is None else f"{row.p:.2g}",
            "unpriced" if row.cost is None else scaled(row.cost, scale),
        )
    made.caption = (
        f"Elo: mean 1000, only differences mean anything; rank with its 95 % range; verdict"
        f" against {found.baseline}, p Holm-adjusted; dollars: the system's own, without the judge"
    )
    draw(made)


def _rank(row: ArenaRow) -> str:
    if row.rank_low == row.rank_high:
        return str(row.rank)
    return f"{row.rank} [{row.rank_low}-{row.rank_high}]"


def _share(found: Share | None) -> str:
    if found is None:
        return "–"
    low, high = 100 * found.low, 100 * found.high
    return f"{percent(found.value)} % [{low:.1f}, {high:.1f}]"


def _judge(found: Arena) -> None:
    judge, trust = found.judge, found.judge.trust
    made = table(f"Judge: {clip(judge.model, 40)}", "")
    made.add_row("questions, unread", f"{count(judge.questions)}, {count(trust.unread)}")
    made.add_row("same verdict in both orders", _share(trust.consistent))
    made.add_row("first shown both times", count(trust.primacy))
    made.add_row("second shown both times", count(trust.recency))
    made.add_row("verdicts for the first shown", _share(trust.first))
    if judge.confidence is not None:
        made.add_row("mean stated confidence", f"{percent(judge.confidence)} %")
    tokens = f"{count(judge.prompt_tokens)} in, {count(judge.completion_tokens)} out"
    unknown = f", {count(judge.unmetered)} questions unknown" if judge.unmetered else ""
    made.add_row("tokens", tokens + unknown)
    made.add_row("cost of judging", dollars(judge.dollars))
    made.caption = f"wording {judge.prompt}; both orders: {'yes' if found.swap else 'no'}"
    draw(made)


def _truth(found: Arena) -> None:
    truth = found.truth
    if truth is None:
        return
    made = table("Against known verdicts", "")
    made.add_row("pairs: right, tied, wrong", f"{truth.right}, {truth.tied}, {truth.wrong}")
    made.add_row("right, both orders together", _share(truth.accuracy))
    made.add_row("right, each question alone", _share(truth.by_question))
    if truth.calibration is not None:
        made.add_row("ECE of stated confidence", f"{truth.calibration.ece:.3f}")
        made.add_row("Brier score", f"{truth.calibration.brier:.3f}")
    made.caption = "a tie is not right; ECE: ten equal bins; Brier of a coin toss: 0.25"
    draw(made)
