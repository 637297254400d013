"""``qbench cost-of-pass``: on a priced run, here and through a server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.cells import cell_len

from qbench.service.store import Store
from tests.acceptance.program import Program
from tests.integration.api import application, serving

ASKED = (
    "cost-of-pass",
    "last",
    "--expert",
    "2.50",
    "--retries",
    "3",
    "--family",
    "narrow=*@w4*",
    "--released",
    "SmolLM2-135M-Instruct=2026-05-01",
)


@pytest.fixture(scope="module")
def priced(tmp_path_factory: pytest.TempPathFactory) -> Program:
    program = Program(tmp_path_factory.mktemp("priced"))
    accuracy = {"bf16": 0.95, "fp8": 0.9, "*": 0.2}
    ended = program.run(
        "--formats",
        "fp8,w4a16",
        "-n",
        "60",
        "--epochs",
        "2",
        "--hardware",
        "cpu-2core",
        accuracy=accuracy,
    )
    assert ended.code == 0, ended.talk
    return program


@pytest.fixture(scope="module")
def server(priced: Program) -> Iterator[str]:
    with (
        Store.open(priced.environment["QBENCH_DATABASE"]) as store,
        serving(application(store)) as url,
    ):
        yield url


def test_the_table_fits_80_columns_names_both_statistics_and_ends_with_a_finding(
    priced: Program,
) -> None:
    ended = priced(*ASKED, COLUMNS="80")
    assert ended.code == 0, ended.talk
    assert max(cell_len(line) for line in ended.out.splitlines()) <= 80
    assert "ratio-of-means" in ended.out
    assert "per-problem V" in ended.out
    assert "nan" not in ended.out
    last = " ".join(ended.out.split("\n\n")[-1].split())
    assert last.startswith("With every system and an expert at $2.50 at hand a right answer costs")


def test_json_has_both_statistics_apart(priced: Program) -> None:
    found = priced(*ASKED, "--basis", "dedicated", "--json").json
    assert (found["basis"], found["expert"]["dollars"]) == ("dedicated", "2.50")
    for row in found["rows"]:
        assert row["ratio_of_means"]["value"] < row["per_problem_mean"]["value"]
        assert row["retries"]["attempts"] == 3
    assert found["frontier"]["value"]["value"] < 2.5
    assert found["families"][0]["name"] == "narrow"
    assert found["releases"][0]["released"] == "2026-05-01"
    assert "never mixed" in found["meaning"]


@pytest.mark.parametrize("arguments", [ASKED, ("cost-of-pass", "--json")])
def test_a_server_says_the_same(priced: Program, server: str, arguments: tuple[str, ...]) -> None:
    here = priced(*arguments)
    there = priced(*arguments, "--server", server, QBENCH_DATABASE="")
    assert there.code == here.code == 0, there.talk
    assert there.out == here.out


def test_it_is_painted(priced: Program, tmp_path: Path) -> None:
    file = tmp_path / "costs.svg"
    assert priced(*ASKED, "--plot", str(file)).code == 0
    drawn = file.read_text()
    for word in ("ratio-of-means", "per-problem V", "frontier V", "expert", "dollars per right"):
        assert word in drawn
    assert priced("cost-of-pass", "--plot", str(tmp_path / "endless.svg")).code == 0


def test_an_unpriced_run_has_no_frontier(finished: Program, tmp_path: Path) -> None:
    ended = finished("cost-of-pass", "--plot", str(tmp_path / "empty.svg"))
    assert ended.code == 0, ended.talk
    assert "No system is both valid and priced" in ended.out


@pytest.mark.parametrize(
    ("wrong", "said"),
    [(("--family", "x=*claude*"), "claude"), (("--released", "x"), "--released MODEL=")],
)
def test_wrong_options_say_what_to_write(
    priced: Program, wrong: tuple[str, str], said: str
) -> None:
    ended = priced("cost-of-pass", "last", *wrong)
    assert ended.code == 2
    assert said in ended.talk
