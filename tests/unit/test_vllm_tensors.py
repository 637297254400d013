from __future__ import annotations

import pytest
import torch

from qbench.kernels.checkpoints.packing import pack_bits, unpack_bits
from qbench.kernels.lent.tensors import AT_ONCE, unpacked


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize(("rows", "columns"), [(3, 96), (5, 130), (AT_ONCE + 1, 32)])
def test_codes_are_unpacked_as_the_checkpoint_packed_them(
    bits: int, rows: int, columns: int
) -> None:
    half = 1 << (bits - 1)
    codes = torch.randint(-half, half, (rows, columns), dtype=torch.int8)
    words = pack_bits(codes, bits)
    assert torch.equal(unpacked(words, bits, columns), codes)
    assert torch.equal(unpacked(words, bits, columns), unpack_bits(words, bits, columns))
