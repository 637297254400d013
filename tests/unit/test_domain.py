from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

from qbench.benchmarks.chat import Sampling
from qbench.errors import NotFound
from qbench.service.domain import Limits, Request, Strategy, System, new_id
from qbench.service.order import Order, to_request
from qbench.service.reports.comparison.report import find_system

PLAIN = System(model="some/model", format="bf16", engine="scripted")
FULL = System(
    model="some/model",
    format="w4a16",
    engine="external",
    base_url="http://gpu-box:8000/v1",
    options={"hardware": "h100-sxm", "a": [1, 2.5, None]},
    sampling=Sampling(temperature=0.7, seed=3),
    strategy=Strategy(tool_protocol="text"),
)
ASKED = Request(
    systems=(PLAIN, FULL),
    baseline=PLAIN.id,
    suite="sums",
    suite_version="1",
    tasks=("add",),
    levels=(1, 2),
    limit=90,
    limits=Limits(turns=12),
)


def test_ids_sort_in_the_order_they_were_made() -> None:
    ids = [new_id() for _ in range(5000)]
    assert ids == sorted(set(ids))
    assert {len(one) for one in ids} == {16}


def test_ids_are_those_that_are_stored_since_0_1_0() -> None:
    """Computed before systems could be copies: runs of that time are found and resumed."""
    assert (PLAIN.id, PLAIN.engine_key) == ("08c62ac627e2", "275bf51cbb8a")
    assert (FULL.id, FULL.engine_key) == ("0f99e526a903", "269a6955a3c2")
    assert ASKED.id == "01dff001e31e"
    stored = msgspec.json.encode(ASKED).replace(b',"replica":0', b"")
    assert b"replica" not in stored
    assert msgspec.json.decode(stored, type=Request).id == ASKED.id


def test_an_order_is_the_same_request_however_it_was_given() -> None:
    """msgspec omits a default by identity: 0.0 from a command line is another object."""
    plain = Order(suite="sums", models=("a/b",), formats=("fp8",), engine="scripted")
    typed = replace(plain, sampling=Sampling(temperature=float("0"), top_p=float("1")))
    sent = msgspec.json.decode(msgspec.json.encode(typed), type=Order)
    asked = [to_request(order) for order in (plain, typed, sent)]
    assert len({request.id for request in asked}) == 1
    stored = msgspec.json.decode(msgspec.json.encode(asked[0]), type=Request)
    assert (stored.id, stored.systems[0].id) == (asked[1].id, asked[1].systems[0].id)


def test_a_copy_is_another_system_on_the_same_engine() -> None:
    again = replace(PLAIN, replica=1)
    assert again.id != PLAIN.id
    assert again.engine_key == PLAIN.engine_key
    assert again.label == "model bf16 again"
    assert replace(ASKED, systems=(PLAIN, FULL, again)).id != ASKED.id
    assert len({replace(PLAIN, replica=n).label for n in range(4)}) == 4


@pytest.mark.parametrize(
    ("ref", "place"),
    [
        ("bf16", 0),
        ("some/model@bf16", 0),
        ("model BF16", 0),
        ("bf16 again", 1),
        ("bf16#2", 1),
        ("some/model@bf16#2", 1),
        ("model bf16 again", 1),
        ("w4a16", 2),
    ],
)
def test_a_system_and_its_copy_are_found_apart(ref: str, place: int) -> None:
    systems = (PLAIN, replace(PLAIN, replica=1), FULL)
    assert find_system(systems, ref) is systems[place]
    assert find_system(systems, systems[place].id) is systems[place]


def test_a_copy_that_is_not_there_is_not_found() -> None:
    with pytest.raises(NotFound, match="bf16 again"):
        find_system((PLAIN, FULL), "bf16 again")
