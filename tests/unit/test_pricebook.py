from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from qbench.errors import ConfigError
from qbench.service.pricebook import SHIPPED, PriceBook, overlay, read_book, read_prices

D = Decimal
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)

OWN = """
machines:
  - name: desk
    matches: ['geforce-rtx-3060']
    prices:
      - &rate
        commitment: owned
        dollars_per_hour: 0.06
        provider: us
        source: "own: 600 dollars over 3 years at 40 % use, and 0.15 kW"
        checked: 2026-11-01
        valid_from: 2026-01-01
models:
  - name: OpenAI/gpt-5
    prices:
      - rates: {input: 1, cached_input: 0.1, output: 8}
        tiers: [{above: 1000, rates: {input: 2, output: 16}}]
        per_request: 0.001
        source: https://example.org/contract
        checked: 2026-11-01
        valid_from: 2026-06-01
        valid_until: 2027-01-01
"""


@pytest.fixture
def shipped() -> PriceBook:
    return read_prices({})


def book(tmp_path: Path, text: str) -> PriceBook:
    file = tmp_path / "own.yaml"
    file.write_text(text, "utf-8")
    return read_book(file)


def test_every_shipped_number_has_a_page_and_a_day(shipped: PriceBook) -> None:
    rates = [rate for machine in shipped.machines for rate in machine.prices]
    assert len(rates) > 25
    for rate in rates:
        assert rate.source.startswith("https://")
        assert rate.via == "" or rate.via.startswith("https://")
        assert rate.valid_from <= rate.checked
        assert D("0.01") < rate.dollars_per_hour < 20


def test_shipped_files_say_each_thing_once(shipped: PriceBook) -> None:
    names = [machine.name for machine in shipped.machines]
    assert len(names) == len(set(names))
    for machine in shipped.machines:
        keys = [(r.commitment, r.from_devices, r.valid_from) for r in machine.prices]
        assert len(keys) == len(set(keys)), machine.name
    assert {file.name for file in SHIPPED.iterdir()} == {
        "api.yaml",
        "energy.yaml",
        "experts.yaml",
        "machines.yaml",
        "releases.yaml",
    }


@pytest.mark.parametrize(
    ("reported", "name"),
    [
        ("NVIDIA H100 80GB HBM3", "h100-sxm"),
        ("nvidia-h100-80gb-hbm3", "h100-sxm"),
        ("h100-sxm", "h100-sxm"),
        ("NVIDIA H100 PCIe", "h100-pcie"),
        ("NVIDIA H200", "h200"),
        ("NVIDIA B200", "b200"),
        ("NVIDIA A100-SXM4-80GB", "a100-80gb"),
        ("NVIDIA A100 80GB PCIe", "a100-80gb"),
        ("NVIDIA RTX A6000", "a6000"),
        ("NVIDIA L40S", "l40s"),
        ("NVIDIA L4", "l4"),
        ("NVIDIA GeForce RTX 4090", "rtx-4090"),
        ("cpu-2core", "cpu"),
    ],
)
def test_names_that_engines_report_are_found(shipped: PriceBook, reported: str, name: str) -> None:
    price = shipped.machine_price(reported, NOW)
    assert price is not None
    assert (price.name, price.hardware) == (name, reported)


@pytest.mark.parametrize(
    "reported",
    ["NVIDIA H100 NVL", "NVIDIA L40", "NVIDIA A10G", "NVIDIA A100-SXM4-40GB", "Radeon", "", "cpu"],
)
def test_kin_of_a_known_device_is_not_given_its_price(shipped: PriceBook, reported: str) -> None:
    assert shipped.machine_price(reported, NOW) is None


def test_cpu_costs_cores_times_the_rate_of_one(shipped: PriceBook) -> None:
    two, sixteen = (shipped.machine_price(f"cpu-{n}core", NOW) for n in (2, 16))
    assert two is not None
    assert sixteen is not None
    assert two.per_hour == D("0.08925")
    assert sixteen.per_hour == 8 * two.per_hour
    assert "virtual CPU" in two.note
    spot = shipped.machine_price("cpu-2core", NOW, "spot")
    assert spot is not None
    assert spot.per_hour < two.per_hour


@pytest.mark.parametrize(("devices", "each"), [(1, "4.29"), (2, "4.19"), (3, "4.19"), (8, "3.99")])
def test_machines_with_more_devices_pay_their_own_rate(
    shipped: PriceBook, devices: int, each: str
) -> None:
    price = shipped.machine_price("h100-sxm", NOW, devices=devices)
    assert price is not None
    assert price.per_hour == devices * D(each)


def test_price_in_force_is_that_of_the_moment(shipped: PriceBook) -> None:
    days = [datetime(y, m, d, tzinfo=UTC) for y, m, d in ((2025, 2, 18), (2026, 9, 20))]
    found = [shipped.machine_price("a6000", day) for day in days]
    assert [price and price.per_hour for price in found] == [D("0.80"), D("1.09")]
    assert shipped.machine_price("a6000", datetime(2025, 2, 17, tzinfo=UTC)) is None


