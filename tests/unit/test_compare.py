"""Comparisons of a whole run made with the scripted engine: values, tables and pictures."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from qbench.cli.pictures import drawn as painted
from qbench.cli.render import console, pairs
from qbench.errors import ConfigError
from qbench.service.order import Order
from qbench.service.reports.comparison.pairs import pairs_of
from qbench.service.reports.comparison.report import comparison
from qbench.service.reports.comparison.values import Comparison, Pairs
from qbench.service.reports.values import from_json, to_json
from qbench.service.store import Store
from tests.scripted_runs import made_run

SKILL = {"bf16": 0.8, "fp8": 0.8, "w4a16": 0.3, "nvfp4": 0.76}


def made(store: Store, formats: str = "fp8,w4a16,nvfp4", **options: object) -> str:
    order = Order(
        suite="sums",
        models=("some/model",),
        formats=tuple(filter(None, formats.split(","))),
        engine="scripted",
        samples=90,
        levels=(1, 2, 3),
        options={"accuracy": SKILL} | options,
    )
    return made_run(store, order)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store.open(str(tmp_path_factory.mktemp("compare") / "runs.db")) as opened:
        yield opened


@pytest.fixture(scope="module")
def run_id(store: Store) -> str:
    return made(store)


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], str]:
    def draw(act: Callable[[], None]) -> str:
        file = io.StringIO()
        out = Console(file=file, width=80, highlight=False)
        monkeypatch.setattr(console, "out", out)
        monkeypatch.setattr(pairs, "out", out)
        act()
        return file.getvalue()

    return draw


def test_two_systems_by_every_method(store: Store, run_id: str) -> None:
    found = comparison(store, run_id, "w4a16", "bf16")
    assert found.methods[0].difference == found.verdict.difference == found.slices[0].difference
    assert {method.name for method in found.methods if not method.families} == {
        "normal, lm-eval's error",
        "Newcombe hybrid score",
        "McNemar exact",
    }
    assert found.belief is not None
    assert found.belief.worse > 0.99
    assert found.equivalence_p is not None
    assert found.equivalence_p > 0.99
    assert [rate.label for rate in found.rates] == [found.first, found.second]
    for rate in found.rates:
        assert rate.pass_rate.value == rate.jeffreys.value
        assert rate.pass_rate.low == pytest.approx(rate.jeffreys.low, abs=0.01)


def test_turned_around_the_verdict_turns_around(store: Store, run_id: str) -> None:
    here = comparison(store, run_id, "w4a16", "bf16")
    there = comparison(store, run_id, "bf16", "w4a16")
    assert (here.verdict.kind, there.verdict.kind) == ("worse", "better")
    assert there.non_inferiority_p is not None
    assert there.non_inferiority_p < 0.001


def test_an_open_question_is_told_in_probabilities(store: Store, run_id: str) -> None:
    found = comparison(store, run_id, "nvfp4", "bf16")
    assert found.verdict.kind == "inconclusive"
    assert found.belief is not None
    said = f"worse by more than 5 points with a probability of {100 * found.belief.worse:.0f} %"
    assert said in found.finding


def test_asking_for_less_may_find_it(store: Store, run_id: str) -> None:
    """The unquantized model is not worse than its 4-bit form, by no margin at all."""
    found = comparison(store, run_id, "bf16", "nvfp4", non_inferior=True)
    assert found.verdict.kind == "non-inferior"
    assert "is not worse by 5 points or more" in found.finding
    assert comparison(store, run_id, "bf16", "nvfp4").verdict.kind == "inconclusive"


def test_an_invalid_system_is_compared_with_nothing(store: Store) -> None:
    run = made(store, "fp8", faults={"http_500": 0.2})
    found = comparison(store, run, "fp8", "bf16")
    assert found.verdict.kind == "invalid"
    assert found.finding.startswith("Nothing can be said: ")
    with pytest.raises(ConfigError, match="Fewer than two systems"):
        pairs_of(store, run)


def test_all_pairs_share_one_correction(store: Store, run_id: str) -> None:
    found = pairs_of(store, run_id)
    assert len(found.pairs) == 6
    assert [pair.p for pair in found.pairs] == sorted(pair.p for pair in found.pairs)
    assert all(pair.verdict.p is not None and pair.verdict.p >= pair.p for pair in found.pairs)
    assert found.pairs[0].verdict.p == pytest.approx(6 * found.pairs[0].p)
    differ = {(pair.first, pair.second) for pair in found.pairs if pair.verdict.kind == "better"}
    assert differ == {("bf16", "w4a16"), ("fp8", "w4a16")}
    worse = [pair for pair in found.pairs if pair.verdict.kind == "worse"]
    assert [(pair.first, pair.second) for pair in worse] == [("w4a16", "nvfp4")]
    assert found.finding.startswith("Of 6 pairs 3 differ (a chance below 5 % of any false one); ")
    milder = pairs_of(store, run_id, "bh")
    assert milder.pairs[0].verdict.p == pytest.approx(3 * found.pairs[0].p)
    assert milder.pairs[-1].verdict.p == milder.pairs[-1].p


def test_a_run_of_one_system_has_no_pairs(store: Store) -> None:
    run = made(store, "")
    with pytest.raises(ConfigError, match="Fewer than two systems"):
        pairs_of(store, run)


def test_values_survive_the_wire(store: Store, run_id: str) -> None:
    two, many = comparison(store, run_id, "fp8", "bf16"), pairs_of(store, run_id)
    assert from_json(to_json(two), Comparison) == two
    assert from_json(to_json(many), Pairs) == many


def test_tables_fit_and_end_with_the_finding(
    store: Store, run_id: str, printed: Callable[[Callable[[], None]], str]
) -> None:
    two, many = comparison(store, run_id, "fp8", "bf16"), pairs_of(store, run_id)
    for act, finding in (
        (lambda: pairs.comparison(two), two.finding),
        (lambda: pairs.pairs(many), many.finding),
    ):
        text = printed(act)
        assert max(cell_len(line) for line in text.splitlines()) <= 80
        assert " ".join(text.split()).endswith(finding)
        assert "nan" not in text
    assert re.search(
        r"equivalent within 5 \(TOST\)\s+0\.\d+", printed(lambda: pairs.comparison(two))
    )


@pytest.mark.parametrize("name", ["comparison", "pairs"])
def test_differences_are_painted(store: Store, run_id: str, tmp_path: Path, name: str) -> None:
    report = (
        pairs_of(store, run_id) if name == "pairs" else comparison(store, run_id, "fp8", "bf16")
    )
    painted(name, report, str(tmp_path / "forest.svg"))
    text = (tmp_path / "forest.svg").read_text()
    assert "margin of 5" in text
    assert ("fp8 - w4a16" if name == "pairs" else "Dirichlet posterior") in text
