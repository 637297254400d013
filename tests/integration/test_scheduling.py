"""Schedules: due once, fired once, compared, confirmed, told once, whoever dies in between."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from qbench.benchmarks.analysis.runs.drift import Watch
from qbench.errors import ConfigError, NotFound
from qbench.service.domain import RunStatus
from qbench.service.order import Order
from qbench.service.reports.history.report import history_of
from qbench.service.reports.values import to_json
from qbench.service.scheduling import beat, follow
from qbench.service.store import Store
from tests.integration.recurring import NIGHTLY, NO_PRICES, START, World, add, work


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with Store.open(url) as opened:
        yield opened


@pytest.fixture
def world(store: Store) -> World:
    return World(store)


def test_a_schedule_comes_due_once_for_all_who_ask(store: Store, url: str) -> None:
    for number in range(5):
        add(store, replace(NIGHTLY, name=f"s{number}"))
    with Store.open(url, upgrade=False) as other, ThreadPoolExecutor(8) as pool:
        askers = [store, other] * 4
        found = list(pool.map(lambda one: one.due(START + timedelta(days=1)), askers))
    assert len([firing for firings in found for firing in firings]) == 5
    assert len(store.firings()) == 5
    assert store.due(START + timedelta(days=1)) == ()


def test_missed_times_make_one_firing_and_the_next_is_ahead(store: Store) -> None:
    schedule, now = add(store), START + timedelta(days=9)
    [firing] = store.due(now)
    assert firing.due_at == schedule.next_at
    assert store.schedule("nightly").next_at == START.replace(day=11, hour=3)


@pytest.mark.parametrize(("wanted", "systems"), [(None, 2), (True, 3), (False, 2)])
def test_what_recurs_is_measured_once_unless_told_otherwise(
    store: Store, wanted: bool | None, systems: int
) -> None:
    """Runs of a schedule keep their identity, which drift is judged by."""
    order = Order(suite="sums/add", engine="embedded", formats=("fp8",), noise_floor=wanted)
    world = World(store, replace(NIGHTLY, order=order))
    world.clock.sleep(days=1)
    world.beat()
    assert len(store.run(world.newest.run_id or "").request.systems) == systems


def test_paused_and_removed_schedules_do_not_come_due(store: Store) -> None:
    first, second = add(store), add(store, replace(NIGHTLY, name="second"))
    store.pause_schedule(first.id)
    store.remove_schedule(second.id, START)
    assert store.due(START + timedelta(days=3)) == ()
    store.resume_schedule(first.id, START + timedelta(days=4))
    assert len(store.due(START + timedelta(days=5))) == 1
    assert [one.name for one in store.schedules()] == ["nightly"]


def test_a_name_is_taken_until_its_schedule_is_removed(store: Store) -> None:
    first = add(store)
    with pytest.raises(ConfigError, match="already"):
        add(store)
    store.remove_schedule(first.id, START)
    assert add(store).id == store.schedule("nightly").id
    assert store.schedule(first.id).removed_at == START
    with pytest.raises(NotFound):
        store.schedule("weekly")


def test_steady_runs_raise_nothing_and_history_tells_them(world: World) -> None:
    states = [world.night(failing=6).found.report for _ in range(5)]
    assert [report and report.state for report in states] == [
        *["insufficient history"] * 3,
        *["steady"] * 2,
    ]
    assert world.store.alerts() == ()
    history = history_of(world.store, schedule="nightly")
    [track] = history.tracks
    assert [mark.drift for mark in track.marks][-1] == "steady"
    assert [mark.pass_rate and mark.pass_rate.value for mark in track.marks] == [0.9] * 5
    assert len(history_of(world.store, run="last").tracks[0].marks) == 5
    assert b'"schema":1' in to_json(history)


def test_a_drop_is_confirmed_by_a_fresh_run_and_told_once(world: World) -> None:
    for _ in range(3):
        world.night()
    firing = world.night(failing=12)
    report = firing.found.report
    assert report is not None
    assert (firing.state, report.state) == ("done", "confirmed")
    assert firing.confirm_run_id not in (None, firing.run_id)
    [shift] = report.confirmed
    assert shift.change == pytest.approx(-0.2)
    assert shift.confirming == pytest.approx(-0.2)
    [alert] = world.store.alerts()
    notice = alert.post.notice
    assert alert.delivered_at is not None
    assert "fell by 20.0 points" in notice.subject
    assert notice.confirm_run_id == firing.confirm_run_id
    runs = world.store.runs_by_id(world.desk.sent.values()).values()
    assert {run.schedule_id for run in runs} == {world.schedule.id}
    assert len(runs) == 5


def test_what_a_fresh_run_does_not_show_is_not_told(world: World) -> None:
    for _ in range(3):
        world.night()
    firing = world.night(failing=12, confirming={"failing": 0})
    assert firing.found.report is not None
    assert firing.found.report.state == "not confirmed"
    assert world.store.alerts() == ()


def test_a_confirmed_change_begins_a_new_window(world: World) -> None:
    for _ in range(3):
        world.night()
    changed = world.night(failing=12)
    after = [world.night(failing=12) for _ in range(2)]
    assert after[0].found.report is not None
    assert after[1].found.report is not None
    assert after[0].found.report.state == "insufficient history"
    assert after[1].found.report.runs[0] == changed.run_id
    assert after[1].found.report.state == "steady"
    assert len(world.store.alerts()) == 1


def test_dearer_attempts_are_told_too(world: World) -> None:
    for _ in range(3):
        world.night(dollars="0.010")
    report = world.night(dollars="0.013").found.report
    assert report is not None
    [shift] = report.confirmed
    assert (shift.metric, round(shift.change, 3)) == ("cost", 1.3)


def test_without_confirmation_a_suspicion_is_told(store: Store) -> None:
    world = World(store, replace(NIGHTLY, watch=Watch(confirm=False)))
    for _ in range(3):
        world.night()
    firing = world.night(failing=12)
    assert firing.confirm_run_id is None
    assert len(store.alerts()) == 1


def test_another_request_has_no_history(world: World) -> None:
    for _ in range(3):
        world.night()
    order = replace(NIGHTLY.order, samples=50)
    world.store.remove_schedule(world.schedule.id, START)
    world.schedule = add(world.store, replace(NIGHTLY, order=order), world.clock())
    report = world.night(failing=50).found.report
    assert report is not None
    assert report.state == "insufficient history"


def test_a_firing_is_skipped_while_the_one_before_is_under_way(world: World) -> None:
    world.clock.sleep(days=1)
    world.beat()
    world.clock.sleep(days=1)
    world.beat()
    first, second = world.store.firings(world.schedule.id)
    assert (first.state, second.state) == ("running", "skipped")
    assert "under way" in second.found.reason


@pytest.mark.parametrize(
    ("status", "said"),
    [(RunStatus.BUDGET, "budget"), (RunStatus.CANCELLED, "cancelled")],
)
def test_a_run_that_was_stopped_is_told_as_a_failure(
    world: World, status: RunStatus, said: str
) -> None:
    firing = world.night(status=status)
    assert firing.state == "failed"
    assert said in firing.found.reason
    assert [alert.post.notice.kind for alert in world.store.alerts()] == ["failed"]


def test_a_run_with_many_errors_is_not_compared(world: World) -> None:
    world.clock.sleep(days=1)
    world.beat()
    world.store.set_status(world.newest.run_id or "", RunStatus.PARTIAL, START)
    world.beat()
    assert "60 of 60 attempts" in world.newest.found.reason


def test_what_cannot_be_submitted_fails_and_says_so(store: Store) -> None:
    world = World(store, replace(NIGHTLY, order=Order(suite="gone")))
    world.clock.sleep(days=1)
    world.beat()
    assert world.newest.state == "failed"
    assert "gone" in store.alerts()[0].post.notice.text


class Killed(BaseException):
    """The process dies here."""


class Mortal:
    """A store or desk whose owner dies at the n-th write, before it or right after."""

    WRITES = (
        "due",
        "advance_firing",
        "submit",
        "claim_alert",
        "save_delivery",
    )

    def __init__(self, inner: Any, fuse: list[int], *, after: bool) -> None:
        self.inner, self.fuse, self.after = inner, fuse, after

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.inner, name)
        return self._mortal(found) if name in self.WRITES else found

    def _mortal(self, act: Any) -> Any:
        def write(*args: Any, **kwargs: Any) -> Any:
            self.fuse[0] -= 1
            if self.fuse[0] == 0 and not self.after:
                raise Killed
            result = act(*args, **kwargs)
            if self.fuse[0] == 0:
                raise Killed
            return result

        return write


@pytest.mark.parametrize("after", [False, True])
def test_death_at_any_write_loses_nothing_and_doubles_nothing(store: Store, after: bool) -> None:
    world = World(store)
    for _ in range(3):
        world.night()
    for fuse in range(1, 6):
        before = len(world.desk.sent), len(store.alerts()), len(store.firings())
        _fatal_night(world, fuse, after=after)
        firing = world.newest
        assert firing.found.report is not None
        assert firing.found.report.state == "confirmed"
        assert len(world.desk.sent) == before[0] + 2
        assert len(store.alerts()) == before[1] + 1
        assert len(store.firings()) == before[2] + 1
        for _ in range(3):
            world.night()


def _fatal_night(world: World, fuse: int, *, after: bool) -> None:
    """Every beat of this night dies at its ``fuse``-th write, then one lives."""
    world.clock.sleep(days=1)
    _fatal_beats(world, fuse, after=after)
    work(world.store, world.newest.run_id or "", failing=12)
    _fatal_beats(world, fuse, after=after)
    work(world.store, world.newest.confirm_run_id or "", failing=12)
    _fatal_beats(world, fuse, after=after)
    world.clock.sleep(hours=1)
    world.beat()
    assert all(alert.delivered_at for alert in world.store.alerts())


def _fatal_beats(world: World, fuse: int, *, after: bool) -> None:
    counter = [fuse]
    store: Any = Mortal(world.store, counter, after=after)
    desk: Any = Mortal(world.desk, counter, after=after)
    for _ in range(4):
        try:
            beat(store, desk, NO_PRICES, world.clock)
        except Killed:
            continue


def test_two_who_follow_at_once_tell_once(world: World, url: str) -> None:
    for _ in range(3):
        world.night()
    world.clock.sleep(days=1)
    world.beat()
    work(world.store, world.newest.run_id or "", failing=12)
    world.beat()
    firing = world.newest
    work(world.store, firing.confirm_run_id or "", failing=12)
    with Store.open(url, upgrade=False) as other, ThreadPoolExecutor(4) as pool:
        stores = [world.store, other] * 2
        told = list(pool.map(lambda one: follow(one, world.desk, firing, world.clock()), stores))
    assert told.count(True) == 1
    assert len(world.store.alerts()) == 1
