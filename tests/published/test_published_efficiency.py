"""Idealized runtimes of helm-efficiency and queries per dollar of model cards, recomputed."""

from __future__ import annotations

import csv
import json
import re
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from qbench.benchmarks.analysis.efficiency.queries import cost_reduction, synchronous
from qbench.benchmarks.analysis.efficiency.runtime import Grid, context_test, fit
from qbench.benchmarks.analysis.printed import agree, printed, queries_per_dollar
from qbench.benchmarks.analysis.sums import Floats

RUN = re.compile(r"'num_input_tokens': (\d+), 'num_output_tokens': (\d+)\}: ([\d.]+) s")
LOGS = {
    "openai_davinci": ("openai/davinci", "together/opt-175b"),
    "gptj_6b": ("huggingface/gptj_6b", "gooseai/gpt-j-6b", "together/gpt-j-6b"),
    "bloom": ("together/bloom",),
}
LAMBDA = {"A6000": 0.80, "A100": 1.79}
"""Dollars per GPU and hour on the cards (Lambda, 18 February 2025)."""
H100 = {1: 3.29, 2: 3.19}


def grid(published: Path, log: str) -> Grid:
    text = (published / "helm-efficiency" / f"{log}.log").read_text()
    prompt, output, seconds = np.array(RUN.findall(text), dtype=np.float64).T
    return Grid(prompt=prompt, output=output, seconds=seconds)


@pytest.mark.parametrize("log", LOGS)
def test_slopes_of_the_a100_logs(published: Path, log: str) -> None:
    committed = json.loads(
        (published / "helm-efficiency" / "inference_idealized_runtimes.json").read_text()
    )
    runs = grid(published, log)
    runtime = fit(runs)
    assert len(runs.seconds) == 270
    assert runtime.r_squared >= 0.9984
    low, high = runtime.interval(np.eye(len(runtime.coefficients))[-2])
    assert low < runtime.per_token < high
    for model in LOGS[log]:
        wanted = committed[model]["runtime_per_output_token"]
        assert abs(runtime.per_token - wanted) <= 0.001
        table = committed[model]["runtime_for_prompt_tokens"]
        assert [int(p) for p in table] == runtime.prompts.tolist()
        # the committed tables come from earlier logs
        assert np.abs(np.array(list(table.values())) - runtime.table).max() < 0.016


@pytest.mark.parametrize("log", LOGS)
def test_decode_time_does_not_depend_on_the_prompt_at_these_lengths(
    published: Path, log: str
) -> None:
    found = context_test(grid(published, log))
    assert found is not None
    assert not found.needed
    assert abs(found.change) < 0.02


def rows(published: Path) -> list[dict[str, str]]:
    with (published / "bf16-or-death" / "redhat_single_stream.csv").open() as file:
        return list(csv.DictReader(file))


def per_hour(row: dict[str, str]) -> float:
    gpus = int(row["n_gpus"])
    return gpus * (H100[gpus] if row["gpu"] == "H100" else LAMBDA[row["gpu"]])


def test_queries_per_dollar_of_the_cards(published: Path) -> None:
    found = rows(published)
    assert len(found) == 288
    for row in found:
        again = queries_per_dollar(printed(row["latency_s"]), per_hour(row))
        assert agree(again, printed(row["qpd"])), row  # both are rounded
        value = synchronous(np.array([float(row["latency_s"])]), per_hour(row))[0]
        assert value == pytest.approx(again.value)


def test_average_cost_reductions_of_the_cards(published: Path) -> None:
    blocks: dict[tuple[str, str, str], list[dict[str, str]]] = defaultdict(list)
    for row in rows(published):
        blocks[row["model_size"], row["gpu"], row["format"]].append(row)

    def rates(key: tuple[str, str, str]) -> Floats:
        return np.array([float(row["qpd"]) for row in blocks[key]])

    judged = 0
    for (size, gpu, fmt), block in blocks.items():
        if fmt == "BF16":
            continue
        found = cost_reduction(rates((size, gpu, fmt)), rates((size, gpu, "BF16")))
        assert found is not None
        assert found.value == pytest.approx(
            float(block[0]["published_avg_cost_reduction"]), abs=0.015
        )
        assert found.low < found.value < found.high
        judged += 1
    assert judged == 24
