"""Rows of kernels where they are used: plans, idealized runtime, REST."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from msgspec.structs import replace

from qbench.benchmarks.chat import Sampling
from qbench.cli.render import plans
from qbench.errors import ConfigError, NotFound, Unsupported
from qbench.kernels.layertime.serving import LayerTime, Overhead, Traffic
from qbench.kernels.speed.rows import written
from qbench.service.domain import Controls, Endpoint, System
from qbench.service.order import Order
from qbench.service.pricebook import read_prices
from qbench.service.profiles import Timed, save
from qbench.service.reports.efficiency.profiles import chosen_fit
from qbench.service.reports.efficiency.report import Wanted, efficiency_of
from qbench.service.reports.kernels import known
from qbench.service.reports.kernels.predicted import predicted_for, predicted_named, predictor_for
from qbench.service.reports.kernels.values import KernelCost
from qbench.service.reports.prospect.report import Prospect, prospect_of
from qbench.service.reports.prospect.values import Pace, Planned
from qbench.service.reports.values import from_json, to_json
from qbench.service.store import Store
from tests.integration.api import application, serving
from tests.layer_rows import GPU, made_rows
from tests.profiles import made_profile
from tests.scripted_runs import made_run
from tests.unit.test_layer_time import engine_rows

BOOK = read_prices({})
MODEL = "meta-llama/Llama-3.1-8B-Instruct"
SYSTEM = System(model=MODEL, format="w4a16", engine="vllm")


@pytest.fixture(autouse=True)
def timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows and measurements of a made-up machine, and no profile."""
    file = tmp_path / "rows.json"
    file.write_bytes(written(made_rows()))
    monkeypatch.setenv("QBENCH_KERNEL_ROWS", str(file))
    monkeypatch.setattr(known, "_shipped", tuple)
    monkeypatch.setenv("QBENCH_PROFILES", str(tmp_path / "profiles"))
    told = engine_rows({"bf16": "cublas", "fp8": "cutlass product", "w4a16": "machete"}, slower=1.1)
    monkeypatch.setattr(known, "served", lambda: (told,))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(str(tmp_path / "runs.db")) as opened:
        yield opened


def order(**changes: Any) -> Order:
    options: dict[str, Any] = {
        "suite": "sums",
        "models": (MODEL,),
        "formats": ("fp8", "w4a16"),
        "engine": "vllm",
        "samples": 40,
        "levels": (1, 2),
        "sampling": Sampling(),
    }
    return Order(**options | changes)


def paces(store: Store, hardware: str = GPU, **changes: Any) -> dict[str, Pace]:
    wanted = Prospect(order=order(**changes), controls=Controls(concurrency=8, hardware=hardware))
    found = prospect_of(store, wanted, book=BOOK)
    assert from_json(to_json(found), Planned) == found
    return {one.label.rsplit(" ", 1)[-1]: one for one in found.paces}


def test_a_plan_without_a_past_tells_rates_and_no_totals(store: Store) -> None:
    found = paces(store)
    assert set(found) == {"bf16", "fp8", "w4a16"}
    one = found["w4a16"]
    assert one.source == "layer-time model on measured kernel rows, ± 10 %"
    assert (one.streams, one.kernels) == (8, "machete")
    assert one.per_million is not None
    assert one.dollars is None
    assert one.seconds is None


