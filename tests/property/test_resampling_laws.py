"""Laws of the fast paths: one pass over attempts, shared draws, shared flips."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qbench.benchmarks.analysis.comparison.paired import FLIPS, difference, differences, sign_flips
from qbench.benchmarks.analysis.outcomes import ERRORED, SCORED, UNSCORED, Outcomes
from qbench.benchmarks.analysis.resampling import percentile_interval, resampled, weights
from qbench.benchmarks.analysis.sums import Floats, Sums, dollars, sums
from qbench.benchmarks.analysis.validity import count

SEEDS = st.integers(0, 2**32 - 1)


def outcomes(seed: int, *, whole: bool = False) -> Outcomes:
    """Make a few attempts of three systems, in any order, some missing, unread or unpriced."""
    rng = np.random.default_rng(seed)
    n, samples, families = int(rng.integers(0, 80)), int(rng.integers(1, 9)), 3
    scored = whole or rng.random() < 0.3
    status = np.full(n, SCORED) if scored else rng.choice([SCORED, UNSCORED, ERRORED], n)
    holes = 0.0 if whole else 0.1

    def number(low: float, high: float) -> Floats:
        return np.where(rng.random(n) < holes, np.nan, rng.uniform(low, high, n))

    return Outcomes(
        systems=("a", "b", "c"),
        samples=tuple(map(str, range(samples))),
        sample_family=rng.integers(0, families, samples).astype(np.int32),
        families=tuple(map(str, range(families))),
        sample_level=np.ones(samples, dtype=np.int32),
        sample_task=np.zeros(samples, dtype=np.int32),
        tasks=("t",),
        system=rng.integers(0, 3, n).astype(np.int32),
        sample=rng.integers(0, samples, n).astype(np.int32),
        epoch=np.zeros(n, dtype=np.int32),
        status=status.astype(np.int8),
        passed=rng.random(n) < 0.5,
        value=np.zeros(n),
        prompt_tokens=number(1, 9),
        cached_tokens=number(0, 1),
        completion_tokens=number(1, 9),
        seconds=rng.random(n),
        truncated=rng.random(n) < 0.2,
        parse_failures=rng.integers(0, 3, n).astype(np.int32),
        retries=rng.integers(0, 3, n).astype(np.int32),
        calls=np.ones(n, dtype=np.int32),
        cost={"saturated": number(0, 1)} | ({"api": number(0, 1)} if rng.random() < 0.5 else {}),
    )


@given(SEEDS)
def test_one_pass_adds_up_what_attempts_say_one_by_one(seed: int) -> None:
    out = outcomes(seed)
    made, paid = sums(out, "saturated"), dollars(out, "saturated")
    for system, sample in itertools.product(range(3), range(len(out.samples))):
        mine = (out.system == system) & (out.sample == sample) & (out.status == SCORED)
        assert made.n[system, sample] == mine.sum()
        assert made.passed[system, sample] == out.passed[mine].sum()
        assert made.cost[system, sample] == pytest.approx(paid[mine].sum(), nan_ok=True)


@given(SEEDS)
def test_counts_of_all_systems_are_those_of_each(seed: int) -> None:
    out = outcomes(seed)
    paid = dollars(out, "saturated")
    for place, found in enumerate(count(out, "saturated")):
        mine = out.system == place
        scored = mine & (out.status == SCORED)
        assert (found.attempts, found.scored) == (mine.sum(), scored.sum())
        assert found.errored == (out.status[mine] == ERRORED).sum()
        assert found.unscored == (out.status[mine] == UNSCORED).sum()
        assert found.truncated == out.truncated[scored].sum()
        assert found.parse_failures == (out.parse_failures[scored] > 0).sum()
        assert found.unpriced == np.isnan(paid[scored]).sum()
        assert found.retries == out.retries[mine].sum()
        prompt = out.prompt_tokens[mine]
        known = prompt[~np.isnan(prompt)]
        assert found.prompt_tokens == (pytest.approx(known.mean()) if len(known) else None)
        seconds = out.seconds[scored]
        assert found.seconds == (float(np.median(seconds)) if len(seconds) else None)
        share = np.nansum(out.cached_tokens[mine]) / known.sum() if len(known) else None
        assert found.cached_share == (None if share is None else pytest.approx(share))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 3000), st.integers(1, 1300), SEEDS)
def test_every_resample_draws_as_many_families_as_there_are(
    families: int, resamples: int, seed: int
) -> None:
    blocks = list(weights(families, resamples=resamples, seed=seed))
    again = weights(families, resamples=resamples, seed=seed)
    assert all((one == two).all() for one, two in zip(blocks, again, strict=True))
    drawn = np.concatenate(blocks)
    assert drawn.shape == (resamples, families)
    assert (drawn.sum(axis=1) == families).all()
    assert (drawn >= 0).all()


def test_draws_are_multinomial() -> None:
    families = 50
    drawn = np.concatenate(list(weights(families)))
    assert drawn.mean(axis=0) == pytest.approx(np.ones(families), abs=0.05)
    assert drawn.var(axis=0) == pytest.approx(np.full(families, 1 - 1 / families), abs=0.08)
    pairs = np.cov(drawn, rowvar=False)[~np.eye(families, dtype=bool)]
    assert pairs.mean() == pytest.approx(-1 / families, abs=0.002)


def test_more_families_than_a_block_holds() -> None:
    blocks = list(weights(3_000_000, resamples=2))
    assert [len(block) for block in blocks] == [1, 1]
    assert all(block.sum() == 3_000_000 for block in blocks)


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_resampled_means_are_those_of_the_drawn_families(seed: int) -> None:
    made = sums(outcomes(seed, whole=True), "saturated")
    rates, costs = resampled(made, resamples=40, seed=seed)
    drawn = np.concatenate(list(weights(made.families, resamples=40, seed=seed)))
    for row, counts in enumerate(drawn):
        times = np.repeat(np.arange(len(made.family)), counts[made.family].astype(int))
        for system in range(3):
            chosen = [place for place in times if made.n[system, place]]
            rate = made.rates[system, chosen].mean() if chosen else np.nan
            cost = made.costs[system, chosen].mean() if chosen else np.nan
            assert rates[row, system] == pytest.approx(rate, nan_ok=True)
            assert costs[row, system] == pytest.approx(cost, nan_ok=True)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 7), st.integers(1, 4), SEEDS)
def test_flips_of_a_few_families_are_what_every_sign_says(
    families: int, pairs: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    totals = [rng.integers(-5, 6, families) / 3 for _ in range(pairs)]
    found = sign_flips(totals, seed=seed)
    assert found == [sign_flips([one], seed=seed)[0] for one in totals]
    signs = np.array(list(itertools.product((-1.0, 1.0), repeat=families)))
    for total, p in zip(totals, found, strict=True):
        exact = (np.abs(signs @ total) >= abs(total.sum()) - 1e-9).mean()
        assert p == pytest.approx(exact, abs=6 * np.sqrt(0.25 / FLIPS) + 1 / FLIPS)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 5), SEEDS)
def test_a_pair_finds_the_same_alone_and_among_others(samples: int, epochs: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    family = rng.integers(0, samples, samples).astype(np.int32)
    rates = rng.integers(0, epochs + 1, (4, samples)) / epochs
    rates[rng.random(rates.shape) < 0.1] = np.nan
    pairs = [(rates[place], rates[0]) for place in range(1, 4)]
    together = differences(pairs, family, epochs=epochs)
    alone = [difference(*pair, family, epochs=epochs) for pair in pairs]
    assert repr(together) == repr(alone)  # an error of one family is NaN


@given(st.lists(st.floats(0, 1) | st.just(np.inf), min_size=1, max_size=50))
def test_an_interval_does_not_ask_for_the_order(values: list[float]) -> None:
    drawn = np.array(values)
    assert percentile_interval(drawn) == percentile_interval(np.sort(drawn)[::-1])


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 60), st.integers(1, 9), SEEDS)
def test_systems_with_as_many_passes_tie_in_every_resample(
    samples: int, epochs: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    passed = rng.integers(0, epochs + 1, (2, samples)).astype(np.float64)
    made = Sums(
        n=np.full((2, samples), float(epochs)),
        passed=passed,
        cost=np.ones((2, samples)),
        family=np.arange(samples, dtype=np.int32),
        families=samples,
    )
    rates, costs = resampled(made, resamples=300, seed=seed)
    drawn = np.concatenate(list(weights(samples, resamples=300, seed=seed)))
    exact = (drawn @ passed.T).astype(int)  # whole numbers add up exactly
    assert ((rates[:, 0] == rates[:, 1]) == (exact[:, 0] == exact[:, 1])).all()
    assert (costs[:, 0] == costs[:, 1]).all()
