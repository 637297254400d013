from __future__ import annotations

from qbench.service.domain import EngineSeconds
from qbench.workers.sessions import apart, less


def test_preparation_counts_as_load_and_nothing_is_lost() -> None:
    preparation = EngineSeconds(busy=4.0, idle=1.0, prefill=3.0, decode=1.0)
    total = EngineSeconds(load=10.0, busy=50.0, idle=7.0, prefill=20.0, decode=30.0)
    served = apart(total, preparation)
    assert served == EngineSeconds(load=15.0, busy=46.0, idle=6.0, prefill=17.0, decode=29.0)
    assert served.load + served.busy + served.idle == total.load + total.busy + total.idle


def test_what_an_engine_does_not_tell_stays_unknown() -> None:
    served = apart(EngineSeconds(load=1.0, busy=3.0, idle=1.0), EngineSeconds(busy=1.0, idle=1.0))
    assert served == EngineSeconds(load=3.0, busy=2.0, idle=0.0)


def test_an_engine_that_was_started_again_counts_from_zero_not_below() -> None:
    assert less(EngineSeconds(busy=1.0), EngineSeconds(busy=4.0)).busy == 0
