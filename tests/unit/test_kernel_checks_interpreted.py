"""`qbench kernels check` on every kernel, under Triton's interpreter, at one odd size."""

from __future__ import annotations

import os

import pytest

os.environ["TRITON_INTERPRET"] = "1"
pytest.importorskip("triton")

import msgspec
import torch

from qbench.kernels.checking.kernels import KERNELS, Kernel
from qbench.kernels.checking.mode import check
from qbench.kernels.checking.running import Asked, checked
from qbench.kernels.checking.values import Checked, Choice, Size


def run(kernel: Kernel, size: Size, formats: tuple[str, ...] = ()) -> list[Checked]:
    asked = Asked(kernels=(kernel,), formats=formats, dtypes=("bfloat16",), sizes=(size,), seed=6)
    return list(checked(asked, torch.device("cpu")))


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda one: f"{one.name}-{one.since}")
def test_every_kernel_passes_its_checks(kernel: Kernel) -> None:
    found = run(kernel, Size(3, 72, 256))
    assert found
    assert not [(one.format, one.wrong) for one in found if not one.passed or one.unsupported]


@pytest.mark.parametrize("kernel", KERNELS[:3], ids=lambda one: f"{one.name}-{one.since}")
def test_programs_for_many_rows_pass_their_checks(kernel: Kernel) -> None:
    found = run(kernel, Size(1030, 72, 256))
    assert not [(one.format, one.wrong) for one in found if not one.passed or one.unsupported]


def test_sizes_that_no_program_takes_are_refused_and_not_passed() -> None:
    (found,) = run(KERNELS[0], Size(2, 80, 208), ("w4a16",))
    assert found.unsupported
    assert found.error is None


def test_several_processes_find_the_same_in_the_same_order() -> None:
    said: list[str] = []
    shown: list[Checked] = []
    choice = Choice(
        kernels=("quantize_tokens", "silu_multiply"),
        sizes=("3x8x128", "2x8x256"),
        dtypes=("bf16",),
        seed=3,
    )
    alone = check(choice, said.append, shown.append)
    several = check(msgspec.structs.replace(choice, jobs=2), said.append, shown.append)
    assert several == alone
    assert shown == [*alone.checks, *several.checks]
    assert said[0] == "checking on Triton's interpreter on the CPU, seed 3"


def test_formats_of_the_same_product_are_checked_once() -> None:
    names = {one.format for one in run(KERNELS[0], Size(1, 64, 128))}
    assert "nvfp4a16" in names
    assert "nvfp4-mr" not in names
