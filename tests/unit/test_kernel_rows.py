from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from qbench.errors import NotFound, StoreError
from qbench.kernels.speed.rows import RowFile, Setting, measured, read_rows, written
from qbench.kernels.speed.shapes import DECODERS, TOKENS, get_decoder
from tests.kernel_rows import CEILINGS, ROW, SETTING, row


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    rows = [ROW, row(m=2, median_us=4.5)]
    made = RowFile(file, SETTING)
    made.add(rows[:1])
    made.add(rows[1:])
    assert read_rows(file) == rows
    assert file.read_bytes() == written(rows)


def test_a_resumed_file_has_two_headings_and_each_row_its_own_setting(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    later: Setting = msgspec.structs.replace(SETTING, date="2026-11-27T05:00:00Z")
    RowFile(file, SETTING).add([ROW])
    RowFile(file, later).add([row(setting=later)])
    assert [one.setting for one in read_rows(file)] == [SETTING, later]


def test_a_line_that_a_crash_cut_short_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    whole = written([ROW, row(m=2)])
    file.write_bytes(whole[:-20])
    assert read_rows(file) == [ROW]
    RowFile(file, SETTING).add([row(m=4)])
    assert [one.m for one in read_rows(file)] == [1, 4]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"not rows\n", "line 1"),
        (b"[1, 2]\n", "without a heading"),
        (b'{"schema": 9}\n', "schema is 9"),
        (written([ROW]).replace(b'"narrow"', b'"narrow",1'), "not as many values"),
        (written([ROW]).replace(b'"whole"', b'"half"'), "half"),
    ],
)
def test_a_file_of_others_is_refused_with_its_line(
    tmp_path: Path, content: bytes, said: str
) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(content)
    with pytest.raises(StoreError, match=said) as caught:
        read_rows(file)
    assert "--rows" in caught.value.hint


def test_a_missing_file_says_what_to_name(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="Cannot read"):
        read_rows(tmp_path / "none.jsonl")
    with pytest.raises(StoreError, match="Cannot write"):
        RowFile(tmp_path / "no" / "rows.jsonl", SETTING).add([ROW])


def test_the_floor_is_the_larger_of_moving_and_multiplying() -> None:
    few = row(bytes=9_000_000, flops=8_000_000, median_us=6.0)
    assert few.floor_us() == pytest.approx(3.0)  # 9 MB at 3 TB/s
    assert few.fraction() == pytest.approx(0.5)
    many = row(bytes=9_000_000, flops=8 * 10**9, median_us=20.0)
    assert many.floor_us() == pytest.approx(10.0)  # 8 GFLOP at 800 TFLOP/s
    assert many.tflop_per_s == pytest.approx(400.0)


def test_a_unit_that_the_gpu_lacks_leaves_the_bytes() -> None:
    assert row(unit="int8").floor_us() == pytest.approx(3.0)
    raised = msgspec.structs.replace(CEILINGS, int8=1.0)
    assert row(unit="int8").floor_us(raised) == pytest.approx(2 * 4096 * 4096 / 1e6)


def test_layers_are_those_of_the_models() -> None:
    eight = DECODERS["llama-3.1-8b"]
    assert [(one.rows, one.columns) for one in eight.linears] == [
        (6144, 4096),
        (4096, 4096),
        (28672, 4096),
        (4096, 14336),
        (128256, 4096),
    ]
    weights = sum(one.rows * one.columns * one.count for one in eight.linears)
    assert weights + 128256 * 4096 == pytest.approx(8.03e9, rel=1e-3)  # embeddings are not shared
    assert TOKENS[0] == 1
    assert TOKENS[-1] == 8192
    with pytest.raises(NotFound, match="8b"):
        get_decoder("llama-8b")


def test_packaged_rows_are_read() -> None:
    assert all(one.median_us > 0 for one in measured())
