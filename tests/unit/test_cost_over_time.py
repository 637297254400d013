"""Costs of right answers of made-up attempts: many models, release days, strategies."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime

import numpy as np
import pytest
from msgspec.structs import replace

from qbench.benchmarks.analysis.outcomes import SCORED, Outcomes
from qbench.service.domain import Controls, Request, Run, RunStatus, System
from qbench.service.pricebook import read_prices
from qbench.service.reports.cost.options import CostOptions
from qbench.service.reports.cost.report import costs_of
from qbench.service.reports.cost.values import CostsOfPass
from qbench.service.reports.evidence import Evidence

BOOK = read_prices({})
MODELS = {
    "openai/gpt-4o": (0.3, 0.02),
    "openai/gpt-4o-mini": (0.4, 0.01),
    "openai/o1-mini": (0.6, 0.008),
    "meta/Llama-3.3-70B": (0.7, 0.004),
    "deepseek/DeepSeek-R1": (0.9, 0.003),
    "us/unheard-of": (0.9, 0.5),
}
"""Pass rate and dollars per attempt, in the order of their release; the last has no day."""


def system(model: str) -> System:
    return System(model=model, format="native", engine="api")


def evidence(systems: list[System], rates: list[float], costs: list[float]) -> Evidence:
    """Make 60 problems of 30 families with 4 attempts per system; each knows its own problems."""
    rng = np.random.default_rng(1)
    samples, epochs = 60, 4
    shape = (len(systems), samples, epochs)
    place, sample, epoch = (part.ravel().astype(np.int32) for part in np.indices(shape))
    knows = rng.random((len(systems), samples)) < np.array(rates)[:, None]
    n = place.size
    passed = knows[place, sample]
    keys = tuple(one.id for one in systems)
    outcomes = Outcomes(
        systems=keys,
        samples=tuple(map(str, range(samples))),
        sample_family=(np.arange(samples) // 2).astype(np.int32),
        families=tuple(map(str, range(samples // 2))),
        sample_level=np.ones(samples, dtype=np.int32),
        sample_task=np.zeros(samples, dtype=np.int32),
        tasks=("task",),
        system=place,
        sample=sample,
        epoch=epoch,
        status=np.full(n, SCORED, dtype=np.int8),
        passed=passed,
        value=passed.astype(np.float64),
        prompt_tokens=np.full(n, 10.0),
        cached_tokens=np.zeros(n),
        completion_tokens=np.full(n, 10.0),
        seconds=np.ones(n),
        truncated=np.zeros(n, dtype=bool),
        parse_failures=np.zeros(n, dtype=np.int32),
        retries=np.zeros(n, dtype=np.int32),
        calls=np.ones(n, dtype=np.int32),
        cost={"api": np.array(costs)[place] * (1 + 0.1 * rng.random(n))},
    )
    request = Request(
        systems=tuple(systems),
        baseline=keys[0],
        suite="gsm8k",
        suite_version="1",
        tasks=("task",),
        levels=(1,),
        limit=samples,
        epochs=epochs,
    )
    run = Run(
        id="made",
        request=request,
        controls=Controls(),
        status=RunStatus.DONE,
        created_at=datetime(2026, 11, 25, tzinfo=UTC),
    )
    planned = dict.fromkeys(keys, samples * epochs)
    return Evidence(run=run, basis="saturated", outcomes=outcomes, planned=planned, endpoints=())


@pytest.fixture(scope="module")
def found() -> CostsOfPass:
    rates, costs = zip(*MODELS.values(), strict=True)
    made = evidence([system(model) for model in MODELS], list(rates), list(costs))
    return costs_of(made, CostOptions(), BOOK)


def test_the_suites_expert_comes_from_the_book(found: CostsOfPass) -> None:
    assert found.expert is not None
    assert (float(found.expert.dollars), found.expert.source[:8]) == (3.5, "https://")


def test_the_frontier_falls_release_by_release(found: CostsOfPass) -> None:
    days = [step.released for step in found.releases]
    assert days == sorted(days)
    assert days[0] == date(2024, 5, 13)
    assert len(days) == 5
    values = [step.value.value for step in found.releases]
    assert values == sorted(values, reverse=True)
    before = 3.5
    for step in found.releases:
        assert step.gain is not None
        assert step.relative_gain is not None
        assert step.gain.value == pytest.approx(before - step.value.value)
        assert step.relative_gain.value == pytest.approx(step.gain.value / before)
        assert step.relative_gain.low <= step.relative_gain.value <= step.relative_gain.high
        before = step.value.value
    assert found.frontier is not None
    assert found.frontier.value.value <= values[-1]
    assert any("us/unheard-of" in note for note in found.notes)


def test_five_days_show_a_halving_time(found: CostsOfPass) -> None:
    assert found.no_decay == ""
    assert found.decay is not None
    half = found.decay.halving_months
    assert half.low <= half.value <= half.high
    assert half.value == pytest.approx(math.log(2) / found.decay.b)


def test_families_of_models_are_told(found: CostsOfPass) -> None:
    families = {one.name: one for one in found.families if one.kind == "model family"}
    assert set(families) == {"gpt", "o", "llama", "deepseek", "unheard"}
    for one in families.values():
        assert one.essentialness is not None
        assert 0 <= one.essentialness.low <= one.essentialness.value <= one.essentialness.high <= 1
    alone = next(row for row in found.rows if row.label.startswith("DeepSeek-R1"))
    assert families["deepseek"].essentialness == alone.essentialness


def test_a_technique_that_never_helps_has_no_benefit_and_one_that_does_has_some() -> None:
    plain = system("openai/gpt-4o")
    text = replace(plain, strategy=replace(plain.strategy, tool_protocol="text"))
    for rates, costs, helps in (([0.5, 0.5], [0.1, 5.0], False), ([0.3, 0.9], [0.1, 0.1], True)):
        told = costs_of(evidence([plain, text], rates, costs), CostOptions(), BOOK)
        (one,) = told.techniques
        assert one.name == "tool_protocol text"
        assert one.benefit is not None
        assert (one.benefit.value > 0) is helps
        assert one.benefit.low >= 0


def test_systems_without_a_shared_problem_have_no_frontier() -> None:
    made = evidence([system("a/a"), system("b/b")], [0.5, 0.5], [0.1, 0.1])
    outcomes = made.outcomes
    even = outcomes.sample % 2 == outcomes.system
    kept = {
        name: getattr(outcomes, name)[even]
        for name in (
            "system sample epoch status passed value prompt_tokens cached_tokens completion_tokens "
            "seconds truncated parse_failures retries calls"
        ).split()
    }
    fewer = Outcomes(
        **{name: getattr(outcomes, name) for name in outcomes.__dataclass_fields__}
        | kept
        | {"cost": {"api": outcomes.cost["api"][even]}}
    )
    planned = dict.fromkeys(outcomes.systems, 120)
    apart = Evidence(run=made.run, basis="saturated", outcomes=fewer, planned=planned, endpoints=())
    found = costs_of(apart, CostOptions(), BOOK)
    assert found.frontier is None
    assert found.finding.startswith("No problem was scored for every compared system")
