"""Which sandbox is taken, and that none is never taken in silence."""

from __future__ import annotations

import struct

import pytest

from qbench.benchmarks.sandbox.kinds import Found, choose
from qbench.benchmarks.sandbox.launcher import filter as calls
from qbench.errors import ConfigError

YES = Found(kind="namespaces", works=True)
NO = Found(kind="namespaces", works=False, why="unshare: Operation not permitted.")
BUBBLEWRAP = Found(kind="bubblewrap", works=True)
NO_BUBBLEWRAP = Found(kind="bubblewrap", works=False, why="bwrap is not installed.")


def test_namespaces_come_first_and_bubblewrap_where_they_do_not_work() -> None:
    assert choose([YES, BUBBLEWRAP], {}) == "namespaces"
    assert choose([NO, BUBBLEWRAP], {}) == "bubblewrap"


def test_a_named_sandbox_is_the_only_one_taken() -> None:
    tried = [YES, BUBBLEWRAP]
    assert choose(tried, {"QBENCH_SANDBOX": "bubblewrap"}) == "bubblewrap"
    with pytest.raises(ConfigError):
        choose([YES, NO_BUBBLEWRAP], {"QBENCH_SANDBOX": "bubblewrap"})


def test_without_a_sandbox_it_says_what_is_missing_and_refuses() -> None:
    tried = [NO, NO_BUBBLEWRAP]
    with pytest.raises(ConfigError) as refused:
        choose(tried, {})
    assert "unshare: Operation not permitted." in refused.value.what
    assert "bwrap is not installed." in refused.value.what
    assert "QBENCH_UNSANDBOXED=1" in refused.value.hint


def test_only_the_word_itself_runs_programs_unsandboxed() -> None:
    tried = [NO, NO_BUBBLEWRAP]
    assert choose(tried, {"QBENCH_UNSANDBOXED": "1"}) == "none"
    with pytest.raises(ConfigError):
        choose(tried, {"QBENCH_UNSANDBOXED": "0"})


def test_a_working_sandbox_is_used_even_where_none_is_allowed() -> None:
    assert choose([YES], {"QBENCH_UNSANDBOXED": "1"}) == "namespaces"


def test_every_refused_call_is_in_the_filter() -> None:
    lines = list(struct.iter_unpack("HBBI", calls.program()))
    compared = {value for code, _, _, value in lines if code == 0x15}
    assert set(calls.denied().values()) <= compared
    assert lines[-1] == (0x06, 0, 0, 0x7FFF_0000)
