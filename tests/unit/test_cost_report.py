"""Costs of right answers of whole runs made with the scripted engine."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from qbench.benchmarks.chat import Sampling
from qbench.errors import ConfigError, NotFound
from qbench.service.domain import Controls, System
from qbench.service.order import Order, to_request
from qbench.service.plan import make_plan
from qbench.service.pricebook import read_prices
from qbench.service.reports.cost.families import groups, model_family, techniques
from qbench.service.reports.cost.options import CostOptions
from qbench.service.reports.cost.report import costs_of_pass
from qbench.service.reports.cost.values import CostOfPass, CostsOfPass
from qbench.service.reports.values import from_json, to_json
from qbench.service.store import Store
from qbench.workers.progress import Silent
from qbench.workers.steps import execute

BOOK = read_prices({})
PLAIN = CostOptions()


def made(store: Store, hardware: str = "cpu-2core", epochs: int = 1, **options: Any) -> str:
    order = Order(
        suite="sums",
        models=("some/model",),
        formats=("fp8", "w4a16"),
        engine="scripted",
        samples=90,
        epochs=epochs,
        levels=(1, 2, 3, 4, 5),
        sampling=Sampling(),
        options={"accuracy": {"bf16": 0.8, "fp8": 0.8, "w4a16": 0.3}} | options,
    )
    controls = Controls(hardware=hardware)
    plan = make_plan(to_request(order), controls, now=datetime.now(UTC))
    store.create_run(plan.run, plan.cells, plan.shards, plan.samples)
    asyncio.run(execute(plan.run, store, BOOK, Silent()))
    return plan.run.id


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store.open(str(tmp_path_factory.mktemp("costs") / "runs.db")) as opened:
        yield opened


@pytest.fixture(scope="module")
def run_id(store: Store) -> str:
    return made(store, epochs=2)


def rows(found: CostsOfPass) -> dict[str, CostOfPass]:
    return {row.label.partition(" ")[2]: row for row in found.rows}


def test_without_an_expert_the_frontier_is_infinite_and_says_so(store: Store, run_id: str) -> None:
    found = costs_of_pass(store, run_id, "saturated", PLAIN, BOOK)
    assert found.expert is None
    assert found.frontier is not None
    assert found.frontier.value.value == math.inf
    assert found.frontier.unsolved == found.frontier.at_expert > 0
    assert "∞" in found.finding
    assert any("give --expert" in note for note in found.notes)
    only = found.frontier.solved_only
    assert only is not None
    assert 0 < only.low <= only.value <= only.high < math.inf
    for row in found.rows:
        assert row.per_problem_mean is not None
        assert row.per_problem_mean.value == math.inf
        assert (row.gain, row.essentialness) == (None, None)


def test_with_an_expert_everything_is_bounded(store: Store, run_id: str) -> None:
    asked = CostOptions.read(expert="2.50", retries=3, families=["narrow=*@w4*"])
    found = costs_of_pass(store, run_id, "saturated", asked, BOOK)
    assert found.expert is not None
    assert found.expert.dollars == Decimal("2.50")
    assert found.frontier is not None
    whole = found.frontier.value
    assert whole.low < whole.value < whole.high < 2.5
    assert found.frontier.held_out is not None
    for row in found.rows:
        assert row.per_problem_mean is not None
        assert row.gain is not None
        assert row.essentialness is not None
        assert row.cheapest_share is not None
        assert whole.value <= row.per_problem_mean.value <= 2.5
        assert 0 <= row.essentialness.value <= 1
        assert row.retries is not None
        assert row.retries.extrapolated
        assert row.retries.with_expert is not None
    kept = rows(found)
    shares = sum(row.cheapest_share.value for row in kept.values() if row.cheapest_share)
    solved = 1 - found.frontier.at_expert / found.frontier.problems
    assert shares == pytest.approx(solved)
    (family,) = found.families
    assert (family.kind, family.name) == ("given", "narrow")
    assert family.essentialness == kept["w4a16"].essentialness
    assert "less than the expert's" in found.finding


def test_one_epoch_has_no_held_out_cost(store: Store) -> None:
    found = costs_of_pass(store, made(store), "dedicated", CostOptions.read(expert="1"), BOOK)
    assert found.basis == "dedicated"
    assert found.frontier is not None
    assert found.frontier.held_out is None
    assert any("one attempt per problem" in note for note in found.notes)


def test_the_unpriced_have_no_frontier(store: Store) -> None:
    found = costs_of_pass(store, made(store, hardware=""), "saturated", PLAIN, BOOK)
    assert found.frontier is None
    assert {row.left_out for row in found.rows} == {"unpriced"}
    assert all(row.cost is None for row in found.rows)
    assert found.finding.startswith("No system is both valid and priced")


def test_invalid_systems_and_copies_are_left_out(store: Store) -> None:
    found = costs_of_pass(store, made(store, faults={"http_500": 0.2}), "saturated", PLAIN, BOOK)
    assert found.frontier is None
    assert all(row.left_out for row in found.rows)


def test_a_system_that_passes_nothing_costs_the_expert(store: Store) -> None:
    run = made(store, accuracy={"bf16": 0.9, "*": 0.0})
    found = costs_of_pass(store, run, "saturated", CostOptions.read(expert="5"), BOOK)
    nothing = rows(found)["fp8"]
    assert nothing.ratio_of_means is not None
    assert (nothing.ratio_of_means.value, nothing.ratio_of_means.high) == (math.inf, math.inf)
    assert nothing.per_problem_mean is not None
    assert nothing.per_problem_mean.low < nothing.per_problem_mean.value == 5
    assert nothing.gain is not None
    assert nothing.gain.value == 0


def test_release_days_come_from_the_book_or_the_user(store: Store, run_id: str) -> None:
    unknown = costs_of_pass(store, run_id, "saturated", CostOptions.read(expert="1"), BOOK)
    assert unknown.releases == ()
    assert unknown.decay is None
    asked = CostOptions.read(expert="1", released=["model=2025-05-01"])
    (step,) = costs_of_pass(store, run_id, "saturated", asked, BOOK).releases
    assert (step.released, step.models) == (date(2025, 5, 1), ("some/model",))
    assert unknown.frontier is not None
    assert step.value == unknown.frontier.value
    assert step.relative_gain is not None
    assert step.relative_gain.value == pytest.approx(1 - step.value.value)


def test_the_value_survives_its_json(store: Store, run_id: str) -> None:
    asked = CostOptions.read(expert="2.50", retries=2, released=["some/model=2025-05-01"])
    found = costs_of_pass(store, run_id, "saturated", asked, BOOK)
    assert from_json(to_json(found), CostsOfPass) == found
    plain = json.loads(to_json(costs_of_pass(store, run_id, "saturated", PLAIN, BOOK)))
    assert plain["frontier"]["value"]["value"] == "inf"
    assert plain["schema"] == 1


def test_what_cannot_be_read_is_refused() -> None:
    for wrong in (
        {"expert": "much"},
        {"expert": "0"},
        {"expert": "inf"},
        {"retries": -1},
        {"families": ["llama"]},
        {"released": ["gpt=soon"]},
    ):
        with pytest.raises(ConfigError):
            CostOptions.read(**wrong)


def systems(*refs: str) -> list[System]:
    pairs = (ref.split("@") for ref in refs)
    return [System(model=model, format=made, engine="vllm") for model, made in pairs]


def test_groups_are_by_model_format_and_family() -> None:
    some = systems(
        "meta-llama/Meta-Llama-3.1-8B@bf16",
        "meta-llama/Meta-Llama-3.1-8B@fp8",
        "meta-llama/Llama-3.3-70B@bf16",
        "openai/gpt-4o@native",
    )
    assert [model_family(s) for s in some] == ["llama", "llama", "llama", "gpt"]
    found = {(group.kind, group.name): len(group.ids) for group in groups(some, {"q": "*@FP8"})}
    assert found == {
        ("model", "meta-llama/Meta-Llama-3.1-8B"): 2,
        ("model", "meta-llama/Llama-3.3-70B"): 1,
        ("model", "openai/gpt-4o"): 1,
        ("format", "bf16"): 2,
        ("format", "fp8"): 1,
        ("format", "native"): 1,
        ("model family", "llama"): 3,
        ("model family", "gpt"): 1,
        ("given", "q"): 1,
    }
    with pytest.raises(NotFound, match="claude"):
        groups(some, {"c": "*claude*"})
    assert groups(some[:1], {}) == ()


def test_techniques_are_the_strategies_that_are_not_the_plain_one() -> None:
    plain, other = systems("a@bf16", "b@bf16")
    texts = replace(other, strategy=replace(other.strategy, tool_protocol="text"))
    assert techniques([plain, other], plain.strategy) == ()
    (found,) = techniques([plain, texts], plain.strategy)
    assert (found.name, set(found.ids)) == ("tool_protocol text", {texts.id})


def test_a_book_of_the_users_own(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        "experts:\n  - {name: sums, dollars: 0.25, source: 'own: a minute', checked: 2026-11-25}\n"
        "releases:\n  - {name: desk-model, matches: ['desk-.*'], released: 2026-01-02,"
        " source: 'own: we trained it', checked: 2026-11-25}\n"
    )
    book = read_prices({"QBENCH_PRICES": str(file)})
    expert = PLAIN.expert_of("sums", book)
    assert expert is not None
    assert expert.dollars == Decimal("0.25")
    assert PLAIN.released_on("us/Desk-7B", book) == date(2026, 1, 2)
    assert PLAIN.released_on("us/other", book) is None
    assert PLAIN.expert_of("gsm8k", book) is not None
    file.write_text("experts:\n  - {name: sums, dollars: 0, source: 'own: x', checked: 2026-11-25}")
    with pytest.raises(ConfigError, match="leave out an expert"):
        read_prices({"QBENCH_PRICES": str(file)})
