"""Plans: samples that questions need, what past runs tell, and what would settle a run."""

from __future__ import annotations

import io
import math
import shlex
from collections.abc import Callable, Iterator

import pytest
from msgspec.structs import replace
from rich.cells import cell_len
from rich.console import Console
from typer.testing import CliRunner

from qbench.benchmarks.chat import Sampling
from qbench.cli.options import Wish, ordering
from qbench.cli.planning import points_of
from qbench.cli.render import console, plans
from qbench.errors import ConfigError
from qbench.service.commandline import command_of
from qbench.service.domain import Controls, Limits, Request, Strategy
from qbench.service.order import Order, to_request
from qbench.service.reports.prospect.design import designed, settling
from qbench.service.reports.prospect.values import Design, Settling
from qbench.service.reports.values import from_json, to_json
from qbench.service.store import Store
from tests.scripted_runs import made_run

SKILL = {"bf16": 0.8, "fp8": 0.8, "w4a16": 0.76}
ORDER = Order(
    suite="sums",
    models=("some/model",),
    formats=("fp8", "w4a16"),
    engine="scripted",
    samples=90,
    levels=(1, 2, 3),
    options={"accuracy": SKILL},
)


def made(store: Store, order: Order = ORDER) -> str:
    return made_run(store, order)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store.open(str(tmp_path_factory.mktemp("plans") / "runs.db")) as opened:
        yield opened


@pytest.fixture(scope="module")
def run_id(store: Store) -> str:
    return made(store)


def plan_for(
    store: Store, order: Order = ORDER, *, discordant: float | None = None, power: float = 0.8
) -> Design:
    request = to_request(order)
    return designed(store, request, Controls(), mde=0.01, power=power, discordant=discordant)


def test_without_a_past_the_assumption_is_named(store: Store) -> None:
    found = plan_for(store, replace(ORDER, models=("nobody/knows",)))
    assert found.source == "assumed: 30 % of the samples discordant; no past run tells"
    first, same, no_worse = found.needs
    n = first.alone
    assert 0.01 * n == pytest.approx(2.8015852 * math.sqrt(0.3 * n) + 1, abs=0.01)
    assert first.corrected > first.alone
    assert same.alone == math.ceil(2.9264052**2 * 0.3 / 0.05**2)
    assert no_worse.alone == math.ceil(2.4864749**2 * 0.3 / 0.05**2)
    assert found.detectable == pytest.approx(2.8015852 * math.sqrt(0.3 / 90) + 1 / 90)
    assert {one.runs for one in found.expected} == {0}
    assert "not enough" in found.finding


def test_a_said_share_is_taken_as_said(store: Store, run_id: str) -> None:
    found = plan_for(store, discordant=0.1)
    assert run_id
    assert found.source == "assumed: 10 % of the samples discordant"
    assert found.between == 0.1


def test_the_past_tells_spread_and_time(store: Store, run_id: str) -> None:
    """bf16 and fp8 never differ and so tell no spread; w4a16 does."""
    found = plan_for(store)
    assert run_id
    assert found.source == "measured: 1 difference in 1 past run"
    assert 0.02 < found.between < 0.1
    assert found.needs[0].alone < 7_000
    for one in found.expected:
        assert one.runs == 1
        assert one.minutes is not None
        assert one.minutes > 0
        assert one.dollars is None


def test_more_power_needs_more(store: Store) -> None:
    likely, sure = plan_for(store), plan_for(store, power=0.95)
    for less, more in zip(likely.needs, sure.needs, strict=True):
        assert less.alone < more.alone


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"mde": 0.0}, "difference"),
        ({"mde": 1.0}, "difference"),
        ({"power": 1.0}, "power"),
        ({"discordant": 0.0}, "discordant"),
    ],
)
def test_numbers_out_of_range_are_refused(store: Store, given: dict[str, float], said: str) -> None:
    asked = {"mde": 0.01, "power": 0.8, "discordant": 0.3} | given
    with pytest.raises(ConfigError, match=said):
        designed(store, to_request(ORDER), Controls(), **asked)


