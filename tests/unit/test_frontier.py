"""Frontiers of whole runs whose pass rates, prices and paths are known."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qbench.cli.pictures import drawn
from qbench.errors import ConfigError, NotFound
from qbench.service.reports.evidence import Evidence
from qbench.service.reports.frontier.choice import GROUPINGS, Asked, Choice, read_choice
from qbench.service.reports.frontier.objectives import OBJECTIVES
from qbench.service.reports.frontier.report import frontier_of, of_evidence
from qbench.service.reports.frontier.values import Frontier, Point
from qbench.service.reports.leaderboard import leaderboard_of, on_frontier
from qbench.service.reports.values import from_json, to_json
from qbench.service.store import Store
from tests.integration.fleet import FLEET, Kind, sailed

BF16, FP8, W4, SMALL, TINY = (kind.system.label for kind in FLEET)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store.open(str(tmp_path_factory.mktemp("frontier") / "runs.db")) as opened:
        yield opened


@pytest.fixture(scope="module")
def evidence(store: Store) -> Evidence:
    return Evidence.of(store, sailed(store))


def asked(evidence: Evidence, **words: Any) -> Frontier:
    return of_evidence(evidence, read_choice(Asked(**words)))


def by_label(found: Frontier) -> dict[str, Point]:
    return {point.label: point for point in found.points}


def test_the_fields_of_old_are_there_and_agree_with_the_leaderboard(
    store: Store, evidence: Evidence
) -> None:
    found = frontier_of(store, evidence.run.id)
    rows = {row.label: row for row in leaderboard_of(store, evidence.run.id).rows}
    for point in found.points:
        row = rows[point.label]
        assert (point.pass_rate, point.cost, point.cost_of_pass, point.on_frontier) == (
            row.pass_rate,
            row.cost,
            row.cost_of_pass,
            row.on_frontier,
        )
    told = json.loads(to_json(found))
    assert {"run_id", "basis", "points", "left_out", "finding", "schema"} <= told.keys()
    assert [point["cost"]["value"] for point in told["points"]] == sorted(
        point["cost"]["value"] for point in told["points"]
    )
    assert from_json(to_json(found), Frontier) == found


def test_who_is_on_it_and_how_surely(evidence: Evidence) -> None:
    found = by_label(asked(evidence))
    assert [label for label, point in found.items() if point.undominated] == [TINY, W4, FP8]
    assert found[TINY].on_frontier == 1.0
    assert 0.01 < (found[BF16].on_frontier or 0.0) < 0.5
    assert found[BF16].dominated_by[FP8] > 0.5
    assert found[FP8].dominated_by[BF16] < 0.001
    for point in found.values():
        assert point.on_frontier is not None
        assert point.on_frontier <= 1 - max(point.dominated_by.values()) + 1e-12
        assert point.contribution is not None
        assert point.contribution.low <= point.contribution.value <= point.contribution.high


def test_the_emulated_is_never_ranked_on_money_as_its_format(evidence: Evidence) -> None:
    found = asked(evidence)
    assert {p.label: p.caution for p in found.points if p.caution} == {
        TINY: "money and seconds are those of its emulation",
        W4: "money and seconds are those of a weight-only fallback",
    }
    assert "cost of their emulation, not of native hardware" in found.finding
    assert f"emulated: {TINY}. Not to be ranked on cost as its format." in found.notes
    untimed = asked(evidence, on="accuracy,bits")
    assert not any(point.caution for point in untimed.points)
    assert "emulation" not in untimed.finding
    native = asked(evidence, native_only=True)
    assert native.left_out == {
        TINY: "emulated, not native",
        W4: "weight-only fallback, not native",
    }
    assert [point.label for point in native.points] == [SMALL, FP8, BF16]
    assert "emulation" not in native.finding


@pytest.mark.parametrize("name", [name for name in OBJECTIVES if name != "accuracy"])
def test_every_objective_places_or_leaves_out(evidence: Evidence, name: str) -> None:
    found = asked(evidence, on=f"accuracy,{name}")
    assert len(found.points) + len(found.left_out) == len(FLEET)
    for point in found.points:
        one = point.at[name]
        assert one.low <= one.value <= one.high
        assert point.at["accuracy"] == point.pass_rate
    if name == "energy":
        assert set(found.left_out.values()) == {"what energy it used is unknown"}
        assert found.finding == "No system is both valid and known in all objectives."
        assert (found.hypervolume, found.knee) == (None, None)
    if name == "memory":
        assert found.left_out == {W4: "its engine told no size of its weights"}
        assert by_label(found)[FP8].at["memory"].value == 8.6
        assert by_label(found)[TINY].at["memory"].value == 2.0
        assert by_label(found)[TINY].sources == {"memory": "packed size"}
    if name == "bits":
        assert by_label(found)[FP8].sources == {"bits": "documented"}
        assert any(note.startswith("Not measured but documented") for note in found.notes)
    if name == "latency":
        assert any("up to 8 attempts at a time" in note for note in found.notes)


def test_values_are_means_over_samples(evidence: Evidence) -> None:
    outcomes = evidence.outcomes
    found = by_label(asked(evidence, on="tokens,latency"))
    for kind in FLEET:
        mine = outcomes.system == outcomes.systems.index(kind.system.id)
        spent = outcomes.prompt_tokens[mine] + outcomes.completion_tokens[mine]
        point = found[kind.system.label]
        assert point.at["tokens"].value == pytest.approx(spent.mean())
        assert point.at["latency"].value == pytest.approx(outcomes.seconds[mine].mean())


def test_three_objectives_have_at_least_the_members_of_two(evidence: Evidence) -> None:
    two, three = asked(evidence), asked(evidence, on="accuracy,cost,latency")
    members = [{p.label for p in found.points if p.undominated} for found in (two, three)]
    assert members[0] <= members[1]
    shares = [{p.label: p.on_frontier or 0.0 for p in found.points} for found in (two, three)]
    assert all(shares[1][label] >= share for label, share in shares[0].items())
    assert three.hypervolume is not None
    assert 0 < three.hypervolume.low < three.hypervolume.value < three.hypervolume.high < 1


def test_an_unknown_objective_leaves_out_with_its_reason(store: Store) -> None:
    kinds = (
        Kind("x/a", "bf16", 0.8, 0.002),
        Kind("x/b", "bf16", 0.7, None),
        Kind("x/c", "bf16", 0.7, 0.001, tokens=None),
        Kind("x/d", "odd", 0.7, 0.001),
    )
    evidence = Evidence.of(store, sailed(store, kinds, samples=40))
    assert asked(evidence).left_out == {"b bf16": "unpriced"}
    tokens = asked(evidence, on="accuracy,tokens").left_out
    assert tokens == {"c bf16": "some attempts did not report their tokens"}
    assert asked(evidence, on="accuracy,bits").left_out == {"d odd": "its number format is unknown"}


def test_electricity_is_an_objective_and_a_basis(store: Store) -> None:
    measured = {"energy": {"joules": 50.0, "meter": "nvml"}}
    kinds = (
        Kind("x/a", "bf16", 0.8, 0.002, energy=0.0001, details=measured),
        Kind("x/a", "fp8", 0.78, 0.001, energy=0.00004),
        Kind("x/a", "w4a16", 0.7, 0.0008),
    )
    run = sailed(store, kinds, samples=40)
    found = frontier_of(store, run, "saturated", Choice(on=("accuracy", "energy")))
    assert {p.label: round(p.at["energy"].value, 6) for p in found.points} == {
        "a bf16": 0.0001,
        "a fp8": 0.00004,
    }
    assert found.left_out == {"a w4a16": "what energy it used is unknown"}
    said = " ".join(found.notes)
    assert "the electricity of the devices alone" in said
    assert "a bf16: measured by the GPU driver's counter" in said
    assert "a fp8: estimated" in said
    basis = frontier_of(store, run, "energy")
    assert [p.cost and round(p.cost.value, 6) for p in basis.points] == [0.00004, 0.0001]
    assert basis.left_out == {"a w4a16": "unpriced"}
    assert "a fp8: estimated" in " ".join(basis.notes)


@pytest.mark.parametrize("by", GROUPINGS)
def test_groups_have_frontiers_of_their_own(evidence: Evidence, by: str) -> None:
    found = asked(evidence, by=by)
    names = {
        "format": ["bf16", "fp8", "w4a16", "nvfp4"],
        "model": ["Llama-3-8B", "Qwen3-4B"],
        "family": ["llama", "qwen"],
        "suite": ["sums"],
        "level": ["level 1", "level 2", "level 3"],
        "task": ["add", "multiply", "subtract"],
    }
    assert sorted(group.name for group in found.groups) == sorted(names[by])
    for group in found.groups:
        assert group.axes == found.groups[0].axes
        assert group.hypervolume is not None
        assert 0 <= group.hypervolume.value <= 1
        assert any(point.undominated for point in group.points)
    samples = sum(group.samples for group in found.groups)
    assert samples == (120 if by in ("suite", "level", "task") else 120 * len(found.groups))
    if by == "suite":
        assert found.groups[0].points == found.points


def test_levels_get_harder_and_add_up(evidence: Evidence) -> None:
    groups = asked(evidence, by="level").groups
    rates = [{p.label: p.pass_rate for p in group.points} for group in groups]
    whole = by_label(asked(evidence))[FP8].pass_rate
    assert whole is not None
    parts = [one[FP8] for one in rates]
    total = sum(
        part.value * group.samples for part, group in zip(parts, groups, strict=True) if part
    )
    assert total / 120 == pytest.approx(whole.value)


def test_the_best_at_a_budget(evidence: Evidence) -> None:
    found = asked(evidence, budget="$0.002", native_only=True).at_budget
    assert found is not None
    assert (found.axis, found.budget, found.label) == ("cost", 0.002, SMALL)
    assert found.affordable == 1.0
    assert found.best[SMALL] > 0.99
    assert found.mix is not None
    assert (found.mix.cheaper, found.mix.dearer) == (SMALL, FP8)
    assert found.accuracy is not None
    assert found.mix.accuracy.value > found.accuracy.value
    none = asked(evidence, budget="$0.0000001")
    assert none.at_budget is not None
    assert none.at_budget.label == ""
    assert none.at_budget.accuracy is None
    assert "Within $1e-07 per attempt there is no system." in none.finding


def test_a_budget_is_of_the_second_objective(evidence: Evidence) -> None:
    found = asked(evidence, on="latency,accuracy", budget="1.9 s").at_budget
    assert found is not None
    assert (found.axis, found.label) == ("latency", W4)


def test_the_cheapest_that_reaches(evidence: Evidence) -> None:
    found = asked(evidence, accuracy="70%").at_accuracy
    assert found is not None
    assert (found.label, found.safe) == (FP8, FP8)
    assert found.reaches is not None
    assert found.reaches > 0.99
    assert sum(found.best.values()) == pytest.approx(1.0, abs=0.01)
    close = asked(evidence, accuracy="0.8").at_accuracy
    assert close is not None
    assert (close.label, close.safe) == (FP8, "")
    never = asked(evidence, accuracy="99.9%")
    assert never.at_accuracy is not None
    assert never.at_accuracy.label == ""
    assert "No system reaches 99.9 %." in never.finding


def test_what_is_lost_without(evidence: Evidence) -> None:
    whole = by_label(asked(evidence))
    found = asked(evidence, without="fp8").without
    assert found is not None
    assert found.systems == (FP8,)
    assert found.lost is not None
    assert found.lost == whole[FP8].contribution
    last = found.steps[-1]
    assert last.budget == FP8
    assert last.lost.low > 0
    assert last.without.value < last.best.value
    family = asked(evidence, without="LLAMA").without
    assert family is not None
    assert set(family.systems) == {BF16, FP8, W4}
    nothing = asked(evidence, without="x/qwen3-4b@bf16").without
    assert nothing is not None
    assert nothing.lost is not None
    assert nothing.lost.value == 0.0
    everybody = asked(evidence, without="*").without
    assert everybody is not None
    assert everybody.hypervolume is None
    assert everybody.share is not None
    assert everybody.share.value == 1.0
    assert all(step.without.value == 0.0 for step in everybody.steps)
    with pytest.raises(NotFound, match="plane named 'gemma'"):
        asked(evidence, without="gemma")


def test_a_reference_of_ones_own(evidence: Evidence) -> None:
    found = asked(evidence, reference="cost=0.003, accuracy=50%")
    assert [(axis.name, axis.reference) for axis in found.axes] == [
        ("accuracy", 0.5),
        ("cost", 0.003),
    ]
    lost = by_label(found)[BF16].contribution
    assert lost is not None
    assert lost.value == 0.0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"on": "accuracy"}, "two or three objectives, not 1"),
        ({"on": "accuracy,cost,latency,bits"}, "two or three objectives, not 4"),
        ({"on": "accuracy,costs"}, "no objective named 'costs'"),
        ({"by": "colour"}, "no grouping named 'colour'"),
        ({"budget": "-1"}, "Cannot read a budget of cost from '-1'"),
        ({"budget": "1 s"}, "Cannot read a budget of cost"),
        ({"budget": "$1", "on": "accuracy,latency"}, "Cannot read a budget of latency"),
        ({"budget": "1..2"}, "Cannot read a budget"),
        ({"budget": "1", "on": "cost,latency"}, "needs a frontier of accuracy"),
        ({"accuracy": "60"}, "Cannot read an accuracy from '60'"),
        ({"accuracy": "sixty"}, "Cannot read an accuracy"),
        ({"reference": "latency=1"}, "no objective of this frontier named 'latency'"),
        ({"reference": "cost=0"}, "Cannot read a reference of cost"),
        ({"reference": "accuracy=100%"}, "No accuracy is above 100 %"),
    ],
)
def test_what_cannot_be_read_is_said(words: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said.replace("(", r"\(")):
        read_choice(Asked(**words))


def test_accuracy_comes_first_whatever_the_order() -> None:
    assert read_choice(Asked(on="cost,latency,accuracy")).on == ("accuracy", "cost", "latency")
    assert read_choice(Asked()) == Choice()


def one_run(store: Store, *kinds: Kind, samples: int = 30) -> Frontier:
    return frontier_of(store, sailed(store, kinds, samples=samples))


def test_one_system_is_alone(store: Store) -> None:
    found = one_run(store, Kind("x/a", "bf16", 0.8, 0.001))
    assert [(p.label, p.on_frontier, p.dominated_by) for p in found.points] == [("a bf16", 1.0, {})]
    assert "The knee" not in found.finding


def test_two_of_one_name_are_told_apart(store: Store) -> None:
    found = one_run(store, Kind("x/a", "bf16", 0.9, 0.001), Kind("y/a", "bf16", 0.5, 0.002))
    labels = [point.label for point in found.points]
    assert len(set(labels)) == 2
    assert all(label.startswith("a bf16 ") for label in labels)
    assert [list(point.dominated_by) for point in found.points] == [labels[1:], labels[:1]]


def test_runs_on_the_same_samples_share_a_plane(store: Store) -> None:
    one = sailed(store, FLEET[:2], samples=60)
    two = sailed(store, FLEET[2:4], samples=60)
    found = frontier_of(store, one, "saturated", Choice(also=(two, one)))
    whole = frontier_of(store, sailed(store, FLEET[:4], samples=60))
    assert found.runs == (one, two)
    assert len(found.points) == 4
    assert {p.label for p in found.points} == {p.label for p in whole.points}
    assert found.families == whole.families
    alone = by_label(frontier_of(store, one))
    assert by_label(found)[FP8].cost == alone[FP8].cost
    assert any("different times" in note for note in found.notes)
    assert frontier_of(store, one, "saturated", Choice(also=(one,))) == frontier_of(store, one)


def test_other_samples_and_systems_measured_twice_are_refused(store: Store) -> None:
    one = sailed(store, FLEET[:2], samples=60)
    for other, said in (
        (sailed(store, FLEET[2:3], samples=30), "its limit differ"),
        (sailed(store, FLEET[2:3], samples=60, levels=2), "its levels differ"),
        (sailed(store, FLEET[1:2], samples=60), "measured Llama-3-8B fp8"),
    ):
        with pytest.raises(ConfigError, match=said):
            frontier_of(store, one, "saturated", Choice(also=(other,)))


def test_it_is_said_when_not_all_tried_the_same(store: Store) -> None:
    run = sailed(store, FLEET[:2], samples=60, skipped=("fp8",))
    found = frontier_of(store, run)
    assert "Systems were scored on 30 to 60 samples, not all on the same." in found.notes


def test_none_passes(store: Store) -> None:
    found = one_run(store, Kind("x/a", "bf16", -9, 0.001), Kind("x/b", "bf16", -9, 0.002))
    assert [point.undominated for point in found.points] == [True, False]
    assert found.points[0].cost_of_pass is not None
    assert found.points[0].cost_of_pass.value == math.inf
    assert found.hypervolume is not None
    assert found.hypervolume.value == 0.0
    per_pass = frontier_of(
        store, found.run_id, "saturated", Choice(on=("accuracy", "cost-of-pass"))
    )
    assert all(point.undominated for point in per_pass.points)
    gone = frontier_of(store, found.run_id, "saturated", Choice(without="x/a*"))
    assert gone.without is not None
    assert gone.without.share is None
    assert "nothing is lost" in gone.finding


def test_all_pass(store: Store) -> None:
    found = one_run(store, Kind("x/a", "bf16", 9, 0.001), Kind("x/b", "bf16", 9, 0.002))
    assert [(p.undominated, p.on_frontier) for p in found.points] == [(True, 1.0), (False, 0.0)]


def test_one_family_says_nothing_about_chance(store: Store, tmp_path: Path) -> None:
    found = one_run(store, Kind("x/a", "bf16", 0.9, 0.001), Kind("x/b", "fp8", 9, 0.02), samples=1)
    assert found.families == 1
    assert {point.on_frontier for point in found.points} == {None}
    assert all(p.cost is not None and p.cost.high == math.inf for p in found.points)
    assert "nothing can be resampled" in found.notes[0]
    assert "resamples" not in found.finding
    assert from_json(to_json(found), Frontier) == found
    drawn("frontier", found, str(tmp_path / "one.svg"))
    assert (tmp_path / "one.svg").stat().st_size > 1000


def test_nothing_scored_and_an_empty_plane(store: Store, tmp_path: Path) -> None:
    found = one_run(store, Kind("x/a", "bf16", 0.9, None))
    assert found.finding == "No system is both valid and priced."
    assert found.points == ()
    for by in GROUPINGS:
        choice = Choice(by=by, budget=1.0, accuracy=0.5, without="x")
        again = frontier_of(store, found.run_id, "saturated", choice)
        assert (again.at_budget, again.at_accuracy, again.without) == (None, None, None)
    drawn("frontier", found, str(tmp_path / "empty.svg"))
    assert (tmp_path / "empty.svg").exists()


def test_a_picture_is_the_same_bytes_for_the_same_report(
    evidence: Evidence, tmp_path: Path
) -> None:
    found = asked(evidence, without="fp8", budget="0.01", accuracy="50%")
    for name in ("one.svg", "two.svg"):
        drawn("frontier", found, str(tmp_path / name))
    first = (tmp_path / "one.svg").read_bytes()
    assert first == (tmp_path / "two.svg").read_bytes()
    assert b"Llama-3-8B fp8 &gt;99 %" in first
    assert b"without fp8" in first


@pytest.mark.parametrize(
    ("words", "panels"),
    [({"by": "model"}, 2), ({"on": "accuracy,cost,latency"}, 3), ({"on": "cost,latency"}, 1)],
)
def test_groups_and_triples_have_a_panel_each(
    evidence: Evidence, tmp_path: Path, words: dict[str, str], panels: int
) -> None:
    drawn("frontier", asked(evidence, **words), str(tmp_path / "some.svg"))
    text = (tmp_path / "some.svg").read_text()
    assert text.count('<g id="axes_') == panels


def test_the_leaderboards_share_is_the_frontiers(evidence: Evidence) -> None:
    shares = on_frontier(evidence)
    points = asked(evidence).points
    assert shares == {point.system_id: point.on_frontier for point in points}
    assert not any(np.isnan(share) for share in shares.values())
