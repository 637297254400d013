"""Checks of products, on products that are right and on some that are wrong in one way each."""

from __future__ import annotations

import msgspec
import pytest
import torch
from torch import Tensor

from qbench.errors import ConfigError, NotFound
from qbench.kernels.checking.bounds import product_bound
from qbench.kernels.checking.exact import (
    exact_inputs,
    exact_weight,
    relative_error,
)
from qbench.kernels.checking.kernels import KERNELS, PRODUCTS, known_kernels
from qbench.kernels.checking.poison import poisoned
from qbench.kernels.checking.products import check_product, drawn, rounded_once
from qbench.kernels.checking.values import REAL, TINY, Checked, Size, sizes_of
from qbench.kernels.formats import FORMATS, fitted, get_format
from qbench.kernels.schemes import FloatName
from tests.plain_products import Spoil, multiplied

SIZE = Size(3, 72, 256)


def check(name: str, dtype: FloatName = "bfloat16", spoil: Spoil | None = None) -> Checked:
    fmt = msgspec.structs.replace(fitted(get_format(name), SIZE.k), rotation=None)
    trial = drawn("multiply", fmt, dtype, SIZE, torch.Generator().manual_seed(5))
    spoiled = spoil or (lambda made: made)
    found = check_product(lambda f, w: multiplied(f, w, spoiled), trial)
    assert found is not None
    return found


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", PRODUCTS)
def test_a_product_that_rounds_once_passes(name: str, dtype: FloatName) -> None:
    found = check(name, dtype)
    assert found.passed, found.wrong
    assert found.exact


@pytest.mark.parametrize("name", ["w4a16", "w8a8", "fp8-block"])
def test_nan_never_passes(name: str) -> None:
    def leave(made: Tensor) -> Tensor:
        made[-1, -1] = torch.nan
        return made

    found = check(name, spoil=leave)
    assert not found.passed
    assert not found.written
    assert found.error is None


def test_memory_that_was_not_written_shows() -> None:
    found = check("w4a16", spoil=lambda made: torch.cat([made[:-1], torch.empty_like(made[:1])]))
    assert not found.written


def test_a_wrong_scale_is_further_than_the_bound() -> None:
    found = check("w4a16", spoil=lambda made: made * 1.02)
    assert found.wrong.startswith("is further from float64")


def test_one_wrong_column_is_no_exact_product() -> None:
    def nudge(made: Tensor) -> Tensor:
        made[:, 7] *= 1.01
        return made

    found = check("w4a16", spoil=nudge)
    assert found.error is not None
    assert found.error <= found.bound  # too little for the norm
    assert found.exact is False
    assert not found.passed


def test_another_result_the_second_time_shows() -> None:
    calls: list[int] = []

    def wander(made: Tensor) -> Tensor:
        calls.append(1)
        return made * (1 + 2**-7) if len(calls) == 2 else made

    assert not check("w4a16", spoil=wander).repeats


def test_a_format_without_codes_has_no_product() -> None:
    trial = drawn("multiply", get_format("bf16"), "bfloat16", SIZE, torch.Generator())
    assert check_product(multiplied, trial) is None


def test_powers_of_two_must_come_out_as_they_are() -> None:
    exact = torch.tensor([1.0, 0.75, 1.0 + 2**-9], dtype=torch.float64)
    near = exact.bfloat16()
    assert rounded_once(near, exact, "bfloat16")
    beside = near.clone()
    beside[0] = 1 - 2**-8  # the neighbour below a power of two is half as far
    assert not rounded_once(beside, exact, "bfloat16")
    beside = near.clone()
    beside[2] = 1 + 2**-7  # half a last place lies between 1 and this
    assert not rounded_once(beside, exact, "bfloat16")
    assert not rounded_once(torch.full_like(near, torch.nan), exact, "bfloat16")


def test_where_numbers_are_cut_a_whole_last_place_is_allowed() -> None:
    exact = torch.tensor([1 + 2**-8 + 2**-9, 1.0], dtype=torch.float64)
    below = torch.tensor([1.0, 1.0]).bfloat16()
    assert not rounded_once(below, exact, "bfloat16")
    assert rounded_once(below, exact, "bfloat16", cut=True)
    assert not rounded_once(below - 2**-7, exact, "bfloat16", cut=True)
    int8 = get_format("w8a8")
    assert product_bound(int8, "bfloat16", 4096, cut=True) == 2**-7


def test_a_tie_may_go_either_way_and_subnormals_have_one_place() -> None:
    tie = torch.tensor([1 + 2**-8], dtype=torch.float64)
    for made in (1.0, 1 + 2**-7):
        assert rounded_once(torch.tensor([made]).bfloat16(), tie, "bfloat16")
    small = torch.tensor([3.4 * 2**-24], dtype=torch.float64)
    assert rounded_once(small.half(), small, "float16")
    assert not rounded_once((small + 2**-23).half(), small, "float16")


def test_bounds_grow_with_what_rounds() -> None:
    fp8, int8, int4 = (get_format(name) for name in ("fp8", "w8a8", "w4a16"))
    assert product_bound(int8, "bfloat16", 4096) == 2**-8
    assert product_bound(int8, "float16", 4096) == 2**-11
    assert 2**-7 < product_bound(int4, "bfloat16", 4096) < 2**-7 * 1.01
    assert product_bound(fp8, "bfloat16", 4096) == pytest.approx(2**-8 + 2 / 3 * 128 * 2**-13)
    assert product_bound(fp8, "bfloat16", 8192) > product_bound(fp8, "bfloat16", 4096)


def test_poison_fills_floats_with_nan_and_leaves_nothing_behind() -> None:
    before = torch.are_deterministic_algorithms_enabled()
    with poisoned():
        assert torch.empty(8, dtype=torch.bfloat16).isnan().all()
        assert torch.empty(8, dtype=torch.float8_e4m3fn).float().isnan().all()
        assert (torch.empty(8, dtype=torch.int8) == 127).all()
    assert torch.are_deterministic_algorithms_enabled() == before


def test_references_rotate_where_the_format_does() -> None:
    fmt = get_format("mxfp4-mr")
    source = torch.Generator().manual_seed(2)
    weight = torch.randn(16, 256, generator=source)
    x = torch.randn(4, 256, generator=source)
    made = exact_inputs(fmt, x) @ exact_weight(fmt, weight).T
    assert relative_error(made, x.double() @ weight.double().T) < 0.2
    rows = torch.tensor([3, 15])
    assert torch.equal(exact_weight(fmt, weight, rows), exact_weight(fmt, weight)[rows])
    plain = exact_weight(get_format("bf16"), weight)
    assert torch.equal(plain, weight.double())


def test_sizes_are_read() -> None:
    assert sizes_of(["tiny"]) == TINY
    assert sizes_of(["real", "2x3x4", "2X3X4"]) == (*REAL, Size(2, 3, 4))
    for text in ("2x3", "0x3x4", "huge", "2x3x4x5"):
        with pytest.raises(ConfigError, match="size"):
            sizes_of([text])


def test_kernels_are_known_by_name() -> None:
    assert known_kernels(()) == KERNELS
    assert {one.name for one in known_kernels(("norm",))} == {"norm"}
    with pytest.raises(NotFound, match="norm_quantize"):
        known_kernels(("norm_quantise",))
    assert all(name in FORMATS for kernel in KERNELS for name in kernel.formats)
    fp8 = next(one for one in KERNELS if "fp8" in one.formats)
    assert [fp8.runs_on(f"sm_{number}") for number in (80, 89, 90, 100)] == [
        False,
        True,
        True,
        True,
    ]
    assert not fp8.runs_on("x86_64 avx2")
