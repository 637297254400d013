"""How busy seconds are shared among the calls in flight."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qbench.service.gateway.calls import Share

SPANS = st.lists(
    st.tuples(st.floats(0, 100), st.floats(0, 50)).map(lambda p: (p[0], p[0] + p[1])), min_size=1
)


def shares(spans: list[tuple[float, float]]) -> tuple[list[float], float]:
    """Play calls that last from the first to the second time of each span."""
    now = 0.0
    share = Share(lambda: now)
    events = sorted(
        [(begin, 1, call) for call, (begin, _) in enumerate(spans)]
        + [(end, 2, call) for call, (_, end) in enumerate(spans)]
    )
    entered: dict[int, float] = {}
    told = [0.0] * len(spans)
    for at, kind, call in events:
        now = at
        if kind == 1:
            entered[call] = share.enter()
        else:
            told[call] = share.leave(entered[call])
    assert share.in_flight == 0
    return told, share.busy


@given(SPANS)
def test_the_shares_add_up_to_the_busy_time(spans: list[tuple[float, float]]) -> None:
    told, busy = shares(spans)
    assert sum(told) == pytest.approx(busy, abs=1e-9)


@given(SPANS)
def test_nobody_pays_for_more_than_the_time_it_took(spans: list[tuple[float, float]]) -> None:
    told, _ = shares(spans)
    for mine, (begin, end) in zip(told, spans, strict=True):
        assert -1e-9 <= mine <= end - begin + 1e-9


def test_two_calls_at_once_pay_half_each() -> None:
    told, busy = shares([(0.0, 4.0), (2.0, 6.0)])
    assert told == [3.0, 3.0]
    assert busy == 6.0
