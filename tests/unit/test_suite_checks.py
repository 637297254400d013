"""The self-tests of suites find what is wrong, and nothing where nothing is."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pytest
from msgspec.structs import replace

from qbench.benchmarks.catalogue import load_suite
from qbench.benchmarks.chat import Message
from qbench.benchmarks.checking.findings import CHECKS, Checked
from qbench.benchmarks.checking.suites import check_suite
from qbench.benchmarks.suite import Sample, Suite
from qbench.benchmarks.suites.sums import SumsSuite
from tests.declared_data import capitals


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QBENCH_DATA", str(tmp_path / "data"))
    return tmp_path


def verdicts(found: Checked) -> dict[str, bool | None]:
    return {one.check: one.ok for one in found.findings}


async def test_a_sound_suite_passes_all_checks() -> None:
    found = await check_suite(load_suite("sums"), limit=30)
    assert verdicts(found) == dict.fromkeys(CHECKS, True) | {"tools": None}
    assert not found.failed


async def test_a_declared_suite_is_checked_under_the_name_it_was_kept_by(data: Path) -> None:
    found = await check_suite(capitals(data), limit=30)
    assert found.samples == 7
    assert not found.failed


async def test_missing_data_is_told_and_fails_nothing() -> None:
    found = await check_suite(load_suite("gsm8k"), limit=5)
    assert "Run: qbench suites get gsm8k" in found.skipped
    assert not found.failed


class Broken(SumsSuite):
    """Sums whose reference is wrong, whose blunder is right and whose samples repeat."""

    def samples(
        self, *, seed: int, tasks: Sequence[str], levels: Sequence[int], limit: int
    ) -> tuple[Sample, ...]:
        drawn = super().samples(seed=seed + limit, tasks=tasks, levels=levels, limit=limit)
        return (*drawn[:-1], replace(drawn[0], family="another"))

    def solution(self, sample: Sample) -> tuple[Message, ...]:
        return super().blunder(sample)

    def blunder(self, sample: Sample) -> tuple[Message, ...]:
        return super().solution(sample)


async def test_each_fault_of_a_broken_suite_is_found() -> None:
    found = await check_suite(cast("Suite", Broken()), limit=12)
    assert found.failed
    wrong = {name for name, ok in verdicts(found).items() if ok is False}
    assert wrong == {"references", "blunders", "same", "extends", "distinct", "skill"}
    by_name = {one.check: one for one in found.findings}
    assert "is another there" in by_name["same"].detail
    assert "1 ids come twice" in by_name["distinct"].detail
    assert by_name["references"].missed == 12
