"""How a run that goes on until it is decided is cut into rounds."""

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from qbench.cli.options import until_of
from qbench.errors import ConfigError, NotFound
from qbench.service.commandline import command_of
from qbench.service.domain import Controls, Request
from qbench.service.order import DEFAULT_MOST, Order, refuse_sequential, to_request
from qbench.service.plan import Plan, make_plan
from qbench.service.reports.sequential.report import decided_after
from qbench.service.rounds import FIRST, round_numbers, rounds_of, sample_rounds

ORDER = Order(suite="sums", models=("a/b",), formats=("fp8",), engine="scripted", until="decided")


def planned(request: Request) -> Plan:
    return make_plan(request, Controls(), now=datetime.now(UTC))


def sizes(request: Request) -> list[int]:
    numbers = list(round_numbers(request))
    return [numbers.count(number) for number in range(max(numbers) + 1)]


def test_the_request_says_until_and_older_ids_stay() -> None:
    until = to_request(replace(ORDER, samples=100))
    done = replace(until, until="done")
    assert until.sequential
    assert until.id != done.id
    assert until.limit == 100
    assert to_request(ORDER).limit == DEFAULT_MOST


def test_rounds_hold_every_task_and_level_alike_and_all_samples() -> None:
    request = to_request(replace(ORDER, samples=500))
    cycle = len(request.tasks) * len(request.levels)
    assert all(size % cycle == 0 and size >= FIRST for size in sizes(request)[:-1])
    assert sum(sizes(request)) == 500
    plan = planned(request)
    by_sample = sample_rounds(plan.shards)
    drawn = [by_sample[sample.id] for sample in plan.samples]
    assert drawn == list(round_numbers(request))
    first = [s for s in plan.samples if by_sample[s.id] == 0]
    assert {(s.task, s.level) for s in first} == {
        (task, level) for task in request.tasks for level in request.levels
    }


def test_rounds_grow_where_an_engine_is_started_for_each() -> None:
    request = to_request(replace(ORDER, samples=1000))
    assert len(set(sizes(request)[:8])) == 1
    loaded = replace(request, systems=tuple(replace(s, engine="vllm") for s in request.systems))
    grown = sizes(loaded)
    assert grown[:-1] == sorted(grown[:-1])
    assert len(grown) < len(sizes(request))
    assert sum(grown) == 1000


def test_a_shard_holds_a_round_whatever_the_epochs() -> None:
    plan = planned(to_request(replace(ORDER, samples=300, epochs=5)))
    numbers = rounds_of(reversed(plan.shards))
    cells = len(plan.cells)
    assert sorted(numbers.values()) == sorted(list(range(max(numbers.values()) + 1)) * cells)
    assert sum(cell.planned for cell in plan.cells) == plan.attempts
    assert all(cell.pending == max(numbers.values()) + 1 for cell in plan.cells)


def test_what_recurs_refuses_and_a_wrong_word_is_told() -> None:
    with pytest.raises(ConfigError, match="asks every sample"):
        refuse_sequential(to_request(ORDER))
    refuse_sequential(to_request(replace(ORDER, until="done")))
    with pytest.raises(NotFound):
        until_of("decide")
    assert until_of("decided") == "decided"


def test_one_system_alone_has_nothing_to_decide() -> None:
    with pytest.raises(ConfigError, match="nothing to decide"):
        to_request(replace(ORDER, formats=()))


def test_a_plan_says_when_differences_are_decided() -> None:
    said = decided_after(to_request(replace(ORDER, samples=2000)))
    assert list(said) == ["0 points", "5 points", "10 points", "20 points"]
    assert said["10 points"].startswith("about ")
    little = decided_after(to_request(replace(ORDER, samples=100)))
    assert little["0 points"] == "not within 100"
    assert decided_after(to_request(replace(ORDER, until="done"))) == {}


def test_the_command_of_such_a_run_is_one_of_its_kind() -> None:
    request = to_request(ORDER)
    said = command_of(request, request.systems, samples=1500)
    assert "--until decided" in said
    assert "-n 1500" in said
