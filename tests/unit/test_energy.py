"""Electricity: counters, watts, prices and lines; and whole runs on basis ``energy``."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from qbench.errors import ConfigError
from qbench.service.attribution import energy_lines, reprice
from qbench.service.domain import AttemptWork, Endpoint, EngineSeconds
from qbench.service.energy import at_electricity, energy_price, power_drawn
from qbench.service.money import EnergyPrice
from qbench.service.pricebook import PriceBook, read_prices
from qbench.service.reports.cost.options import CostOptions
from qbench.service.reports.cost.report import costs_of_pass
from qbench.service.reports.frontier.report import frontier_of
from qbench.service.reports.leaderboard import leaderboard_of
from qbench.service.repricing import reprice as reprice_run
from qbench.service.store import Store
from qbench.workers import energy
from qbench.workers.energy import Meter, meter_of
from tests.unit.test_cost_report import made

AT = datetime(2026, 11, 25, tzinfo=UTC)
BOOK = read_prices({})
WORK = [
    AttemptWork(attempt_id=str(n), uncached_prompt_tokens=7 * n, completion_tokens=3 + n)
    for n in range(7)
]


def session(
    busy: float = 3600.0, hardware: str = "NVIDIA H100 PCIe", **details: object
) -> Endpoint:
    return Endpoint(
        id="e",
        run_id="r",
        engine_key="k",
        base_url="",
        served_name="m",
        started_at=AT,
        hardware=hardware,
        devices=2,
        seconds=EngineSeconds(load=100, busy=busy, idle=50),
        details=dict(details),
    )


def test_documented_watts_are_an_estimate() -> None:
    drawn = power_drawn(session(), "", BOOK)
    assert drawn is not None
    assert (drawn.watts, drawn.how) == (Decimal(700), "estimated")
    price = energy_price(drawn, BOOK, AT)
    assert price is not None
    assert price.per_hour == Decimal("0.07714")
    assert power_drawn(session(hardware="cpu-2core"), "", BOOK) is None
    assert power_drawn(session(hardware=""), "", BOOK) is None


def test_a_measurement_comes_before_a_document() -> None:
    measured = session(energy={"joules": 360_000.5, "meter": "nvml"})
    drawn = power_drawn(measured, "", BOOK)
    assert drawn is not None
    assert (drawn.watts, drawn.how) == (Decimal("100.000"), "nvml")
    unused = power_drawn(session(busy=0, energy={"joules": 5.0, "meter": "nvml"}), "", BOOK)
    assert unused is not None
    assert unused.how == "estimated"


def test_lines_add_up_to_the_session_and_are_never_zero_for_unknown() -> None:
    drawn = power_drawn(session(), "", BOOK)
    assert drawn is not None
    price = energy_price(drawn, BOOK, AT)
    lines = energy_lines(session().seconds, WORK, price, at=AT)
    assert {line.basis for line in lines} == {"energy"}
    assert sum(line.dollars or 0 for line in lines) == Decimal("0.07714")
    assert sum(line.seconds or 0 for line in lines) == pytest.approx(3600)
    unknown = energy_lines(session().seconds, WORK, None, at=AT)
    assert [line.dollars for line in unknown] == [None] * 7
    assert energy_lines(session().seconds, [], price, at=AT) == []


def test_electricity_of_another_day_keeps_the_watts() -> None:
    book = PriceBook(machines=(), models=(), electricity=BOOK.electricity)
    drawn = power_drawn(session(), "", BOOK)
    assert drawn is not None
    price = energy_price(drawn, BOOK, AT)
    assert isinstance(price, EnergyPrice)
    assert at_electricity(price, book, AT) == price
    assert at_electricity(price, book, datetime(2020, 1, 1, tzinfo=UTC)) is None
    (line, *_) = energy_lines(session().seconds, WORK, None, at=AT)
    again = reprice(line, price)
    assert again.dollars is not None
    assert again.dollars > 0


def test_electricity_is_the_users_own_where_there_is_any(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        "electricity:\n  - {name: roof, dollars_per_kwh: 0.03, source: 'own: solar',"
        " checked: 2026-11-25, valid_from: 2026-01-01}\n"
        "power:\n  - {name: cpu, watts: 4, source: 'own: wall plug', checked: 2026-11-25}\n"
    )
    book = read_prices({"QBENCH_PRICES": str(file)})
    found = book.kilowatt_hour(AT)
    assert found is not None
    assert found.dollars_per_kwh == Decimal("0.03")
    assert book.kilowatt_hour(datetime(2025, 6, 1, tzinfo=UTC)) is None
    drawn = power_drawn(session(hardware="cpu-16core"), "", book)
    assert drawn is not None
    assert drawn.watts == 4 * 16 * 2
    file.write_text("power:\n  - {name: cpu, watts: -4, source: 'own: x', checked: 2026-11-25}")
    with pytest.raises(ConfigError, match="not a number of watts"):
        read_prices({"QBENCH_PRICES": str(file)})


def package(folder: Path, name: str, said: str, joules: int, most: int) -> Path:
    made = folder / name
    made.mkdir(parents=True)
    (made / "name").write_text(f"{said}\n")
    (made / "energy_uj").write_text(f"{joules * 1_000_000}\n")
    (made / "max_energy_range_uj").write_text(f"{most * 1_000_000}\n")
    return made


def test_packages_are_added_up_over_a_wrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = package(tmp_path, "intel-rapl:0", "package-0", 90, 100)
    second = package(tmp_path, "intel-rapl:1", "package-1", 5, 100)
    package(tmp_path, "intel-rapl:0:0", "core", 1000, 2000)
    package(tmp_path, "intel-rapl:2", "psys", 1000, 2000)
    monkeypatch.setattr(energy, "POWERCAP", tmp_path)
    meter = meter_of("x86_64 avx2", 1, None)
    assert meter is not None
    assert (meter.name, meter.joules()) == ("rapl", 0)
    (first / "energy_uj").write_text("10000000")
    (second / "energy_uj").write_text("12000000")
    assert meter.joules() == pytest.approx(20 + 7)
    assert meter.joules() == pytest.approx(27)


def test_what_cannot_be_read_has_no_meter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy, "POWERCAP", tmp_path / "none")
    assert meter_of("x86_64", 1, None) is None
    broken = package(tmp_path, "intel-rapl:0", "package-0", 90, 100)
    (broken / "energy_uj").unlink()
    monkeypatch.setattr(energy, "POWERCAP", tmp_path)
    assert meter_of("x86_64", 1, None) is None
    assert meter_of("sm_90", 1, ()) is None


def test_a_counter_that_was_reset_counts_from_zero() -> None:
    class Reset:
        wraps: float | None = None
        shows = iter((50.0, 3.0))

        def joules(self) -> float:
            return next(self.shows)

    assert Meter("nvml", [Reset()]).joules() == 3


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store.open(str(tmp_path_factory.mktemp("energy") / "runs.db")) as opened:
        yield opened


@pytest.fixture(scope="module")
def run_id(store: Store) -> str:
    return made(store, hardware="h100-pcie", epochs=2)


def test_reports_on_basis_energy(store: Store, run_id: str) -> None:
    board = leaderboard_of(store, run_id, "energy")
    busy = leaderboard_of(store, run_id, "saturated")
    cheaper = 350 * 0.1102 / 1000 / 3.29
    for row, other in zip(board.rows, busy.rows, strict=True):
        assert row.cost is not None
        assert other.cost is not None
        assert row.cost.value == pytest.approx(cheaper * other.cost.value, rel=1e-3)
    assert any("estimated" in note for note in board.notes)
    assert not any("estimated" in note for note in busy.notes)
    assert len(frontier_of(store, run_id, "energy").points) == 3
    costs = costs_of_pass(store, run_id, "energy", CostOptions.read(expert="1"), BOOK)
    assert costs.basis == "energy"
    assert costs.frontier is not None
    assert any("without host, cooling" in note for note in costs.notes)


def test_electricity_is_not_what_a_run_pays(store: Store, run_id: str) -> None:
    spent = store.spent(run_id)
    assert store.paid(run_id) == spent["dedicated"]
    assert 0 < spent["energy"] < spent["saturated"]
    assert leaderboard_of(store, run_id, "energy").paid == float(spent["dedicated"])


def test_a_run_can_be_repriced_at_other_electricity(store: Store, run_id: str) -> None:
    now = reprice_run(store, run_id, BOOK, date(2026, 11, 25), "energy")
    for change in now.changes:
        assert change.before == pytest.approx(change.after)
    before = reprice_run(store, run_id, BOOK, date(2025, 1, 1), "energy")
    assert all(change.after is None for change in before.changes)


def test_without_known_watts_energy_is_unpriced(store: Store) -> None:
    run = made(store)
    assert "energy" not in store.spent(run)
    board = leaderboard_of(store, run, "energy")
    assert all(row.cost is None for row in board.rows)
    assert any("QBENCH_PRICES" in note for note in board.notes)
    costs = costs_of_pass(store, run, "energy", CostOptions(), BOOK)
    assert any("QBENCH_PRICES" in note for note in costs.notes)
    assert all(row.validity.unpriced == 90 for row in board.rows)


NVML = """
static unsigned long long energy = 1000500;
int nvmlInit_v2(void) { return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void **device) {
    if (index != 1) return 2;
    *device = &energy;
    return 0;
}
int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *energy_mj) {
    *energy_mj = (*(unsigned long long *)device) += 250;
    return 0;
}
"""


def test_the_drivers_counter_is_called_as_its_header_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a library of our own, of the driver's names and types: no GPU is needed."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    source, library = tmp_path / "nvml.c", tmp_path / "libnvml.so"
    source.write_text(NVML)
    command = (compiler, "-shared", "-fPIC", "-o", str(library), str(source))
    subprocess.run(command, check=True)
    monkeypatch.setattr(energy, "NVML", str(library))
    energy._nvml.cache_clear()
    try:
        meter = Meter("nvml", [energy.GpuCounter(1)])
        assert meter.joules() == pytest.approx(0.25)
        assert meter.joules() == pytest.approx(0.5)
        with pytest.raises(OSError, match="code 2"):
            energy.GpuCounter(0)
    finally:
        energy._nvml.cache_clear()
