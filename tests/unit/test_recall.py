"""The report on recall: estimates, rows, what stages are worth, tables and picture."""

from functools import cache
from pathlib import Path

import pytest

from qbench.benchmarks.suites.tools_at_scale.catalogue import catalogue
from qbench.benchmarks.suites.tools_at_scale.recall import Asked, Recall, measure
from qbench.benchmarks.suites.tools_at_scale.requests import gold, request
from qbench.benchmarks.suites.tools_at_scale.retrieving import Stages, last_retired, ranking
from qbench.benchmarks.suites.tools_at_scale.tools import universe
from qbench.cli.pictures import drawn
from qbench.cli.render.recall import recall as shown


@cache
def report() -> Recall:
    return measure(
        Asked(retrievers=("bm25",), tools=(100, 300), ks=(1, 5, 20), requests=30, stages=True)
    )


def test_recall_grows_with_k_and_no_larger_catalogue_is_easier() -> None:
    small, large = (row for row in report().rows if not row.words)
    for row in (small, large):
        values = [at.recall.value for at in row.at]
        assert values == sorted(values)
        assert all(at.recall.low <= at.recall.value <= at.recall.high for at in row.at)
        assert all(at.whole.value <= at.recall.value for at in row.at)
    assert all(s.recall.value >= b.recall.value for s, b in zip(small.at, large.at, strict=True))


def test_recall_is_the_mean_over_the_requests_that_need_a_tool() -> None:
    made = [one for one in (request(0, number) for number in range(30)) if one.calls]
    top = [set(ranking("bm25", one.prompt, seed=0, size=100)[:5]) for one in made]
    mean = sum(len(t & set(gold(m))) / len(gold(m)) for t, m in zip(top, made, strict=True))
    assert report().rows[0].at[1].recall.value == pytest.approx(mean / len(made))
    assert report().requests == len(made) == report().rows[0].requests


def test_the_wordings_are_parts_of_the_whole_and_direct_is_easiest() -> None:
    whole, direct, loose, other = report().rows[:4]
    assert direct.requests + loose.requests + other.requests == whole.requests
    assert direct.at[1].recall.value > loose.at[1].recall.value > other.at[1].recall.value


def test_each_stage_is_weighed_on_the_same_requests() -> None:
    stages = {one.stage for one in report().worth}
    assert stages == set(Stages.__struct_fields__)
    assert len(report().worth) == 3 * 2 * 3
    rewriting = next(one for one in report().worth if one.stage == "rewriting")
    without = Stages(rewriting=False)
    ranked = ranking("bm25", request(0, 7).prompt, seed=0, size=100, stages=without)
    assert len(set(ranked)) == len(ranked) == 100
    assert rewriting.recall.low <= rewriting.recall.value <= rewriting.recall.high


def test_what_is_deprecated_comes_last_and_both_keep_their_order() -> None:
    names = [tool.name for tool in catalogue(0, 300)]
    current = [name for name in names if not universe()[name].successor]
    ordered = last_retired(names, 0, 300)
    assert len(current) < len(names)
    assert list(ordered[: len(current)]) == current
    assert sorted(ordered) == sorted(names)


def test_offered_specs_cost_tokens_in_proportion_and_far_less_than_all() -> None:
    for row in report().rows:
        one, five, twenty = (at.tokens for at in row.at)
        assert 3 * one < five < 7 * one
        assert 3 * five < twenty < 5 * five
    assert report().catalogue_tokens[300] > 2.5 * report().catalogue_tokens[100]


def test_the_report_is_printed_with_its_interval(capsys: pytest.CaptureFixture[str]) -> None:
    shown(report())
    said = capsys.readouterr().out
    assert "R@20 %" in said
    assert "rewriting" in said
    value = 100 * report().rows[0].at[1].recall.value
    assert f"{value:.1f} " in said


def test_the_picture_is_the_same_for_the_same_report(tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg"):
        drawn("recall", report(), str(tmp_path / name))
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert "bm25, 300" in (tmp_path / "a.svg").read_text()
