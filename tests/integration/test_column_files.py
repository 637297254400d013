"""What is read of an ended run from its file is what the database says, whatever was written."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from qbench.benchmarks.analysis.outcomes import Outcomes
from qbench.benchmarks.suite import Score
from qbench.service.domain import Attempt, AttemptStatus, RunStatus
from qbench.service.plan import Plan
from qbench.service.store import Recorded, Store, columnfile
from qbench.service.store.columns import Columns
from tests.integration.made import NOW, attempt, create, errored, line, recorded, request, system


@pytest.fixture
def store(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(columnfile, "LEAST", 1)
    with Store.open(url) as opened:
        yield opened


@pytest.fixture
def plan(store: Store) -> Plan:
    return create(store, request((system("bf16"), system("fp8")), limit=4, epochs=2))


def ended(store: Store, plan: Plan, *batch: Recorded) -> None:
    store.append(batch)
    store.set_status(plan.run.id, RunStatus.DONE, NOW)


def files() -> list[Path]:
    return sorted(columnfile.folder().glob("*"))


def same(one: Outcomes, two: Outcomes) -> bool:
    assert one.cost.keys() == two.cost.keys()
    for name, value in vars(one).items():
        other = getattr(two, name)
        if name == "cost":
            assert all(np.array_equal(value[b], other[b], equal_nan=True) for b in value)
        elif isinstance(value, np.ndarray):
            assert value.dtype == other.dtype
            assert np.array_equal(value, other, equal_nan=value.dtype.kind == "f"), name
        else:
            assert value == other, name
    return True


def counted(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Note which runs are really read."""
    read, seen = Columns._read, list[list[str]]()

    def noting(self: Columns, wanted: list[str]) -> tuple[Outcomes, dict[str, int]]:
        seen.append(wanted)
        return read(self, wanted)

    monkeypatch.setattr(Columns, "_read", noting)
    return seen


