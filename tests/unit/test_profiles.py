"""Profiles: kept in files, found again, and what their report says."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from qbench.errors import ConfigError, EngineError, NotFound, StoreError
from qbench.service.domain import Endpoint, System
from qbench.service.peaks import peak_of
from qbench.service.pricebook import read_prices
from qbench.service.profiles import (
    Busy,
    Consumption,
    Timed,
    find,
    fitting,
    folder,
    profile_id,
    save,
    stored,
    weight_bytes,
)
from qbench.service.reports.efficiency.profile_values import Profiles
from qbench.service.reports.efficiency.profiles import Nominal, profiles_report
from qbench.service.reports.values import from_json, to_json
from qbench.workers.consumption import children, consumption, sampled
from qbench.workers.profiling import Plan, summary
from tests.profiles import PER_TOKEN_S, made_profile, seconds


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QBENCH_PROFILES", str(tmp_path / "profiles"))
    return tmp_path / "profiles"


def endpoint(system: System, **changes: object) -> Endpoint:
    made = made_profile()
    values = {
        "id": "e",
        "run_id": "r",
        "engine_key": system.engine_key,
        "base_url": "",
        "served_name": "m",
        "started_at": made.made_at,
        "hardware": "cpu-2core",
        "engine_version": "v",
    }
    return Endpoint(**(values | changes))  # type: ignore[arg-type]


def test_a_profile_is_kept_and_replaced(own_folder: Path) -> None:
    assert stored() == ()
    file = save(made_profile())
    assert file.parent == own_folder == folder()
    again = made_profile(load_s=2.0)
    save(again)
    assert stored() == (again,)
    assert json.loads(file.read_text())["fit"]["per_token"] == pytest.approx(PER_TOKEN_S)
    assert len(list(own_folder.iterdir())) == 1  # nothing half written is left


def test_a_damaged_file_hides_no_other(own_folder: Path) -> None:
    save(made_profile())
    (own_folder / "half.json").write_text('{"id": "x"')
    assert len(stored()) == 1


def test_a_folder_that_cannot_be_written_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QBENCH_PROFILES", "/proc/nowhere")
    with pytest.raises(StoreError, match="Cannot write the profile"):
        save(made_profile())


def test_a_profile_is_found_by_many_names() -> None:
    one = made_profile()
    other = replace(one, id="ffff00000000", format="w4a16")
    both = (one, other)
    for name in ("bf16", "some/model@bf16", "model bf16", "model@bf16", "abc1", "BF16"):
        assert find(name, both) is one
    with pytest.raises(NotFound, match="w4a1"):
        find("w4a1", both)
    with pytest.raises(NotFound, match="no profile"):
        find("bf16", ())


def test_the_profile_of_the_same_engine_and_machine_fits() -> None:
    system = System(model="some/model", format="bf16", engine="embedded")
    up = endpoint(system)
    mine = made_profile(engine_key=system.engine_key)
    old = replace(mine, id="old", engine_version="older")
    assert fitting(system, up, (old, mine)) is mine
    assert fitting(system, up, (old,)) is old
    assert fitting(system, replace(up, hardware="h100-sxm"), (mine,)) is None
    assert fitting(replace(system, format="fp8"), up, (mine,)) is None
    assert fitting(system, None, (mine,)) is None
    assert profile_id(system, up) != profile_id(system, replace(up, engine_version="w"))


def test_sizes_of_weights_as_engines_tell_them() -> None:
    system = System(model="m", format="bf16", engine="vllm")
    assert weight_bytes(endpoint(system, details={"weight_bytes": 10})) == 10
    assert weight_bytes(endpoint(system, details={"weights_gib": 0.5})) == 2**29
    assert weight_bytes(endpoint(system)) is None


def test_peaks_are_known_by_what_the_driver_says() -> None:
    found = [peak_of(name) for name in ("NVIDIA H100 80GB HBM3", "h100-pcie", "nvidia-l40s")]
    assert found == [989e12, 756e12, 362e12]
    assert peak_of("cpu-2core") is None
    assert peak_of("nvidia-l4") == 121e12


def report(*profiles: object, **nominal: object) -> Profiles:
    given = Nominal(**nominal)  # type: ignore[arg-type]
    return profiles_report(profiles, read_prices({}), given)  # type: ignore[arg-type]


def test_a_report_has_fit_cases_and_prices() -> None:
    found = report(made_profile(noise=0.01))
    (row,) = found.rows
    assert row.fitted.r_squared > 0.999
    assert row.fitted.per_token.low < PER_TOKEN_S < row.fitted.per_token.high
    assert row.fitted.trend is not None
    assert not row.fitted.trend.used
    case = row.cases[0]
    assert case.seconds.value == pytest.approx(seconds(256, 128), rel=0.01)
    assert row.per_hour is not None
    assert case.synchronous is not None
    bought = 3600 / (case.seconds.value * row.per_hour)
    assert case.synchronous.value == pytest.approx(bought)
    assert case.synchronous.low < bought < case.synchronous.high
    assert case.extended  # 128 tokens were not measured
    assert "ms a token" in found.finding
    assert from_json(to_json(found), Profiles) == found


def test_twice_as_fast_buys_twice_as_many() -> None:
    slow = made_profile(noise=0.01)
    fast = made_profile(noise=0.01, factor=0.5, id="ffff", format="w4a16")
    kept = report(slow, fast).rows[1].reduction
    assert kept is not None
    assert kept.synchronous.value == pytest.approx(2)
    assert 1.9 < kept.synchronous.low < 2 < kept.synchronous.high < 2.1
    assert kept.over_cases.low == pytest.approx(2)
    assert kept.asynchronous is None
    same = report(slow, replace(slow, id="eeee", format="fp8"))
    assert "about as many" in same.finding


def test_another_machine_needs_a_price_to_be_compared() -> None:
    here = made_profile()
    there = replace(here, id="ffff", format="fp8", hardware="own-board")
    found = report(here, there)
    assert found.rows[1].reduction is None
    assert "cannot be compared" in found.finding
    assert any("unpriced" in note for note in found.notes)
    assert found.rows[1].cases[0].synchronous is None


def test_throughput_buys_queries_when_it_was_measured() -> None:
    busy = tuple(
        Busy(streams=8, prompt=p, output=o, queries=16, seconds=16 * (0.001 * p + 0.004 * o))
        for p in (128, 512)
        for o in (16, 64)
    )
    row = report(made_profile(busy=busy)).rows[0]
    assert row.streams == 8
    assert row.per_hour is not None
    first = row.cases[0]
    expected = 3600 / ((0.001 * 256 + 0.004 * 128) * row.per_hour)
    assert first.asynchronous == pytest.approx(expected)
    faster = made_profile(
        id="ffff", busy=tuple(replace(one, seconds=one.seconds / 3) for one in busy)
    )
    kept = report(made_profile(busy=busy), faster).rows[1].reduction
    assert kept is not None
    assert kept.asynchronous == pytest.approx(3)


def test_metrics_are_known_or_say_why_not() -> None:
    bare = {one.name: one for one in report(made_profile()).rows[0].metrics}
    assert [name for name, one in bare.items() if one.value is None] == [
        "AMU",
        "PCU",
        "TT",
        "ST",
        "AEC",
    ]
    assert all(one.why for one in bare.values())
    full = made_profile(
        consumption=Consumption(memory_mean=2.0, memory_total=8.0, watts=90.0, samples=5),
        parameters=1e6,
        hidden=64,
        layers=2,
    )
    known = {one.name: one.value for one in report(full, peak=1e9).rows[0].metrics}
    assert known["AMU"] == 0.25
    assert known["AEC"] == 90
    grid = full.grid
    operations = 24 * 64**2 * 2 * float((grid.prompt + grid.output - 1).sum())
    assert known["PCU"] == pytest.approx(operations / float(grid.seconds.sum()) / 1e9)
    assert known["ST"] == pytest.approx(len(grid.seconds) / float(grid.seconds.sum()) / 1e6)
    given = {one.name: one for one in report(full, watts=50.0).rows[0].metrics}
    assert (given["AEC"].value, given["AEC"].why) == (50, "given")
    board = {one.name: one for one in report(made_profile(hardware="h100-sxm")).rows[0].metrics}
    assert board["AEC"].value == 700
    assert "price book" in board["AEC"].why


def test_what_a_reader_must_know_is_noted() -> None:
    noisy = made_profile(noise=0.6, discarded=("128 + 64: it stopped after 3 of 64 tokens",))
    notes = " ".join(report(replace(noisy, path="emulated")).notes)
    for said in ("emulated", "R²", "1 requests were discarded", "stopped after 3"):
        assert said in notes
    timings = tuple(
        replace(one, seconds=one.seconds + (one.output - 1) * one.prompt * 1e-4)
        for one in made_profile().timings
    )
    row = report(replace(made_profile(), timings=timings))
    assert row.rows[0].fitted.context == pytest.approx(1e-4)
    assert any("context term" in note for note in row.notes)


def test_the_fastest_repeats_can_be_fitted_alone() -> None:
    noisy = made_profile(noise=0.2)
    plain, fastest = report(noisy).rows[0], report(replace(noisy, denoised=True)).rows[0]
    assert plain.fitted.per_token.value == pytest.approx(PER_TOKEN_S)
    assert fastest.fitted.per_token.value == pytest.approx(0.8 * PER_TOKEN_S)
    assert fastest.fitted.per_token.value == plain.fitted.denoised_per_token
    assert fastest.fitted.r_squared > plain.fitted.r_squared


@pytest.mark.parametrize(
    "plan",
    [
        Plan(prompts=(0, 8)),
        Plan(prompts=()),
        Plan(outputs=(8, 16)),
        Plan(outputs=(1,)),
        Plan(repeats=0),
        Plan(prompts=(8,), outputs=(1, 8), repeats=1),
        Plan(prompts=(8,), outputs=(1, 8), denoised=True),
    ],
)
def test_a_grid_that_cannot_be_fitted_is_refused_before_it_is_measured(plan: Plan) -> None:
    with pytest.raises(ConfigError):
        plan.check()


def test_measurements_that_cannot_be_fitted_say_what_was_discarded() -> None:
    with pytest.raises(EngineError, match="stopped after 1 of 8"):
        summary((Timed(prompt=8, output=1, seconds=0.1),), ("8 + 8: it stopped after 1 of 8",))
    with pytest.raises(EngineError):
        summary((), ())


def test_samples_become_averages_over_time_or_reasons() -> None:
    rows = [(0.0, 2.0, 8.0, 10.0), (1.0, 4.0, 8.0, 10.0), (3.0, 4.0, 8.0, 40.0)]
    found = consumption(list(rows), on_gpu=True)
    assert found.memory_mean == pytest.approx(11 / 3)
    assert (found.memory_peak, found.memory_total, found.samples) == (4, 8, 3)
    assert found.watts == pytest.approx(20)
    assert found.unknown == {}
    nothing = consumption([(0.0, None, None, None)], on_gpu=False)
    assert set(nothing.unknown) == {"memory", "power"}
    assert nothing.memory_mean is None


def test_this_machine_is_sampled_until_the_block_ends() -> None:
    before = children()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        mine = children() - before
        with sampled((), mine) as told, sampled((), ()) as nobody:
            until = time.monotonic() + 20
            while not told().memory_peak and time.monotonic() < until and mine:
                time.sleep(0.01)
        assert child.stdin is not None
        child.stdin.close()
    found = told()
    assert found.samples >= 1
    assert nobody().memory_mean is None
    if Path("/proc/self/stat").exists():
        assert mine == {child.pid}
        assert found.memory_peak is not None
        assert found.memory_total is not None
        assert 2**20 < found.memory_peak < found.memory_total


def test_profiles_measured_at_other_times_say_so() -> None:
    one = made_profile(session="a")
    apart = report(one, replace(one, id="ffff", format="fp8", session="b"))
    assert any("not measured in turn" in note for note in apart.notes)
    assert apart.rows[1].reduction is not None
    assert apart.rows[1].reduction.paired is None
    together = report(one, replace(one, id="ffff", format="fp8"))
    assert together.rows[1].reduction is not None
    assert together.rows[1].reduction.paired is not None
    assert together.rows[1].reduction.paired.value == 1
    lost = replace(one, id="ffff", format="fp8", timings=one.timings[1:])
    kept = report(one, lost).rows[1].reduction
    assert kept is not None
    assert kept.paired is None
    assert not any("in turn" in note for note in together.notes)
