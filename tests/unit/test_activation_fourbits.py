"""Rounding to 4 bits under Triton's interpreter against its reference, at small shapes."""

from __future__ import annotations

import os
from itertools import product

import pytest

os.environ["TRITON_INTERPRET"] = "1"
pytest.importorskip("triton")

import torch

from qbench.errors import Unsupported
from qbench.kernels.activation import fourbits, reference
from qbench.kernels.floats import E2M1, decode
from qbench.kernels.formats import E4M3_TOKEN, FORMATS
from qbench.kernels.reference import fake_quantize
from qbench.kernels.schemes import Scheme

NAMES = ("mxfp4", "nvfp4", "int4-mr")
DTYPES = (torch.bfloat16, torch.float16)
BLOCKS = (None, 16, 32, 64, 128)


def scheme_of(name: str) -> Scheme:
    found = FORMATS[name].activations
    assert found is not None
    return found


def tokens(shape: tuple[int, int], dtype: torch.dtype, seed: int) -> torch.Tensor:
    made = torch.Generator().manual_seed(seed)
    sizes = torch.logspace(-3, 1.5, shape[0])
    sizes[-1] = 0
    values = torch.randn(*shape, generator=made) * sizes[:, None]
    values[0, 7] *= -40
    return values.to(dtype)


def numbers(packed: torch.Tensor, name: str) -> torch.Tensor:
    """What packed codes stand for before scales."""
    codes = torch.stack([packed & 15, packed >> 4], dim=-1).flatten(-2)
    if name.startswith("int"):
        return ((codes.int() + 8) % 16 - 8).float()
    return decode(codes, E2M1)


@pytest.mark.parametrize(("name", "dtype", "block"), [*product(NAMES, DTYPES, BLOCKS)])
def test_rounding_is_the_references(name: str, dtype: torch.dtype, block: int | None) -> None:
    x = tokens((3, 384), dtype, seed=block or 0)
    found = fourbits.rotate_round(x, block, scheme_of(name))
    wanted = reference.rotate_round(x, block, scheme_of(name))
    if block is None:
        assert torch.equal(found, wanted)
    assert (found != wanted).float().mean() <= 0.002


@pytest.mark.parametrize(("name", "dtype", "block"), [*product(NAMES, DTYPES, (None, 32))])
def test_packed_codes_are_what_rounding_multiplies(
    name: str, dtype: torch.dtype, block: int | None
) -> None:
    x, scheme = tokens((3, 192), dtype, seed=3), scheme_of(name)
    made = fourbits.rotate_pack(x, block, scheme)
    scale = made.scale.float()
    if name == "mxfp4":
        scale = torch.exp2(made.scale.double() - 127).float()
    if made.factor is not None:
        scale = scale / made.factor
    wide = numbers(made.codes, name) * scale.repeat_interleave(scheme.group or 1, dim=1)
    assert torch.equal(wide.to(dtype), fourbits.rotate_round(x, block, scheme))


@pytest.mark.parametrize("name", NAMES)
def test_packed_scales_are_the_references(name: str) -> None:
    x, scheme = tokens((3, 192), torch.bfloat16, seed=4), scheme_of(name)
    found, wanted = fourbits.rotate_pack(x, None, scheme), reference.rotate_pack(x, None, scheme)
    assert torch.equal(numbers(found.codes, name), numbers(wanted[0], name))
    assert found.scale.dtype == wanted[1].dtype
    assert torch.equal(found.scale.float(), wanted[1].float())
    assert (found.factor is None) == (wanted[2] is None)
    if found.factor is not None and wanted[2] is not None:
        assert torch.equal(found.factor, wanted[2])


def test_every_e2m1_tie_goes_to_the_even_code() -> None:
    ties = [0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0, 7.0]
    x = torch.tensor([[*ties, *(-t for t in ties), *[0.0] * 16]], dtype=torch.bfloat16)
    found = fourbits.rotate_round(x, None, scheme_of("mxfp4"))
    even = [0.0, 1.0, 1.0, 2.0, 2.0, 4.0, 4.0, 6.0]
    assert found[0, :16].tolist() == [*even, *(-t for t in even)]


def test_another_scheme_is_refused() -> None:
    x = torch.ones(1, 128, dtype=torch.bfloat16)
    with pytest.raises(Unsupported, match="No program rounds"):
        fourbits.rotate_round(x, None, E4M3_TOKEN)
    with pytest.raises(Unsupported, match="No program rounds 48 columns"):
        fourbits.rotate_round(x[:, :48].contiguous(), None, scheme_of("mxfp4"))
    with pytest.raises(Unsupported, match="blocks of 48"):
        fourbits.rotate_round(x, 48, scheme_of("mxfp4"))


def test_a_calibrated_global_scale_is_taken_as_it_is() -> None:
    x = torch.randn(3, 256).to(torch.bfloat16)
    scheme = scheme_of("nvfp4")
    for peak in (0.5, 4.0, 90.0):  # smaller than the tokens', about theirs, larger
        shared = torch.tensor(2688.0 / peak)
        found = fourbits.rotate_round(x, None, scheme, shared=shared)
        assert torch.equal(found, fake_quantize(x, scheme, global_scale=shared))
