from __future__ import annotations

from decimal import Decimal

import pytest

from qbench.cli.render import console


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (None, "unpriced"),
        (float("nan"), "unpriced"),
        (float("inf"), "∞"),
        (Decimal(0), "$0"),
        (Decimal("0.000123456"), "$0.000123"),
        (0.0456, "$0.0456"),
        (12.3456, "$12.35"),
        (12345.6, "$12,345.60"),
    ],
)
def test_dollars_keep_three_significant_digits_and_say_when_unknown(
    amount: Decimal | float | None, text: str
) -> None:
    assert console.dollars(amount) == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [(0.85, "850 ms"), (12.34, "12.3 s"), (245, "4 min 05 s"), (7800, "2 h 10 min"), (None, "–")],
)
def test_seconds_are_written_for_people(amount: float | None, text: str) -> None:
    assert console.seconds(amount) == text


def test_an_interval_is_written_as_half_its_width() -> None:
    assert console.plus_minus(0.20, 0.28) == "± 4.0"
