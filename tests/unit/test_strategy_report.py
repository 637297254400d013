"""Strategies side by side: whole runs of a fake of known skill, read back."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import msgspec
import numpy as np
import pytest

from qbench.benchmarks.catalogue import load_suite
from qbench.cli.pictures import drawn
from qbench.cli.render import strategies as rendered
from qbench.errors import ConfigError, NotFound, PriceMissing, Unsupported
from qbench.service.domain import Controls
from qbench.service.order import Order, to_request
from qbench.service.pricebook import read_prices
from qbench.service.reports.leaderboard import leaderboard_of
from qbench.service.reports.strategies.report import strategies_of
from qbench.service.reports.strategies.values import Block, StrategyReport, StrategyRow
from qbench.service.reports.values import from_json, to_json
from qbench.service.repricing import reprice
from qbench.service.store import Store
from qbench.workers.others import check_others
from tests.scripted_runs import made_run
from tests.unit.known_skill import majority_of, near

SAMPLES = 64
CASCADE = "cascade@3:to={to}:unsure=votes:least=1"


def known(folder: Path) -> Path:
    """Write what the fake knows of the samples of the runs below."""
    suite = load_suite("sums,mcp")
    drawn = suite.samples(seed=0, tasks=suite.tasks, levels=(1,), limit=SAMPLES)
    samples = {
        one.id: {
            "prompt": one.prompt,
            "solution": suite.solution(one),
            "blunder": suite.blunder(one),
        }
        for one in drawn
    }
    file = folder / "known.json"
    file.write_bytes(msgspec.json.encode({"suite": "sums,mcp", "samples": samples}))
    return file


PRICES = """
models:
  - name: "{name}"
    prices:
      - rates: {{input: 1, output: 4}}
        source: https://example.org/prices
        checked: 2026-11-24
        valid_from: 2025-08-07
