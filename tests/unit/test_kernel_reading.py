"""What rows say: sums over layers, ratios within one setting, ceilings that were seen passed."""

from __future__ import annotations

import msgspec
import pytest

from qbench.errors import NotFound
from qbench.kernels.formats import get_format
from qbench.kernels.speed.reading import (
    boards,
    by_layer,
    derived,
    newest,
    of_model,
    raised,
    ratios,
)
from qbench.kernels.speed.rows import Row
from qbench.kernels.speed.work import bytes_moved, operations, unit_of
from tests.kernel_rows import SETTING, row

OTHER = msgspec.structs.replace(SETTING, date="2026-11-27T05:00:00Z")


def bf16(**changes: object) -> Row:
    return row(format="bf16", contestant="cublas", kernel="cublas", **changes)


def test_a_model_is_the_sum_of_its_layers() -> None:
    rows = [
        bf16(layer="o", median_us=10.0),
        bf16(layer="qkv", n=6144, median_us=20.0),
        row(layer="o", median_us=4.0, bytes=6_000_000),
        row(layer="qkv", n=6144, median_us=6.0, bytes=9_000_000),
    ]
    (board,) = boards(rows)
    cell = board.lines[1].cells[1]
    assert cell.us == 10.0
    assert cell.ratio == pytest.approx(3.0)
    assert cell.fraction == pytest.approx((2.0 + 3.0) / 10.0)  # 15 MB at 3 TB/s
    assert cell.layers == ("o", "qkv")


def test_only_layers_that_both_were_timed_on_are_compared() -> None:
    rows = [
        bf16(layer="o", median_us=10.0),
        row(layer="o", median_us=4.0),
        row(layer="down", k=14336, median_us=100.0),
    ]
    assert boards(rows)[0].lines[1].cells[1].ratio == pytest.approx(2.5)


def test_the_output_head_is_no_part_of_a_model() -> None:
    rows = [bf16(layer="o", median_us=10.0), bf16(layer="lm_head", n=128256, median_us=400.0)]
    assert boards(rows)[0].lines[0].cells[1].us == 10.0


def test_times_are_compared_within_one_session_where_it_has_both() -> None:
    rows = [
        bf16(median_us=10.0),
        row(median_us=5.0),
        bf16(median_us=20.0, setting=OTHER),
        row(median_us=5.0, format="w3a16", setting=OTHER),
    ]
    assert ratios(rows) == [1.0, 2.0, 1.0, 4.0]


def test_another_session_of_the_same_gpu_is_better_than_nothing() -> None:
    assert ratios([bf16(median_us=10.0), row(median_us=5.0, setting=OTHER)]) == [1.0, 2.0]
    elsewhere = msgspec.structs.replace(SETTING, gpu="other")
    assert ratios([bf16(), row(setting=elsewhere)]) == [1.0, None]


def test_the_newest_timing_of_a_product_counts() -> None:
    rows = [row(median_us=5.0), row(m=2), row(median_us=4.0, setting=OTHER)]
    assert [(one.m, one.median_us) for one in newest(rows)] == [(1, 4.0), (2, 4.0)]


def test_a_ceiling_that_a_row_passed_is_raised() -> None:
    fast = row(unit="int8", flops=10**9, bytes=1, median_us=1.0)
    limits = raised([row(), fast])[SETTING.gpu]
    assert limits.int8 == pytest.approx(1000.0)
    assert limits.bf16 == SETTING.ceilings.bf16
    assert fast.fraction(limits) == pytest.approx(1.0)


def test_findings_name_the_fastest_format_of_four_bits_or_more() -> None:
    rows = [
        bf16(median_us=10.0),
        row(median_us=4.0),
        row(format="w2a16", median_us=2.0),
        row(format="w8a8", part="product", median_us=1.0),
    ]
    (said,) = boards(rows)[0].findings
    assert "w4a16 by qbench at 2.50 × bf16" in said
    assert "w2a16" not in said


def test_a_format_timed_on_fewer_layers_is_not_named_the_fastest() -> None:
    rows = [
        bf16(layer="o", median_us=10.0),
        bf16(layer="down", k=14336, median_us=30.0),
        row(layer="o", median_us=1.0),
    ]
    assert "bf16 by cublas" in boards(rows)[0].findings[0]


def test_a_board_of_layers_and_a_board_of_one_model() -> None:
    rows = [bf16(layer="o"), bf16(layer="down", k=14336), bf16(model="qwen3-32b")]
    assert boards(by_layer(rows))[0].models[:2] == ("llama-3.1-8b o", "llama-3.1-8b down")
    (board,) = boards(rows)
    assert of_model(board, "").models == ("llama-3.1-8b",)
    assert of_model(board, "qwen3-32b").models == ("qwen3-32b",)
    with pytest.raises(NotFound, match="qwen3-32b"):
        of_model(board, "qwen")


def test_derived_numbers_stand_beside_a_rows_own() -> None:
    one = row()
    told = derived(one, 2.5, raised([one]))
    assert told["times_bf16"] == 2.5
    assert told["tb_per_s"] == pytest.approx(9e6 / 4.0 / 1e6)
    assert told["gpu"] == SETTING.gpu
    assert told["ceiling_copy"] == 3.0
    assert "setting" not in told


def test_bytes_are_codes_scales_inputs_and_the_result_each_once() -> None:
    n, k, m = 4096, 4096, 16
    assert bytes_moved(get_format("bf16"), n, k, m) == 2 * (n * k + m * k + m * n)
    weight = n * k // 2 + n * k // 128 * 2
    assert bytes_moved(get_format("w4a16"), n, k, m) == weight + 2 * m * k + 2 * m * n
    fp8 = get_format("fp8")
    assert bytes_moved(fp8, n, k, m) == n * k + 2 * n + 2 * m * k + 2 * m * n
    assert bytes_moved(fp8, n, k, m, "product") == n * k + 2 * n + m * k + 4 * m + 2 * m * n
    assert operations(n, k, m) == 2 * n * k * m


@pytest.mark.parametrize(
    ("name", "unit"),
    [("bf16", "bf16"), ("w4a16", "bf16"), ("mxfp4", "bf16"), ("fp8", "fp8"), ("w4a8", "fp8"),
     ("w8a8", "int8"), ("fp8-block", "fp8")],
)  # fmt: skip
def test_the_unit_follows_from_what_activations_become(name: str, unit: str) -> None:
    assert unit_of(get_format(name)) == unit
