"""Forecasts from runs that the scripted engine made."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qbench.benchmarks.chat import Sampling
from qbench.cli.pictures import drawn
from qbench.cli.render import forecasts
from qbench.service.domain import Request
from qbench.service.order import Order, to_request
from qbench.service.plan import draw_samples
from qbench.service.reports.prospect.forecast import Forecast, forecast_of, own_names
from qbench.service.reports.prospect.report import Prospect, prospect_of
from qbench.service.reports.prospect.values import Planned
from qbench.service.reports.values import from_json, to_json
from qbench.service.store import Store
from tests.scripted_runs import made_run

ACCURACY = {"bf16": 0.85, "fp8": 0.8, "w4a16": 0.3}


def order(**changes: Any) -> Order:
    options: dict[str, Any] = {
        "suite": "sums",
        "models": ("some/model",),
        "formats": ("fp8", "w4a16"),
        "engine": "scripted",
        "samples": 90,
        "levels": (1, 2, 3),
        "sampling": Sampling(),
        "options": {"accuracy": ACCURACY},
    }
    return Order(**options | changes)


def run(store: Store, wanted: Order) -> None:
    made_run(store, wanted)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store.open(str(tmp_path_factory.mktemp("forecast") / "runs.db")) as opened:
        for seed in (1, 2, 3, 4):
            run(opened, order(seed=seed))
        yield opened


def forecast(store: Store, wanted: Order) -> Forecast:
    request: Request = to_request(wanted)
    return forecast_of(store, request, draw_samples(request), {})


def test_systems_that_ran_before_are_forecast_where_they_were(store: Store) -> None:
    found = forecast(store, order(seed=9))
    assert found.runs == 4
    assert [row.seen for row in found.rows] == ["this system"] * 3
    for row in found.rows:
        truth = ACCURACY[row.label.rsplit(" ", 1)[-1]]
        assert row.pass_rate.low < truth < row.pass_rate.high
        assert row.pass_rate.high - row.pass_rate.low < 0.25


def test_the_forecast_tells_how_it_fared(store: Store) -> None:
    found = forecast(store, order(seed=9))
    assert found.held_out is not None
    covered, total = found.held_out
    assert total == 12  # four runs of three systems; the copy of the baseline is pooled with it
    assert covered <= total
    assert found.error is not None
    assert found.error < 0.1
    assert found.finding.startswith("Expected, not measured")


def test_another_model_is_less_certain(store: Store) -> None:
    known = forecast(store, order(seed=9)).rows[0].pass_rate
    other = forecast(store, order(seed=9, models=("other/model",))).rows[0]
    assert other.seen == "other models only"
    assert other.pass_rate.high - other.pass_rate.low > 1.5 * (known.high - known.low)


def test_an_empty_database_forecasts_nothing(tmp_path: Path) -> None:
    with Store.open(str(tmp_path / "none.db")) as empty:
        found = forecast(empty, order())
    assert found.rows == ()
    assert found.finding == "No forecast: too few past runs in this database."


def test_a_prospect_is_the_plan_with_its_design_and_forecast(store: Store) -> None:
    wanted = Prospect(order=order(seed=9), mde=0.05)
    found = prospect_of(store, wanted)
    assert (found.samples, found.attempts) == (90, 270)
    assert found.design is not None
    assert found.forecast is not None
    assert [row.label for row in found.forecast.rows] == ["model bf16", "model fp8", "model w4a16"]
    assert from_json(to_json(found), Planned) == found


def test_a_forecast_is_drawn_as_what_it_is(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = forecast(store, order(seed=9))
    drawn("forecast", found, str(tmp_path / "forecast.svg"))
    assert "not measured" in (tmp_path / "forecast.svg").read_text()
    forecasts.forecast(found)
    text = " ".join(capsys.readouterr().out.split())
    assert "forecast, not measured: from" in text
    assert text.endswith("points).")
    assert text.count("this system") == 3
    assert "model bf16" not in text.partition("forecast,")[0]


def test_a_suite_beside_others_is_forecast_from_its_runs_alone(store: Store) -> None:
    found = forecast(store, order(seed=9, suite="sums/add,mcp/ledger", samples=180))
    assert len(found.rows) == 3
    assert own_names("sums,mcp", "sums/add") == ("sums", "add")
    assert own_names("sums", "add") == ("sums", "add")
