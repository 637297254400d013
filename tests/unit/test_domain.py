from __future__ import annotations

from qbench.service.domain import new_id


def test_ids_sort_in_the_order_they_were_made() -> None:
    ids = [new_id() for _ in range(5000)]
    assert ids == sorted(set(ids))
    assert {len(one) for one in ids} == {16}
