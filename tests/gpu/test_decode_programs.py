"""Programs of single tokens on a GPU, against plain torch; poisoned memory shows what is read."""

import pytest
import torch

from qbench.kernels.decode import plain
from qbench.kernels.decode.attention import attend, turn
from qbench.kernels.decode.layout import Heads, scratch
from qbench.kernels.decode.pointwise import norm, silu_multiply, take_likeliest
from tests.single_tokens import Case, case_of, distance

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here"),
]

NEAR = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1e-2}
POSITIONS = ([5], [639], [0, 4095, -1, 63, 64, 65, 1000, 2], [700] * 32)


@pytest.mark.parametrize("dtype", NEAR)
@pytest.mark.parametrize("heads", [(32, 8, 128), (9, 3, 64), (4, 4, 16), (16, 8, 256)])
@pytest.mark.parametrize("positions", POSITIONS)
def test_attention_equals_plain_torch(
    dtype: torch.dtype, heads: tuple[int, int, int], positions: list[int]
) -> None:
    queries, shared, size = heads
    shape = Heads(queries=queries, shared=shared, size=size, scale=size**-0.5, epsilon=1e-6)
    case = case_of(shape, positions, dtype=dtype, device="cuda", normed=size != 64)
    other = case.copy()
    spare = scratch(len(positions), shape, "cuda")
    spare.partial.fill_(torch.nan)
    spare.stats.fill_(torch.nan)
    expected = run(case)
    for _ in range(3):  # what it wrote and counted is as it was
        found = attend(
            other.qkv, other.memory, other.places, other.angles, shape, other.norms, spare
        )
        assert distance(found, expected) < NEAR[dtype]
    assert int(spare.tickets.abs().sum()) == 0
    for mine, theirs in zip(other.memory, case.memory, strict=True):
        assert torch.equal(mine.isnan(), theirs.isnan())
        assert distance(mine.nan_to_num(), theirs.nan_to_num()) < NEAR[dtype]


def run(case: Case) -> torch.Tensor:
    return plain.attend(case.qkv, case.memory, case.places, case.angles, case.heads, case.norms)


@pytest.mark.parametrize("dtype", NEAR)
@pytest.mark.parametrize("columns", [576, 4096])
@pytest.mark.parametrize("tokens", [1, 7, 64])
def test_norms_and_gates_equal_plain_torch(dtype: torch.dtype, columns: int, tokens: int) -> None:
    first, second = (torch.randn(tokens, columns, device="cuda").to(dtype) for _ in range(2))
    gain = torch.rand(columns, device="cuda").to(dtype) + 0.5
    for residual in (None, second):
        pairs = zip(
            norm(first, gain, 1e-5, residual), plain.norm(first, gain, 1e-5, residual), strict=True
        )
        assert all(distance(found, expected) < NEAR[dtype] for found, expected in pairs)
    both = torch.cat([first, second], dim=1)
    assert distance(silu_multiply(both), plain.silu_multiply(both)) < NEAR[dtype]


@pytest.mark.parametrize("dtype", NEAR)
@pytest.mark.parametrize("heads", [(32, 8, 128), (9, 3, 64), (4, 4, 16)])
def test_turning_equals_plain_torch(dtype: torch.dtype, heads: tuple[int, int, int]) -> None:
    queries, shared, size = heads
    shape = Heads(queries=queries, shared=shared, size=size, scale=1.0, epsilon=1e-6)
    places = [5, 30, 0, *range(200, 300)]
    case = case_of(shape, places, dtype=dtype, device="cuda", normed=size == 16, length=512)
    other = case.copy()
    expected = plain.turn(case.qkv, case.memory, case.places, case.angles, shape, case.norms)
    found = turn(other.qkv, other.memory, other.places, other.angles, shape, other.norms)
    assert distance(found, expected) < NEAR[dtype]
    for mine, theirs in zip(other.memory, case.memory, strict=True):
        assert torch.equal(mine.isnan(), theirs.isnan())
        assert distance(mine.nan_to_num(), theirs.nan_to_num()) < NEAR[dtype]


@pytest.mark.parametrize("rows", [1, 9, 64])
@pytest.mark.parametrize("columns", [260, 49152, 128256])
def test_the_likeliest_token_is_the_first_of_equal_ones(rows: int, columns: int) -> None:
    logits = torch.randn(rows, columns, device="cuda").bfloat16()  # many are equal
    ids = torch.zeros(rows, dtype=torch.int32, device="cuda")
    positions = torch.arange(-1, rows - 1, dtype=torch.int32, device="cuda")
    spare = scratch(rows, Heads(queries=2, shared=1, size=16, scale=1.0), "cuda")
    for again in range(3):
        found = take_likeliest(logits, ids, positions, spare)
        assert found.tolist() == logits.cpu().argmax(-1).tolist()
        assert ids.tolist() == found.tolist()
        moved = [at + again + 1 if at >= 0 else at for at in range(-1, rows - 1)]
        assert positions.tolist() == moved