"""


class Made(msgspec.Struct):
    """A run and what it was made with."""

    store: Store
    run: str
    other: str
    prices: Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    folder = tmp_path_factory.mktemp("strategies")
    file = known(folder)
    other = f"scripted/skilled?known={file}&accuracy=0.95&seed=5"
    prices = folder / "prices.yaml"
    prices.write_text(PRICES.format(name=other))
    order = Order(
        suite="sums,mcp",
        engine="scripted",
        samples=SAMPLES,
        levels=(1,),
        strategies=("single", "majority@3", "best-of@2", CASCADE.format(to=other)),
        options={"script": "skilled", "known": str(file), "accuracy": 0.6},
    )
    with pytest.MonkeyPatch.context() as patch, Store.open(str(folder / "q.db")) as store:
        patch.setenv("QBENCH_PRICES", str(prices))
        yield Made(store, made_run(store, order, Controls(hardware="cpu-2core")), other, prices)


@pytest.fixture(scope="module")
def found(made: Made) -> StrategyReport:
    return strategies_of(made.store, made.run)


def row(block: Block, name: str) -> StrategyRow:
    return next(one for one in block.rows if one.name == name)


def test_each_suite_has_a_block_and_all_together_the_last(found: StrategyReport) -> None:
    assert [block.suite for block in found.blocks] == ["sums", "mcp", ""]
    assert [block.samples for block in found.blocks] == [32, 32, 64]


def test_strategies_recover_their_theory_in_a_whole_run(found: StrategyReport) -> None:
    whole = found.blocks[-1]
    kept, right = 0.6**3 + 0.4**3, 0.6**3
    wanted = {
        "majority": majority_of(0.6, 3),
        "best-of": 1 - 0.4**2,
        "cascade": right + (1 - kept) * 0.95,
    }
    for name, rate in wanted.items():
        passed = row(whole, name).pass_rate
        assert passed is not None
        assert near(passed.value, rate, SAMPLES), name
    assert near(row(whole, "cascade").others_calls, 1 - kept, SAMPLES)  # one call is all it takes


def test_candidates_are_told_with_pass_at_k(found: StrategyReport) -> None:
    one = row(found.blocks[-1], "best-of").candidates
    assert one is not None
    assert near(one.mean, 0.6, 2 * SAMPLES)
    assert one.any_passes[2] == pytest.approx(one.best)
    assert one.all_pass[2] == pytest.approx(one.worst)
    assert row(found.blocks[-1], "single").candidates is None


def test_tokens_waited_for_are_those_of_one_candidate(found: StrategyReport) -> None:
    single, votes = (row(found.blocks[0], name) for name in ("single", "majority"))
    assert single.accepted_tokens == single.total_tokens
    assert votes.accepted_tokens == pytest.approx(single.accepted_tokens, rel=0.1)
    assert votes.total_tokens == pytest.approx(3 * (votes.accepted_tokens or 0), rel=0.02)
    assert (single.calls, votes.calls) == (1, 3)


def test_the_perfect_verifier_is_named_a_bound_and_kept_out_of_the_finding(
    found: StrategyReport,
) -> None:
    assert any("upper bound" in note for note in found.notes)
    assert "Upper bounds: best-of@2" in found.finding
    assert "ascade@3" in found.finding


def test_another_models_calls_cost_what_its_price_says_and_are_not_the_systems(
    made: Made, found: StrategyReport
) -> None:
    other = [line for line in made.store.ledger(made.run) if line.basis == "others"]
    usage = [line.usage for line in other if line.usage is not None]
    wanted = sum(Decimal(u.prompt_tokens + 4 * u.completion_tokens) for u in usage) / 10**6
    assert sum(line.dollars or 0 for line in other) == wanted
    assert made.store.paid(made.run) >= wanted
    cascade, votes = (row(found.blocks[-1], name) for name in ("cascade", "majority"))
    assert cascade.total_tokens == pytest.approx(votes.total_tokens, rel=0.1)
    assert cascade.cost is not None
    assert cascade.cost.value > float(wanted) / SAMPLES


def test_a_run_at_the_prices_of_another_day_has_the_other_models_too(made: Made) -> None:
    again = reprice(made.store, made.run, read_prices(), made.store.run(made.run).created_at.date())
    assert again.paid == again.paid_before
    assert all(
        change.after == pytest.approx(change.before, rel=1e-6, nan_ok=True)
        for change in again.changes
    )


def test_without_a_price_the_attempt_is_unpriced_not_cheap(tmp_path: Path) -> None:
    order = Order(
        suite="sums",
        engine="scripted",
        samples=20,
        levels=(1,),
        strategies=("single", "cascade:to=scripted/sum:unsure=judge:least=1"),
    )
    with pytest.MonkeyPatch.context() as patch, Store.open(str(tmp_path / "q.db")) as store:
        patch.delenv("QBENCH_PRICES", raising=False)
        run = made_run(store, order, Controls(hardware="cpu-2core"))
        board = leaderboard_of(store, run)
    costs = {one.way[:7]: one.validity.unpriced for one in board.rows}
    assert costs["cascade"] == 20
    assert costs[""] == 0


def test_a_budget_refuses_another_model_without_a_price() -> None:
    order = Order(suite="sums", engine="scripted", strategies=("cascade:to=scripted/sum",))
    with pytest.raises(PriceMissing):
        check_others(to_request(order).systems[0], read_prices())


def test_another_model_that_would_be_loaded_here_is_refused() -> None:
    order = Order(suite="sums", engine="scripted", strategies=("cascade:to=Qwen/Qwen3-8B",))
    with pytest.raises(Unsupported, match="loaded here"):
        to_request(order)


def test_a_run_with_one_strategy_has_nothing_to_compare(tmp_path: Path) -> None:
    with Store.open(str(tmp_path / "q.db")) as store:
        run = made_run(store, Order(suite="sums", engine="scripted", samples=3, levels=(1,)))
        with pytest.raises(NotFound):
            strategies_of(store, run)


def test_the_report_is_the_same_after_json_and_is_drawn(
    found: StrategyReport, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert from_json(to_json(found), StrategyReport) == found
    drawn("strategies", found, str(tmp_path / "s.svg"))
    assert "majority" in (tmp_path / "s.svg").read_text()
    rendered.strategies(found)
    said = capsys.readouterr().out
    assert "nan" not in said
    assert "pass@k" in said


def test_a_strategy_that_fits_no_suite_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="needs a model to hand on to"):
        to_request(Order(suite="sums", engine="scripted", strategies=("cascade",)))


def test_columns_of_other_models_are_zero_where_none_was_asked(made: Made) -> None:
    outcomes, systems = made.store.outcomes(made.run), made.store.run(made.run).request.systems
    plain = outcomes.system == outcomes.systems.index(systems[0].id)
    assert np.all(outcomes.cost["others"][plain] == 0)


def test_a_leaderboard_says_which_row_is_an_upper_bound(made: Made) -> None:
    board = leaderboard_of(made.store, made.run)
    assert "best-of@2 (an upper bound)" in board.finding
    assert sum("own verdict" in note for note in board.notes) == 1
