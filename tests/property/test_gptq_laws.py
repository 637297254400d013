"""GPTQ, clipping and low-rank compensation: laws that hold for every scheme of a preset."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from qbench.errors import ConfigError
from qbench.kernels.checkpoints.clipping import scales_by
from qbench.kernels.checkpoints.gptq import Hessian, gptq
from qbench.kernels.checkpoints.lowrank import compensate, compensated, low_rank_bits
from qbench.kernels.formats import FORMATS, INT4_GROUP, MXFP4, NVFP4, fitted
from qbench.kernels.reference import Quantized, Scales, dequantize, find_scales, quantize
from qbench.kernels.schemes import Scheme

COLUMNS = 128
SCHEMES: dict[str, Scheme] = {
    name: scheme
    for name, fmt in FORMATS.items()
    if (scheme := fitted(fmt, COLUMNS).weights) is not None
}
NAMES = st.sampled_from(sorted(SCHEMES))


def weights(seed: int = 0, rows: int = 24) -> torch.Tensor:
    return torch.randn(rows, COLUMNS, generator=torch.Generator().manual_seed(seed)) * 0.05


def inputs(seed: int = 1, tokens: int = 600) -> torch.Tensor:
    """Correlated: a mixture of all columns and a part that all share."""
    draw = torch.Generator().manual_seed(seed)
    mix = torch.randn(COLUMNS, COLUMNS, generator=draw) / math.sqrt(COLUMNS)
    common = torch.randn(tokens, 1, generator=draw)
    return torch.randn(tokens, COLUMNS, generator=draw) @ mix + 0.5 * common


def hessian(seen: torch.Tensor) -> torch.Tensor:
    gathered = Hessian(COLUMNS)
    gathered.add(seen)
    return gathered.matrix


def output_error(made: Quantized, weight: torch.Tensor, seen: torch.Tensor) -> float:
    off = (dequantize(made, torch.float32) - weight) @ seen.T
    return float(off.norm() / (weight @ seen.T).norm())


@pytest.mark.parametrize("name", sorted(SCHEMES))
def test_it_beats_rounding_on_correlated_inputs(name: str) -> None:
    weight, scheme = weights(), SCHEMES[name]
    seen, unseen = inputs(1).split(300)
    rounded = output_error(quantize(weight, scheme), weight, unseen)
    for act_order in (False, True):
        made = gptq(weight, hessian(seen), scheme, act_order=act_order)
        assert output_error(made, weight, unseen) < 0.8 * rounded


@pytest.mark.parametrize("name", sorted(SCHEMES))
def test_without_correlation_it_is_rounding(name: str) -> None:
    weight, scheme = weights(), SCHEMES[name]
    made = gptq(weight, torch.eye(COLUMNS), scheme, act_order=True)
    rounded = quantize(weight, scheme)
    assert torch.equal(made.codes.float(), rounded.codes.float())
    assert torch.equal(made.scale, rounded.scale)
    assert torch.equal(dequantize(made, torch.float32), dequantize(rounded, torch.float32))


@given(name=NAMES, seed=st.integers(0, 99), act_order=st.booleans())
@settings(max_examples=5, deadline=None)
def test_the_same_again_gives_the_same(name: str, seed: int, act_order: bool) -> None:
    weight, curve = weights(seed), hessian(inputs(seed, 300))
    once = gptq(weight, curve, SCHEMES[name], act_order=act_order)
    again = gptq(weight, curve, SCHEMES[name], act_order=act_order)
    assert torch.equal(once.codes.float(), again.codes.float())


@given(name=NAMES, power=st.integers(-6, 6))
@settings(max_examples=5, deadline=None)
def test_the_size_of_the_hessian_does_not_matter(name: str, power: int) -> None:
    curve = hessian(inputs())
    plain = gptq(weights(), curve, SCHEMES[name])
    moved = gptq(weights(), curve * 4.0**power, SCHEMES[name])
    assert torch.equal(plain.codes.float(), moved.codes.float())


def test_how_many_columns_are_gathered_hardly_matters() -> None:
    curve, weight = hessian(inputs()), weights()
    made = [gptq(weight, curve, INT4_64, block=block) for block in (1, 32, 128, COLUMNS)]
    errors = [output_error(one, weight, inputs()) for one in made]
    assert max(errors) < 1.02 * min(errors)


INT4_64 = replace(INT4_GROUP, group=64)


def test_silent_columns_are_rounded_and_touch_nothing() -> None:
    seen = inputs()
    seen[:, 5:20] = 0
    made = gptq(weights(), hessian(seen), INT4_64)
    rounded = quantize(weights(), INT4_64)
    assert torch.equal(made.codes[:, 5:20], rounded.codes[:, 5:20])
    assert output_error(made, weights(), seen) < 0.8 * output_error(rounded, weights(), seen)


def test_batches_of_any_size_give_one_hessian() -> None:
    seen = inputs()
    gathered = Hessian(COLUMNS)
    for part in (seen[:7], seen[7:7], seen[7:500][None], seen[500:]):
        gathered.add(part)
    exact = 2 / len(seen) * seen.double().T @ seen.double()
    torch.testing.assert_close(gathered.matrix, exact.float(), rtol=1e-4, atol=1e-4)
    assert gathered.tokens == len(seen)


def test_a_hessian_that_cannot_be_inverted_is_refused() -> None:
    with pytest.raises(ConfigError, match="not positive with dampening"):
        gptq(weights(), -torch.ones(COLUMNS, COLUMNS) + 1.5 * torch.eye(COLUMNS), INT4_64)
    broken = torch.eye(COLUMNS)
    broken[3, 4] = torch.nan
    with pytest.raises(ConfigError, match=r"not finite.*fp32"):
        gptq(weights(), broken, INT4_64)


@pytest.mark.parametrize("name", sorted(SCHEMES))
def test_searched_scales_never_lose(name: str) -> None:
    """By the search's own measure, the sum of ``|error|^2.4`` over what shares a scale."""
    scheme = SCHEMES[name]
    weight = weights() * torch.linspace(0.2, 3, COLUMNS)
    found = scales_by(weight, scheme, "mse")
    assert found.scale.shape == find_scales(weight, scheme).scale.shape
    searched = quantize(weight, scheme, scales=found)
    peaked = quantize(weight, scheme)

    def size(made: Quantized) -> float:
        return float((dequantize(made, torch.float32) - weight).abs().pow(2.4).sum())

    assert size(searched) <= size(peaked) * (1 + 1e-6)


