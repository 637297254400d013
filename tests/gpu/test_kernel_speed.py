"""Timing on a real GPU: rows of torch's own products and of ours, and the checks of all kernels."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from qbench.kernels.checking.mode import check
from qbench.kernels.checking.values import Choice as Checking
from qbench.kernels.speed.choice import Choice
from qbench.kernels.speed.reading import ratios
from qbench.kernels.speed.rows import read_rows
from qbench.kernels.speed.session import measure
from qbench.kernels.speed.timing import Graphs, interleaved

pytestmark = pytest.mark.gpu


def test_rows_are_timed_and_resumed(tmp_path: Path) -> None:
    said: list[str] = []
    choice = Choice(
        file=tmp_path / "rows.jsonl",
        models=("llama-3.1-8b",),
        layers=("o",),
        formats=("fp8", "w4a16"),
        tokens=(1, 256),
        minutes=2.0,
    )
    rows = measure(choice, said.append)
    assert read_rows(choice.file) == rows
    assert {"cublas", "scaled_mm row", "qbench"} <= {row.contestant for row in rows}, said
    limits = rows[0].setting.ceilings
    assert limits.copy > 0.1
    assert limits.bf16 > 10
    assert all(0.01 < row.fraction() < 1.1 for row in rows)
    assert all(ratio is not None for ratio in ratios(rows))
    assert measure(choice, said.append) == rows


def test_memory_of_graphs_that_are_gone_is_not_asked_for_again() -> None:
    graphs, numbers = Graphs(), [torch.rand(1 << 20, device="cuda")]
    for _ in range(3):
        starts = [graphs.capture([torch.neg], numbers, 2) for _ in range(2)]
        found = interleaved(starts, 3, torch.cuda.synchronize)
        assert min(found[0] + found[1]) > 0
        del starts


def test_what_a_graph_reads_stays_its_own() -> None:
    def ones(x: torch.Tensor) -> torch.Tensor:
        return sums.copy_(x.sum())

    sums = torch.zeros((), device="cuda")
    ones(torch.ones(1 << 24, device="cuda"))
    start = Graphs().capture([ones], [torch.ones(1 << 24, device="cuda")], 1)
    torch.cuda.empty_cache()
    others = [torch.zeros(1 << 24, device="cuda") for _ in range(8)]
    start()
    torch.cuda.synchronize()
    assert float(sums) == 1 << 24
    del others


def test_a_call_that_reads_twice_as_much_takes_twice_as_long() -> None:
    numbers = [torch.rand(1 << 26, device="cuda") for _ in range(2)]
    graphs = Graphs()
    torch.sum(numbers[0])
    torch.cuda.synchronize()
    one = graphs.capture([torch.sum], numbers[:1], 8)
    both = graphs.capture([torch.sum] * 2, numbers, 8)
    found = interleaved([one, both], 9, torch.cuda.synchronize)
    assert sorted(found[1])[4] / sorted(found[0])[4] == pytest.approx(2.0, rel=0.1)


@pytest.mark.parametrize("sizes", ["tiny", "300x2112x4096"])
def test_every_kernel_passes_its_checks(sizes: str) -> None:
    found = check(Checking(sizes=(sizes,), seed=11, jobs=4), print, lambda _: None)
    assert not found.failed, [(one.kernel, one.format, one.wrong) for one in found.failed]