def test_one_system_has_nothing_to_plan(store: Store) -> None:
    with pytest.raises(ConfigError, match="compared with nothing"):
        plan_for(store, replace(ORDER, formats=()))


@pytest.mark.parametrize(
    ("text", "share"), [("1pt", 0.01), ("2.5 points", 0.025), ("0.01", 0.01), (".5pts", 0.005)]
)
def test_differences_are_read(text: str, share: float) -> None:
    assert points_of(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["1", "", "a lot", "-1pt", "100pt", "0"])
def test_what_is_no_difference_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="difference"):
        points_of(text)


def test_an_open_verdict_is_told_what_settles_it(store: Store, run_id: str) -> None:
    found = settling(store, run_id)
    (row,) = found.rows
    assert row.label == "model w4a16"
    assert row.needed is not None
    assert 91 <= row.needed.low <= row.needed.value <= row.needed.high
    assert f"-n {row.needed.value:.0f} " in row.command
    assert row.minutes is not None
    assert found.finding.startswith("Samples in all that would settle it at 80 % power: ")


def test_what_never_differed_asks_for_more(store: Store) -> None:
    run = made(store, replace(ORDER, samples=20, formats=("fp8",)))
    (row,) = settling(store, run).rows
    assert row.needed is None
    assert "-n 40 " in row.command
    assert "nobody can say" in settling(store, run).finding


def test_a_settled_run_is_settled(store: Store) -> None:
    skill = {"accuracy": {"bf16": 0.9, "w4a16": 0.2}}
    run = made(store, replace(ORDER, formats=("w4a16",), options=skill))
    found = settling(store, run)
    assert found.rows == ()
    assert found.finding == "No verdict of this run is inconclusive."


@pytest.mark.parametrize(
    "order",
    [
        ORDER,
        replace(ORDER, suite="sums/add", seed=7, epochs=3, margin=0.02, noise_floor=True),
        replace(
            ORDER,
            formats=("w4a16",),
            baseline="fp8",
            limits=Limits(turns=3, seconds=20.0),
            sampling=Sampling(temperature=0.6, top_p=0.9, max_tokens=99),
            strategy=Strategy(tool_protocol="text", examples=False),
        ),
    ],
)
def test_the_command_makes_the_same_request(order: Order) -> None:
    request = to_request(order)
    wishes: list[Wish] = []
    line = shlex.split(command_of(request, request.systems[:2], samples=450))
    ended = CliRunner().invoke(ordering(wishes.append, "read"), line[2:])
    assert ended.exit_code == 0, ended.output
    again = to_request(wishes[0].order)
    baseline = next(s for s in request.systems if s.id == request.baseline)
    single = [system for system in again.systems if not system.replica]
    wanted = [*request.systems[:2], baseline]
    assert all(system in wanted for system in single)
    assert all(system in single for system in wanted)
    assert next(s for s in again.systems if s.id == again.baseline) == baseline
    same: Request = replace(
        again, systems=request.systems, baseline=request.baseline, limit=request.limit
    )
    assert same == request
    assert again.limit == 450
    assert any(s.replica for s in again.systems) == any(s.replica for s in request.systems)


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], str]:
    def draw(act: Callable[[], None]) -> str:
        file = io.StringIO()
        out = Console(file=file, width=80, highlight=False)
        monkeypatch.setattr(console, "out", out)
        monkeypatch.setattr(plans, "out", out)
        act()
        return file.getvalue()

    return draw


def test_plans_are_drawn(
    store: Store, run_id: str, printed: Callable[[Callable[[], None]], str]
) -> None:
    plan, settled = plan_for(store), settling(store, run_id)
    assert from_json(to_json(plan), Design) == plan
    assert from_json(to_json(settled), Settling) == settled
    text = printed(lambda: plans.design(plan))
    assert max(cell_len(line) for line in text.splitlines()) <= 80
    assert " ".join(text.split()).endswith(plan.finding)
    assert "unpriced" in text
    text = printed(lambda: plans.settling(settled))
    assert " ".join(text.split()).endswith(settled.finding)
    assert settled.rows[0].command in text
