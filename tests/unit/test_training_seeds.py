"""Calibration draws with seeds that no run can have."""

import pytest

from qbench.benchmarks.catalogue import SUITES, load_suite
from qbench.benchmarks.suites.drawing import TRAINING_SEEDS, training_samples
from qbench.errors import ConfigError
from qbench.service.order import Order, to_request

GENERATED = [name for name in SUITES if load_suite(name).generated]


@pytest.mark.parametrize("name", GENERATED)
def test_training_samples_cover_the_suite_and_are_no_evaluation_samples(name: str) -> None:
    suite = load_suite(name)
    found = training_samples(suite, seed=0, limit=100)
    assert {sample.task for sample in found} == set(suite.tasks)
    assert {sample.level for sample in found} == set(suite.levels)
    again = suite.samples(seed=0, tasks=suite.tasks, levels=suite.levels, limit=100)
    hard = {sample.id for sample in again if sample.level > 2}
    assert hard.isdisjoint(sample.id for sample in found)
    assert training_samples(suite, seed=0, limit=100) == found
    assert training_samples(suite, seed=1, limit=100) != found


@pytest.mark.parametrize("name", sorted(set(SUITES) - set(GENERATED)))
def test_a_finite_set_is_not_calibrated_on(name: str) -> None:
    with pytest.raises(ConfigError, match="leak"):
        training_samples(load_suite(name), seed=0, limit=1)


def test_no_run_can_have_a_training_seed() -> None:
    assert to_request(Order(seed=TRAINING_SEEDS - 1)).seed == TRAINING_SEEDS - 1
    for seed in (TRAINING_SEEDS, TRAINING_SEEDS + 5):
        with pytest.raises(ConfigError, match="calibration"):
            to_request(Order(seed=seed))
