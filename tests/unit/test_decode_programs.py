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


@pytest.mark.parametrize("dtype", NEAR)
@pytest.mark.parametrize("heads", [(8, 2, 64), (6, 3, 16)])
def test_turning_equals_plain_torch(dtype: torch.dtype, heads: tuple[int, int, int]) -> None:
    queries, shared, size = heads
    shape = Heads(queries=queries, shared=shared, size=size, scale=1.0, epsilon=1e-6)
    case = case_of(shape, [5, 30, 0], dtype=dtype, device="cpu", normed=size == 16, length=64)
    other = case.copy()
    expected = plain.turn(case.qkv, case.memory, case.places, case.angles, shape, case.norms)
    found = launch.turn(other.qkv, other.memory, other.places, other.angles, shape, other.norms)
    assert distance(found, expected) < NEAR[dtype]
    for mine, theirs in zip(other.memory, case.memory, strict=True):
        assert torch.equal(mine.isnan(), theirs.isnan())
        assert distance(mine.nan_to_num(), theirs.nan_to_num()) < NEAR[dtype]


def test_the_likeliest_token_is_the_first_of_equal_ones() -> None:
    shape = Heads(queries=2, shared=1, size=16, scale=1.0)
    logits = torch.randn(4, 5000)
    logits[0, [70, 4100]] = 9.0
    logits[1, 4999] = 9.0
    logits[2] = -torch.inf
    ids, positions = torch.zeros(4, dtype=torch.int32), torch.tensor([3, -1, 0, 9]).int()
    spare = scratch(4, shape, "cpu")
    found = launch.take_likeliest(logits, ids, positions, spare)
    assert found.tolist() == [70, 4999, 0, int(logits[3].argmax())]
    assert ids.tolist() == found.tolist()
    assert positions.tolist() == [4, -1, 1, 10]
    assert not spare.tickets.any()