def test_days_are_counted_in_utc(shipped: PriceBook) -> None:
    late = datetime.fromisoformat("2026-09-19T23:30:00-02:00")
    price = shipped.machine_price("a6000", late)
    assert price is not None
    assert price.per_hour == D("1.09")


def test_commitment_without_a_price_is_none_and_the_error_lists_those_with(
    shipped: PriceBook,
) -> None:
    assert shipped.machine_price("cpu-2core", NOW, "3y") is None
    error = shipped.machine_missing("cpu-2core", "3y")
    assert "no 3y price for 'cpu-2core'" in error.what
    assert "on-demand, spot" in error.hint
    assert "Did you mean h100-sxm" in shipped.machine_missing("NVIDIA H100 SXN").hint


def test_own_file_adds_machines_and_models(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(OWN, "utf-8")
    own = read_prices({"QBENCH_PRICES": str(tmp_path)})
    desk = own.machine_price("GeForce RTX 3060", NOW, "owned")
    assert desk is not None
    assert (desk.per_hour, desk.origin) == (D("0.06"), "own.yaml")
    model = own.model_price("openai/gpt-5", NOW)
    assert model is not None
    assert (model.rates.cached_input, model.per_request) == (D("0.1"), D("0.001"))
    assert model.rates_at(1001).output == 16
    assert own.model_price("openai/gpt-5", datetime(2027, 1, 1, tzinfo=UTC)) is None
    assert own.model_price("openai/gpt-6", NOW) is None
    assert own.machine_price("h200", NOW) is not None


def test_own_rate_replaces_ours_of_that_commitment_and_keeps_the_names(
    tmp_path: Path, shipped: PriceBook
) -> None:
    text = OWN.replace("desk", "h100-pcie").replace("    matches: ['geforce-rtx-3060']\n", "")
    own = overlay(shipped, book(tmp_path, text.replace("owned", "on-demand")))
    ours, spot = (own.machine_price("NVIDIA H100 PCIe", NOW, c) for c in ("on-demand", "spot"))
    assert ours is not None
    assert spot is not None
    assert (ours.per_hour, spot.per_hour) == (D("0.06"), D("2.00"))


def test_dollars_are_read_as_written(tmp_path: Path) -> None:
    price = book(tmp_path, OWN.replace("0.06", "0.1")).machine_price("desk", NOW, "owned")
    assert price is not None
    assert str(price.per_unit) == "0.1"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("dollars_per_hour", "dollar_per_hour", "machines entry 1 (desk): Object "),
        ("dollars_per_hour: 0.06", "dollars_per_hour: cheap", "$.prices[0].dollars_per_hour"),
        ("dollars_per_hour: 0.06", "dollars_per_hour: -1.5", "`dollars_per_hour` is -1.5"),
        ("dollars_per_hour: 0.06", "dollars_per_hour: .inf", "is not a decimal number"),
        ("commitment: owned", "commitment: weekly", "$.prices[0].commitment"),
        ("2026-01-01", "soon", "$.prices[0].valid_from"),
        ("https://example.org/contract", "the boss", "`source` is 'the boss'"),
        ("input: 1,", "input: -1.0,", "models entry 1 (OpenAI/gpt-5): `input` is -1.0"),
        ("name: desk", "nam: desk", "machines entry 1 (without a name)"),
        ("'geforce-rtx-3060'", "'('", "is no regular expression"),
        ("machines:", "machine:", "not a mapping of"),
        ("machines:", "machines: {", "cannot be read"),
    ],
)
def test_wrong_entries_name_file_entry_and_field(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)) as caught:
        book(tmp_path, OWN.replace(old, new, 1))
    assert "own.yaml" in caught.value.what
    assert caught.value.hint


@pytest.mark.parametrize("text", ["machines: 3", "machines: [3]", "[1]", "machines: {a: 1}"])
def test_wrong_shapes_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"own\.yaml"):
        book(tmp_path, text)


def test_empty_file_is_an_empty_book(tmp_path: Path) -> None:
    assert book(tmp_path, "") == PriceBook(machines=(), models=())


def test_missing_file_and_empty_folder_are_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_prices({"QBENCH_PRICES": str(tmp_path / "none.yaml")})
    with pytest.raises(ConfigError, match="no YAML file in the price folder"):
        read_prices({"QBENCH_PRICES": str(tmp_path)})


def test_the_example_in_the_documentation_works(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "money.md").read_text("utf-8")
    (example,) = re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL)
    own = overlay(read_prices({}), book(tmp_path, example))
    price = own.machine_price("NVIDIA H100 80GB HBM3", NOW)
    assert price is not None
    assert price.per_hour == D("2.15")
    assert own.model_price("openai/gpt-5", NOW) is not None
