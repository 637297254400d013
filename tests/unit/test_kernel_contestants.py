"""qbench's own products as contestants: for which formats there are any, and what they tell."""

from __future__ import annotations

import os

import pytest

os.environ["TRITON_INTERPRET"] = "1"  # programs are defined when contestants are imported

import torch

from qbench.errors import NotFound
from qbench.kernels.checking.kernels import KERNELS, PRODUCTS, TIMED
from qbench.kernels.formats import FORMATS, get_format
from qbench.kernels.linears.quant_linear import QuantLinear
from qbench.kernels.speed import ours
from qbench.kernels.speed.contestants import CONTESTANTS, chosen
from qbench.kernels.speed.work import rounds_inputs


@pytest.mark.parametrize("name", FORMATS)
def test_the_table_of_kernels_says_which_formats_have_products(name: str) -> None:
    fmt = get_format(name)
    weight = torch.randn(64, 256, generator=torch.Generator().manual_seed(1)).bfloat16()
    made = ours.layer(fmt, weight)
    assert (made is not None) == (name in PRODUCTS)
    assert made is None or isinstance(made, QuantLinear)
    alone = ours.product(fmt, weight)
    assert (alone is not None) == (name in PRODUCTS and rounds_inputs(fmt))


def test_formats_of_kernels_for_inputs_are_those_whose_layers_call_them() -> None:
    called = {"quantize_tokens": "tokens", "quantize_groups": "groups", "rotate_round": "rounded"}
    weight = torch.randn(64, 256, generator=torch.Generator().manual_seed(1)).bfloat16()
    for kernel, way in called.items():
        mine = {name for one in KERNELS if one.name == kernel for name in one.formats}
        made = {name: ours.layer(get_format(name), weight) for name in PRODUCTS}
        assert {name for name, one in made.items() if one is not None and one.way == way} == mine


@pytest.mark.parametrize("name", PRODUCTS)
@pytest.mark.parametrize("m", [1, 64, 8192])
def test_each_tells_its_program(monkeypatch: pytest.MonkeyPatch, name: str, m: int) -> None:
    monkeypatch.setattr(ours, "gpu_of", lambda _: "h100")
    program, config = ours.told(get_format(name), 4096, 4096, m)
    assert program.removeprefix("scaled ") in {"narrow", "wide", "unpack"}
    assert program.startswith("scaled") == rounds_inputs(get_format(name))
    assert all("=" in part for part in config.split())


def test_formats_without_codes_tell_nothing() -> None:
    assert ours.told(get_format("bf16"), 4096, 4096, 1) == ("", "")


def test_contestants_are_chosen_by_name_and_the_baseline_is_always_there() -> None:
    assert chosen(()) == CONTESTANTS
    assert [one.name for one in chosen(("qbench",))] == ["cublas", "qbench", "qbench"]
    with pytest.raises(NotFound, match="marlin"):
        chosen(("marlim",))
    assert TIMED[0] == "bf16"
