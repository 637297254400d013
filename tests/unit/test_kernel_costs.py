"""Price lists from rows of kernels: seconds, dollars, what fits, what is said."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from qbench.cli.kernel_costs import cost
from qbench.cli.options import command
from qbench.cli.pictures import drawn
from qbench.cli.render import console, kernel_costs
from qbench.errors import ConfigError, NotFound
from qbench.kernels.layertime.agreement import agreement
from qbench.kernels.speed.rows import Row, measured, written
from qbench.service.peaks import memory_of
from qbench.service.pricebook import PriceBook, overlay, read_prices
from qbench.service.reports.efficiency.shapes import transformer_named
from qbench.service.reports.kernels import known, page
from qbench.service.reports.kernels import report as reports
from qbench.service.reports.kernels.report import Wanted, cost_of
from qbench.service.reports.kernels.values import KernelCost, Paced
from qbench.service.reports.values import from_json, to_json
from tests.layer_rows import GPU, made_kernels, made_rows
from tests.unit.test_layer_time import engine_rows

BOOK = read_prices({})
MEASURED = engine_rows(
    {"bf16": "cublas", "fp8": "cutlass product", "w4a16": "machete"}, slower=1.05
)


@pytest.fixture(autouse=True)
def own_measurements(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was measured with whole engines is made up here, as the rows are."""
    monkeypatch.setattr(reports, "known_measurements", lambda _: (MEASURED,))
    monkeypatch.setattr(page, "served", lambda: (MEASURED,))
    monkeypatch.setattr(known, "_shipped", tuple)
    monkeypatch.delenv("QBENCH_KERNEL_ROWS", raising=False)


def found(
    model: str = "Llama-3.1-8B",
    rows: Sequence[Row] | None = None,
    book: PriceBook = BOOK,
    **wanted: Any,
) -> KernelCost:
    shape = transformer_named(model)
    assert shape is not None
    chosen = made_rows() if rows is None else rows
    return cost_of(shape, Wanted(**({"gpu": "h100", "engine": "vllm"} | wanted)), book, chosen)


def row(of: KernelCost, fmt: str, batch: int) -> Paced:
    return next(
        row for one in of.formats if one.format == fmt for row in one.rows if row.batch == batch
    )


def test_dollars_are_the_machines_for_the_seconds_that_tokens_take() -> None:
    one = row(found(), "bf16", 64)
    assert one.dollars is not None
    assert one.dollars.value == pytest.approx(4.29 / 3600 * 1e6 / one.tokens_per_second)
    assert one.request_s == pytest.approx(64 * 128 / one.tokens_per_second)
    assert one.dollars.low < one.dollars.value < one.dollars.high


@pytest.mark.parametrize("engine", ["embedded", "vllm"])
def test_the_cheapest_formats_cover_all_batches_whatever_fits(engine: str) -> None:
    shipped = list(measured())
    for cached in range(0, 6000, 300):
        of = found(rows=shipped, engine=engine, cached=cached, batches=(1, 256))
        ranges = [(one.first, one.last) for one in of.cheapest]
        largest = max(one.largest_batch or 256 for one in of.formats)
        assert ranges[0][0] == 1
        assert ranges[-1][1] == min(256, largest)
        assert all(before[1] + 1 == after[0] for before, after in pairwise(ranges))
        formats = [one.format for one in of.cheapest]
        assert all(before != after for before, after in pairwise(formats))


def test_input_and_output_prices_make_up_the_whole() -> None:
    one = row(found(), "fp8", 16)
    assert one.dollars is not None
    assert one.input_dollars is not None
    assert one.output_dollars is not None
    assert one.blended_dollars is not None
    whole = 512 * one.input_dollars + 128 * one.output_dollars
    assert whole == pytest.approx(128 * one.dollars.value)
    assert whole == pytest.approx(640 * one.blended_dollars)


def test_dollars_scale_with_the_price_and_nothing_else_does() -> None:
    machine = next(one for one in BOOK.machines if one.name == "h100-sxm")
    dearer = replace(
        machine,
        prices=tuple(
            replace(one, dollars_per_hour=3 * one.dollars_per_hour) for one in machine.prices
        ),
    )
    book = overlay(BOOK, replace(BOOK, machines=(dearer,)))
    cheap, dear = row(found(), "w4a16", 8), row(found(book=book), "w4a16", 8)
    assert cheap.dollars is not None
    assert dear.dollars is not None
    assert dear.dollars.value == pytest.approx(3 * cheap.dollars.value)
    assert dear.tokens_per_second == cheap.tokens_per_second


def test_the_price_is_exact_and_names_its_source() -> None:
    told = found()
    assert Decimal(told.per_hour) == Decimal("4.29")
    assert told.price.startswith("Lambda, h100-sxm, from ")


def test_an_unpriced_machine_still_has_seconds() -> None:
    told = found(book=replace(BOOK, machines=()))
    assert row(told, "bf16", 1).dollars is None
    assert row(told, "bf16", 1).tokens_per_second > 0
    assert any("No price" in note for note in told.notes)


def test_the_error_is_of_formats_that_calibrate_nothing() -> None:
    told = found()
    assert told.error == pytest.approx(0.05, rel=1e-6)
    assert row(told, "bf16", 1).error == pytest.approx(0.05, rel=0.05)
    alike = agreement(made_kernels(), "vllm", [MEASURED])
    assert told.overhead == alike.overhead


def test_an_engine_without_measurements_has_no_interval_and_says_so() -> None:
    told = found(engine="embedded")
    one = row(told, "w8a8", 4)
    assert one.error is None
    assert one.dollars is not None
    assert (one.dollars.low, one.dollars.high) == (0, float("inf"))
    assert any("No error is known" in note for note in told.notes)
    assert from_json(to_json(told), KernelCost) == told