def test_a_past_run_of_the_model_tells_tokens_and_so_totals(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    made_run(store, order(engine="scripted", options={"accuracy": {"bf16": 0.5}}))
    found = paces(store)
    one = found["w4a16"]
    assert one.each.source == "1 past run"
    assert one.dollars is not None
    assert one.minutes is not None
    assert one.seconds is not None
    assert one.dollars.value == pytest.approx(4.29 / 60 * one.minutes.value, rel=1e-6)
    assert one.minutes.value * 60 == pytest.approx(one.seconds.value * 40 / 8)
    plans.paces(tuple(found.values()))
    text = " ".join(capsys.readouterr().out.split())
    assert "Predicted, not measured" in text
    assert "± 10 %" in text


def test_a_measured_profile_goes_before_a_prediction(store: Store) -> None:
    save(made_profile(engine_key=SYSTEM.engine_key, hardware=GPU))
    assert set(paces(store)) == {"bf16", "fp8"}


def test_profiles_kept_here_calibrate_and_judge_an_engine_that_nobody_else_measured() -> None:
    """Two formats profiled on the machine: bf16 gives the overhead, the other the error."""
    alone = predictor_for(replace(SYSTEM, engine="embedded"), GPU)
    assert alone is not None
    assert alone.agreed.error is None
    truth = Overhead(per_layer=4e-5)
    for fmt, factor in (("bf16", 1.0), ("w4a16", 1.2)):
        time = alone.kernels.layer_time(alone.model, fmt, "embedded", truth)
        timings = tuple(
            Timed(prompt=p, output=o, seconds=factor * _seconds(time, p, o))
            for p in (32, 512)
            for o in (1, 64)
        )
        profile = made_profile(model=MODEL, hardware=GPU, format=fmt, timings=timings, id=fmt)
        save(replace(profile, path="native"))
    found = predictor_for(replace(SYSTEM, engine="embedded"), GPU)
    assert found is not None
    assert found.agreed.overhead.per_layer == pytest.approx(4e-5)
    assert found.agreed.error == pytest.approx(0.2)


def _seconds(time: LayerTime, prompt: int, output: int) -> float:
    return time.batch(Traffic(prompt=prompt, output=output)).seconds


def test_nothing_is_predicted_where_nothing_was_timed(store: Store) -> None:
    assert paces(store, hardware="l40s") == {}
    assert paces(store, hardware="") == {}
    assert set(paces(store, formats=("w8a8",))) == {"bf16"}
    assert paces(store, models=("some/unknown-model",)) == {}
    for options in ({"tensor_parallel": 2}, {"eager": True}, {"device": "cpu"}):
        assert paces(store, options=options) == {}


def test_weights_that_do_not_fit_are_told(store: Store) -> None:
    found = paces(store, models=("meta-llama/Llama-3.1-70B",))
    assert found["bf16"].streams == 0
    assert found["bf16"].per_million is None
    assert found["w4a16"].streams == 8
    plans.paces(tuple(found.values()))


def test_a_predicted_profile_is_the_layer_time_with_its_error() -> None:
    profile = predicted_named("predicted:llama-3.1-8b@w4a16@h100@vllm")
    assert profile.label == "PREDICTED Llama-3.1-8B w4a16"
    runtime, test = chosen_fit(profile)
    assert test is None
    found = predictor_for(SYSTEM, GPU)
    assert found is not None
    truth = found.time("w4a16").batch(Traffic(prompt=512, output=128)).seconds
    design = runtime.design(*(_column(one) for one in (512, 128)))[0]
    value = float(design @ runtime.coefficients)
    assert value == pytest.approx(truth, rel=0.02)
    low, high = runtime.interval(design)
    assert (high - low) / 2 / value == pytest.approx(0.1 * 2.447, rel=0.01)  # t of 6 rows


def _column(value: int) -> Any:
    return np.array([float(value)])


def test_a_run_is_costed_with_a_predicted_profile_that_says_so(store: Store) -> None:
    run = made_run(store, order(engine="scripted", options={"accuracy": {"bf16": 0.5}}))
    wanted = Wanted(profile="predicted:llama-3.1-8b@w4a16@h100@vllm")
    found = efficiency_of(store, run, BOOK, wanted)
    for row in found.rows:
        assert row.profile.startswith("PREDICTED")
        assert "never measured but predicted (layer-time model" in row.caution
        assert row.dollars is not None
        assert row.idealized is not None
        assert row.idealized.low < row.idealized.value < row.idealized.high


def test_a_profile_is_predicted_where_a_system_was_served_and_nobody_profiled() -> None:
    endpoint = Endpoint(
        id="e",
        run_id="r",
        engine_key=SYSTEM.engine_key,
        base_url="",
        served_name="m",
        started_at=datetime(2026, 11, 26, tzinfo=UTC),
        hardware=GPU,
        path="native",
    )
    found = predicted_for(SYSTEM, endpoint)
    assert found is not None
    assert found.predicted is not None
    assert found.predicted.error == pytest.approx(0.1)
    assert predicted_for(SYSTEM, None) is None
    assert predicted_for(SYSTEM, replace(endpoint, devices=2)) is None
    assert predicted_for(SYSTEM, replace(endpoint, path="emulated")) is None
    assert predicted_for(replace(SYSTEM, engine="embedded"), endpoint) is None  # error unknown
    assert predicted_for(replace(SYSTEM, format="w3a16"), endpoint) is None


def test_wrong_names_of_predicted_profiles_are_refused() -> None:
    for ref, error in (
        ("predicted:llama-3.1-8b", ConfigError),
        ("predicted:no-model@w4a16@h100", NotFound),
        ("predicted:llama-3.1-8b@w4a16@l40s", NotFound),
        ("predicted:llama-3.1-8b@w9a9@h100", NotFound),
        ("predicted:llama-3.1-8b@w4a16@h100@embedded", Unsupported),
    ):
        with pytest.raises(error):
            predicted_named(ref)


def test_the_price_list_over_rest_is_the_terminals(store: Store) -> None:
    with serving(application(store)) as base:
        path = f"{base}/v1/kernels/cost"
        answer = httpx.get(path, params={"engine": "vllm", "batch": "1,8", "formats": "w4a16"})
        found = from_json(answer.content, KernelCost)
        assert [row.batch for row in found.formats[0].rows] == [1, 8]
        assert found.price
        for wrong, status in (
            ({"gpu": "l40s"}, 404),
            ({"model": "none"}, 404),
            ({"formats": "w9a9"}, 404),
            ({"batch": "x"}, 422),
            ({"batch": "0"}, 422),
            ({"prompt": "0"}, 422),
        ):
            assert httpx.get(path, params=wrong).status_code == status
