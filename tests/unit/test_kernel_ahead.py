"""Programs are called ahead of their timing; under the interpreter, in several processes."""

from __future__ import annotations

import os

import msgspec
import pytest

os.environ["TRITON_INTERPRET"] = "1"
pytest.importorskip("triton")

from qbench.kernels.speed.ahead import Rehearsal, compiled_ahead, rehearse
from qbench.kernels.speed.contestants import chosen
from qbench.kernels.speed.running import Plan
from qbench.kernels.speed.session import _missing
from qbench.kernels.speed.shapes import DECODERS, Layer

LAYER = Layer(model="toy", layer="o", rows=64, columns=128, count=1)
ASKED = Rehearsal(layer=LAYER, format="w4a16", tokens=(1, 3), device="cpu")


def test_a_layer_is_called_once_for_each_m() -> None:
    assert not rehearse(ASKED)
    assert not rehearse(msgspec.structs.replace(ASKED, format="mxfp4-mr"))


def test_what_fails_is_told_in_one_line() -> None:
    odd = Layer(model="toy", layer="o", rows=64, columns=136, count=1)
    said = rehearse(msgspec.structs.replace(ASKED, layer=odd, format="mxfp4a16"))
    assert said.startswith("mxfp4a16 toy o: ")


def test_other_processes_do_it_and_what_fails_there_stops_nothing() -> None:
    said: list[str] = []
    wrong = msgspec.structs.replace(ASKED, format="w5a16")
    compiled_ahead([ASKED, wrong], 2, 100.0, said.append)
    assert said[0] == "compiling 2 layers and formats in 2 processes"
    assert said[1].startswith("1 could not be compiled ahead: w5a16 toy o: There is no format")


def test_one_process_compiles_as_it_goes() -> None:
    said: list[str] = []
    compiled_ahead([ASKED], 1, 100.0, said.append)
    assert not said


def test_only_what_has_no_row_is_compiled() -> None:
    plan = Plan(
        layers=DECODERS["llama-3.1-8b"].linears,
        formats=("bf16", "w4a16", "nf4"),
        tokens=(1, 16),
        contestants=chosen(()),
        minutes=1.0,
        seed=0,
    )
    done = {("w4a16", "qbench", "whole", "llama-3.1-8b", "o", m) for m in (1, 16)}
    done.add(("w4a16", "qbench", "whole", "llama-3.1-8b", "qkv", 1))
    found = [(one.layer.layer, one.format, one.tokens) for one in _missing(plan, done)]
    assert found == [
        ("qkv", "w4a16", (16,)),
        ("gate_up", "w4a16", (1, 16)),
        ("down", "w4a16", (1, 16)),
    ]
    vendors = msgspec.structs.replace(plan, contestants=chosen(("int_mm unscaled",)))
    assert _missing(vendors, set()) == []