def test_parts_are_shares_of_the_whole() -> None:
    parts = row(found(), "w4a16", 128).parts
    five = (parts.products, parts.head, parts.attention, parts.small, parts.overhead)
    assert sum(five) == pytest.approx(1)
    assert 0 < parts.prefill < 1


def test_four_bits_win_one_at_a_time_and_eight_a_full_batch() -> None:
    told = found()
    assert [one.format for one in told.cheapest] == ["w4a16", "fp8"]
    first, second = told.cheapest
    assert (first.first, second.last) == (1, 256)
    assert second.first == first.last + 1
    assert "arXiv 2411.02355) holds here" in told.finding


def test_the_change_is_where_both_cost_the_same() -> None:
    edge = found().cheapest[0].last
    told = found(batches=(edge, edge + 1))
    before, after = (
        row(told, "w4a16", size).tokens_per_second - row(told, "fp8", size).tokens_per_second
        for size in (edge, edge + 1)
    )
    assert before >= 0 >= after


def test_what_does_not_fit_is_left_out_and_told() -> None:
    told = found("Llama-3.1-70B", prompt=2000)
    fits = {one.format: one.largest_batch for one in told.formats}
    assert fits["bf16"] == 0
    assert fits["w4a16"]
    assert all(one.batch <= fits["w4a16"] for one in told.formats[-1].rows)
    said = " ".join(told.notes)
    assert "bf16: weights of 141.1 GB do not fit into 72 GB" in said
    assert f"room for {fits['w4a16']} sequences of 2,128 tokens" in said
    assert "arXiv" not in told.finding


def test_nothing_fits_and_the_finding_says_it() -> None:
    told = found("Llama-3.1-70B", formats=("bf16",))
    assert told.cheapest == ()
    assert told.finding == f"No format of Llama-3.1-70B fits {GPU}."


def test_shapes_that_were_not_timed_are_marked() -> None:
    told = found("Qwen3-8B")
    assert row(told, "fp8", 1).extrapolated > 0.5
    assert any("extrapolated" in note for note in told.notes)
    timed = row(found(), "fp8", 1)
    assert timed.extrapolated == 0
    assert timed.error is not None
    assert row(told, "fp8", 1).error is not None


def test_a_history_in_the_cache_costs_attention_only() -> None:
    short, long = found(), found(cached=20_000)
    assert row(long, "bf16", 8).parts.attention > row(short, "bf16", 8).parts.attention
    fresh, kept = (one.formats[0].largest_batch for one in (short, long))
    assert fresh is not None
    assert kept is not None
    assert kept < fresh


def test_without_rows_the_command_that_makes_them_is_named() -> None:
    with pytest.raises(NotFound, match="qbench kernels speed"):
        found(rows=[])
    with pytest.raises(NotFound, match="No kernel of machete was timed"):
        found(engine="machete", formats=("fp8",))
    with pytest.raises(ConfigError, match="at least 1"):
        found(batches=(0,))


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("NVIDIA H100 80GB HBM3", 80e9),
        ("NVIDIA A100-SXM4-40GB", 40e9),
        ("nvidia-h200", 141e9),
        ("NVIDIA L40S", 48e9),
        ("cpu-2core", None),
    ],
)
def test_memory_is_in_the_name_or_in_the_table(name: str, size: float | None) -> None:
    assert memory_of(name) == size


def test_the_tables_fit_80_columns_and_end_with_the_finding(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console.out, "width", 80)
    told = found()
    kernel_costs.report(told)
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    flat = " ".join(text.split())
    assert "calibrated" in flat
    assert flat.endswith(" ".join(told.finding.split()))


def test_the_picture_says_that_it_is_predicted(tmp_path: Path) -> None:
    drawn("kernel-costs", found(), str(tmp_path / "costs.svg"))
    assert "predicted" in (tmp_path / "costs.svg").read_text()


def test_the_page_shows_what_comes_with_qbench(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "measured", made_rows)
    lists = page.price_lists()
    assert [one.engine for one in lists] == ["embedded", "vllm"]
    compared = page.agreement_rows(lists)
    assert sum("calibrated" in row[-1] for row in compared) == 3
    assert compared[-1][-1] == "**5.0 %** root mean square"
    assert {len(row) for row in compared} == {len(page.AGREEMENT_HEADS)}
    speeds = page.speed_rows(lists)
    assert {len(row) for row in speeds} == {len(page.SPEED_HEADS)}
    assert sum(cell.startswith("**") for row in speeds for cell in row) == 2 * 9
    first, second = page.range_lines(lists)
    assert "error unknown" in first
    assert "w4a16 at 1 to" in second


def test_the_page_says_that_there_are_no_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "measured", list)
    assert page.price_lists() == ()
    assert page.note().startswith("No rows come with qbench yet")


def test_the_verb_reads_rows_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    file.write_bytes(written(made_rows()))
    asked = ["--rows", str(file), "--gpu", "h100", "-f", "w4a16", "--batch", "1,8", "--json"]
    ran = CliRunner().invoke(command(cost), [*asked, "--engine", "vllm", "--context", "1000"])
    assert ran.exit_code == 0, ran.output
    told = json.loads(ran.stdout)
    assert [one["batch"] for one in told["formats"][0]["rows"]] == [1, 8]
    assert told["cached"] == 1000


def test_the_verb_refuses_what_it_cannot_read(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    file.write_bytes(written(made_rows()))
    wrong = (["--batch", "many"], ["--model", "no-such-model"], ["--formats", "fp9"])
    for more in wrong:
        ran = CliRunner().invoke(command(cost), ["--rows", str(file), "--gpu", "h100", *more])
        assert isinstance(ran.exception, ConfigError)