def test_small_scale_types_are_searched_completely() -> None:
    """Trying all 100 shrunken peaks one by one finds nothing better."""
    weight = weights(3, rows=6)
    for scheme in (NVFP4, MXFP4):
        found = quantize(weight, scheme, scales=scales_by(weight, scheme, "mse"))
        shared = find_scales(weight, scheme).global_scale
        best = _group_errors(found, weight)
        for step in range(100):
            tried = find_scales(weight * (1 - 0.8 * step / 100), scheme, global_scale=shared)
            made = quantize(weight, scheme, scales=tried)
            assert bool((best <= _group_errors(made, weight) * (1 + 1e-6)).all())


def _group_errors(made: Quantized, weight: torch.Tensor) -> torch.Tensor:
    off = (dequantize(made, torch.float32) - weight).abs().pow(2.4)
    return off.view(len(off), -1, made.scheme.group or off.shape[1]).sum(-1)


BLOCK = [
    [-0.256, 0.511, -0.226, -0.315, -0.93, -0.213, 1.112, 0.424],
    [1.037, 0.249, 0.395, 0.185, -1.666, 0.855, 0.506, 0.499],
    [-1.691, -1.744, -0.89, -0.468, 0.305, -0.046, 0.521, -0.642],
    [0.309, 0.394, -0.661, 1.718, 0.557, 1.197, -0.62, -0.74],
]
"""The published block of 32 numbers (FP-Quant's arithmetic, recomputed independently)."""


@pytest.mark.parametrize(
    ("scheme", "rule", "scales", "error"),
    [
        (MXFP4, "peak", [0.25], 0.009742718750000002),
        (MXFP4, "three-quarters", [1 / 3], 0.014708430555555556),
        (NVFP4, "peak", [0.2699047619047619, 0.2906666666666667], 0.0024875538548752843),
    ],
)
def test_a_block_has_the_worked_scales_and_error(
    scheme: Scheme, rule: str, scales: list[float], error: float
) -> None:
    block = torch.tensor(BLOCK).view(1, 32)
    made = quantize(block, scheme, scales=scales_by(block, scheme, rule))  # type: ignore[arg-type]
    assert made.step.flatten().tolist() == pytest.approx(scales, rel=1e-6)
    off = dequantize(made, torch.float32).double() - block.double()
    assert float(off.square().mean()) == pytest.approx(error, rel=1e-5)


def test_three_quarters_is_for_powers_of_two() -> None:
    with pytest.raises(ConfigError, match="one for power-of-two scales, not e4m3"):
        scales_by(weights(), NVFP4, "three-quarters")


def test_more_rank_leaves_less_error_and_full_rank_none() -> None:
    weight = weights(rows=24)
    made = quantize(weight, INT4_64)
    errors = []
    for rank in (1, 2, 4, 8, 16, 24):
        correction = compensate(weight, made, rank, storage="float32")
        assert correction.rank == rank
        errors.append(float((compensated(made, correction, torch.float32) - weight).norm()))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-5 * float(weight.norm())
    exact = torch.linalg.svdvals((weight - dequantize(made, torch.float32)).double())
    assert errors[2] == pytest.approx(float(exact[4:].norm()), rel=1e-4)


def test_a_correction_costs_what_its_factors_take() -> None:
    made = quantize(weights(), INT4_64)
    correction = compensate(weights(), made, 8)
    sizes = [
        tensor.numel() * tensor.element_size() for tensor in (correction.left, correction.right)
    ]
    assert low_rank_bits(24, COLUMNS, 8) == 8 * sum(sizes)
    with pytest.raises(ConfigError, match=r"rank 25 does not fit.*from 1 to 24"):
        compensate(weights(), made, 25)


def test_fixed_scales_are_kept() -> None:
    scales = Scales(scale=find_scales(weights(), INT4_64).scale * 0.5)
    made = gptq(weights(), hessian(inputs()), INT4_64, scales=scales)
    assert torch.equal(made.scale, scales.scale)
