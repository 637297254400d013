"""How a strategy is written, and what it is the same as."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from qbench.benchmarks.catalogue import strategy_of
from qbench.benchmarks.strategies.single import Single
from qbench.benchmarks.strategy import Option, Strategy, Takes, read_strategy
from qbench.errors import ConfigError, NotFound, QbenchError
from qbench.service.domain import System


class Vote(Single):
    """Takes a number and options."""

    name = "vote"
    version = "2"
    number = 3
    options: Mapping[str, Option] = {"temperature": 0.7, "judge": "", "rounds": 2}


def find(name: str) -> Takes:
    if name != "vote":
        raise NotFound.among("strategy", name, ["vote"])
    return Vote()


@pytest.mark.parametrize(
    "text", ["vote@5", "vote@3:judge=http://host:80/v1:rounds=4", "vote@1:temperature=0.2"]
)
def test_a_strategy_reads_as_it_is_written(text: str) -> None:
    assert read_strategy(text, find).spelled == text


def test_defaults_are_left_out() -> None:
    assert read_strategy("vote:temperature=0.70", find).spelled == "vote@3"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("vote@", ConfigError),
        ("vote@0", ConfigError),
        ("vote:rounds=many", ConfigError),
        ("vote:round=3", NotFound),
        ("veto", NotFound),
        ("", ConfigError),
    ],
)
def test_what_cannot_be_read_says_what_to_write(text: str, kind: type[QbenchError]) -> None:
    with pytest.raises(kind) as refused:
        read_strategy(text, find)
    assert refused.value.hint


def test_systems_stored_before_strategies_keep_their_ids() -> None:
    system = System(model="m", format="bf16", engine="scripted")
    assert strategy_of("single") == Strategy()
    assert system.id == "f2a7a93b888c"
    assert system.ref == "m@bf16"


def test_a_strategy_names_its_system() -> None:
    voting = System(
        model="a/m", format="fp8", engine="api", strategy=read_strategy("vote@5", find), replica=1
    )
    assert voting.label == "m fp8 vote@5 again"
    assert voting.ref == "a/m@fp8+vote@5#2"
