"""Programs of single tokens under Triton's interpreter, against plain torch."""

import os

import pytest

os.environ.setdefault("TRITON_INTERPRET", "1")  # read when programs are defined
pytest.importorskip("triton")

import torch

from qbench.kernels.decode import launch, plain
from qbench.kernels.decode.layout import Heads, scratch
from tests.single_tokens import case_of, distance

NEAR = {torch.float32: 1e-5, torch.float16: 2e-3}

pytestmark = pytest.mark.skipif(
    os.environ["TRITON_INTERPRET"] != "1", reason="programs are compiled in this process"
)


@pytest.mark.parametrize("dtype", NEAR)
@pytest.mark.parametrize(
    ("heads", "positions"),
    [((8, 2, 64), [5, 300, -1, 0, 200]), ((4, 2, 16), [64, 65, 128, 1, 400]), ((3, 1, 32), [500])],
)
def test_attention_equals_plain_torch(
    dtype: torch.dtype, heads: tuple[int, int, int], positions: list[int]
) -> None:
    queries, shared, size = heads
    shape = Heads(queries=queries, shared=shared, size=size, scale=size**-0.5, epsilon=1e-6)
    case = case_of(shape, positions, dtype=dtype, device="cpu", normed=size == 16, length=512)
    other = case.copy()
    spare = scratch(len(positions), shape, "cpu")
    spare.partial.fill_(torch.nan)
    spare.stats.fill_(torch.nan)
    expected = plain.attend(case.qkv, case.memory, case.places, case.angles, shape, case.norms)
    for _ in range(2):
        found = launch.attend(
            other.qkv, other.memory, other.places, other.angles, shape, other.norms, spare
        )
        assert distance(found, expected) < NEAR[dtype]
    assert int(spare.tickets.abs().sum()) == 0
    for mine, theirs in zip(other.memory, case.memory, strict=True):
        assert torch.equal(mine.isnan(), theirs.isnan())
        assert distance(mine.nan_to_num(), theirs.nan_to_num()) < NEAR[dtype]


@pytest.mark.parametrize("dtype", NEAR)
def test_norms_and_gates_equal_plain_torch(dtype: torch.dtype) -> None:
    first, second = (torch.randn(3, 576).to(dtype) for _ in range(2))
    gain = torch.rand(576).to(dtype) + 0.5
    for residual in (None, second):
        found = launch.norm(first, gain, 1e-5, residual)
        expected = plain.norm(first, gain, 1e-5, residual)
        pairs = zip(found, expected, strict=True)
        assert all(distance(mine, theirs) < NEAR[dtype] for mine, theirs in pairs)
    both = torch.cat([first, second], dim=1)
    assert distance(launch.silu_multiply(both), plain.silu_multiply(both)) < NEAR[dtype]
