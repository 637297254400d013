"""Low-rank compensation of the quantization error (LoRC: ZeroQuant-FP, arXiv 2307.09782, 3.3).

``W ~ Q(W) + A B`` with A (out, rank), B (rank, in): the truncated singular value decomposition of
``W - Q(W)``, the best of its rank in squared error (Eckart and Young).
"""

from __future__ import annotations

import torch
from msgspec import Struct
from torch import Tensor

from qbench.errors import ConfigError
from qbench.kernels.reference import FLOATS, Quantized, dequantize
from qbench.kernels.schemes import FLOAT_BITS, FloatName


class LowRank(Struct, frozen=True, kw_only=True):
    """What is added to dequantized weights: ``left @ right``."""

    left: Tensor
    """(out, rank)."""
    right: Tensor
    """(rank, in), orthogonal rows."""

    @property
    def rank(self) -> int:
        """Columns of ``left``."""
        return int(self.left.shape[1])

    @property
    def product(self) -> Tensor:
        """The added weights (out, in) in float32."""
        return self.left.float() @ self.right.float()


def compensate(
    weight: Tensor, quantized: Quantized, rank: int, *, storage: FloatName = "bfloat16"
) -> LowRank:
    """Return the best correction of ``rank`` to ``quantized``, its factors in ``storage``.

    Singular values are shared evenly between both factors, so that rounding them to a 16-bit type
    costs least.

    Raises:
        ConfigError: ``rank`` is not between 1 and the smaller side of the matrix.

    """
    most = min(weight.shape)
    if not 1 <= rank <= most:
        raise ConfigError(
            f"A correction of rank {rank} does not fit a matrix of {tuple(weight.shape)}.",
            hint=f"Use a rank from 1 to {most}.",
        )
    error = weight.double() - dequantize(quantized, torch.float32).double()
    left, sizes, right = torch.linalg.svd(error, full_matrices=False)
    roots = sizes[:rank].sqrt()
    kept = FLOATS[storage]
    return LowRank(
        left=(left[:, :rank] * roots).to(kept).contiguous(),
        right=(roots[:, None] * right[:rank]).to(kept).contiguous(),
    )


def compensated(quantized: Quantized, correction: LowRank, dtype: torch.dtype) -> Tensor:
    """Return ``Q(W) + A B``, summed in float32 and rounded once to ``dtype``."""
    return (dequantize(quantized, torch.float32) + correction.product).to(dtype)


def low_rank_bits(rows: int, columns: int, rank: int, storage: FloatName = "bfloat16") -> int:
    """Return the bits of both factors of a matrix (rows, columns)."""
    return (rows + columns) * rank * FLOAT_BITS[storage]