def test_an_ended_run_is_read_once(
    store: Store, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = attempt(plan.shards[0]), attempt(plan.shards[0], 1)
    seen = counted(monkeypatch)
    store.append([recorded(one, "0.1"), recorded(two, None)])
    store.outcomes(plan.run.id)
    assert not files(), "the run has not ended"
    ended(store, plan)
    first, places = store.placed_outcomes(plan.run.id)
    assert len(files()) == 1
    assert len(seen) == 2
    again, placed = store.placed_outcomes(plan.run.id)
    assert same(first, again)
    assert same(first, store.outcomes(plan.run.id))
    assert places == placed
    assert set(places) == {one.id, two.id}
    assert len(seen) == 2


def test_small_runs_have_no_file(store: Store, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columnfile, "LEAST", 2)
    ended(store, plan, recorded(attempt(plan.shards[0])))
    store.outcomes(plan.run.id)
    assert not files()


def test_a_late_ledger_line_is_seen(store: Store, plan: Plan) -> None:
    made = attempt(plan.shards[0])
    ended(store, plan, recorded(made, "0.1"))
    assert "dedicated" not in store.outcomes(plan.run.id).cost
    other = attempt(plan.shards[0], 1)
    store.append([Recorded(attempt=other, lines=(line(other, "0.3", "dedicated"),))])
    found = store.outcomes(plan.run.id)
    assert np.nansum(found.cost["dedicated"]) == pytest.approx(0.3)
    assert same(found, store.outcomes([plan.run.id]))


def test_rescoring_is_seen_even_where_it_changes_no_count(store: Store, plan: Plan) -> None:
    passed = attempt(plan.shards[0])
    failed = attempt(
        plan.shards[0], 1, score=Score(status="scored", value=0.0, passed=False, scorer="s/1")
    )
    ended(store, plan, recorded(passed), recorded(failed))
    before = store.outcomes(plan.run.id)
    flipped = [
        (passed.id, Score(status="scored", value=0.0, passed=False, scorer="s/2")),
        (failed.id, Score(status="scored", value=1.0, passed=True, scorer="s/2")),
    ]
    store.rescore(flipped)
    after = store.outcomes(plan.run.id)
    assert (before.passed != after.passed).all()
    assert same(after, store.outcomes([plan.run.id]))


def test_an_error_superseded_by_an_error_is_seen(store: Store, plan: Plan) -> None:
    ended(store, plan, recorded(errored(plan.shards[0])))
    _, before = store.placed_outcomes(plan.run.id)
    ended(store, plan, recorded(errored(plan.shards[0])))
    _, after = store.placed_outcomes(plan.run.id)
    assert before.keys() != after.keys()


@pytest.mark.parametrize("body", [b"", b"PK nonsense", b"\x93NUMPY"])
def test_a_damaged_file_is_as_good_as_none(store: Store, plan: Plan, body: bytes) -> None:
    ended(store, plan, recorded(attempt(plan.shards[0]), "0.1"))
    first = store.outcomes(plan.run.id)
    [file] = files()
    file.write_bytes(body)
    assert same(first, store.outcomes(plan.run.id))
    assert file.read_bytes() != body


def test_a_file_cut_short_is_as_good_as_none(store: Store, plan: Plan) -> None:
    ended(store, plan, recorded(attempt(plan.shards[0]), "0.1"))
    first = store.outcomes(plan.run.id)
    [file] = files()
    whole = file.read_bytes()
    for size in range(0, len(whole), 701):
        file.write_bytes(whole[:size])
        assert same(first, store.outcomes(plan.run.id))


def test_a_folder_that_cannot_be_written_is_no_error(
    store: Store, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "flat").write_text("a file where a folder should be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "flat"))
    ended(store, plan, recorded(attempt(plan.shards[0])))
    assert len(store.outcomes(plan.run.id).status) == 1


def test_the_oldest_files_go_when_there_is_no_room(
    store: Store, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended(store, plan, recorded(attempt(plan.shards[0])))
    store.outcomes(plan.run.id)
    monkeypatch.setattr(columnfile, "ROOM", files()[0].stat().st_size + 200)
    other = create(store, request(limit=3))
    ended(store, other, recorded(attempt(other.shards[0])))
    store.outcomes(other.run.id)
    [left] = files()
    assert left == columnfile.ColumnFile.of(store.url, other.run.id).path


def test_two_databases_do_not_share_files() -> None:
    one, two = (columnfile.ColumnFile.of(url, "run") for url in ("sqlite:///a", "sqlite:///b"))
    assert one.path != two.path


@pytest.mark.parametrize("seed", range(3))
def test_whatever_is_written_next_is_read_next(store: Store, plan: Plan, seed: int) -> None:
    rng = random.Random(seed)
    made: list[Attempt] = []
    ended(store, plan, recorded(attempt(plan.shards[0])))
    for _ in range(12):
        _write(store, plan, rng, made)
        if rng.random() < 0.3:
            store.set_status(plan.run.id, RunStatus.RUNNING, NOW)
            store.set_status(plan.run.id, RunStatus.PARTIAL, NOW)
        assert same(store.outcomes(plan.run.id), store.outcomes([plan.run.id]))
        _, places = store.placed_outcomes(plan.run.id)
        assert places == store._read([plan.run.id])[1]


def _write(store: Store, plan: Plan, rng: random.Random, made: list[Attempt]) -> None:
    scored = [one for one in made if one.status is AttemptStatus.SCORED]
    if scored and rng.random() < 0.4:
        right = rng.random() < 0.5
        score = Score(status="scored", value=float(right), passed=right, scorer="s/2")
        store.rescore([(rng.choice(scored).id, score)])
        return
    shard = rng.choice(plan.shards)
    make = errored if rng.random() < 0.4 else attempt
    one = make(shard, rng.randrange(len(shard.sample_ids)), epoch=rng.randrange(2))
    if store.append([recorded(one, *rng.choice([(), ("0.1",), (None,)]))]):
        made.append(one)
