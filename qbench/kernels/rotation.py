"""Block-diagonal Hadamard rotation of the reduction dimension (MR-GPTQ, arXiv 2509.23202).

``(x H)(W H)^T = x W^T`` for an orthonormal H, so a layer whose weights were rotated once and whose
inputs are rotated as they come computes what it did before, but outliers are spread over the
columns of their block before anything is rounded. H is made of Sylvester blocks divided by the
root of their size: symmetric, and its own inverse.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from qbench.errors import ConfigError, Unsupported


def hadamard(block: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Return the orthonormal Sylvester-Hadamard matrix (block, block).

    Raises:
        ConfigError: ``block`` is not a power of two.

    """
    _refuse(block)
    matrix = torch.ones(1, 1, dtype=torch.float64)
    for _ in range(block.bit_length() - 1):
        matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)])
    return (matrix / math.sqrt(block)).to(dtype)


def rotate(values: Tensor, block: int) -> Tensor:
    """Return ``values`` (..., columns) with every ``block`` columns multiplied by ``hadamard``.

    Sums are made in float32 (float64 where ``values`` are), in one order whatever the batch, and
    rounded once to the type of ``values``. Rotating twice gives the values back, but for rounding.

    Raises:
        ConfigError: ``block`` is not a power of two.
        Unsupported: blocks do not divide the columns.

    """
    _refuse(block)
    columns = values.shape[-1]
    if columns % block:
        raise Unsupported(
            f"Rotation blocks of {block} do not divide {columns} columns.",
            hint="Fit the format to the layer first: qbench.kernels.formats.fitted.",
        )
    wide = values.to(torch.promote_types(values.dtype, torch.float32)).reshape(-1, block)
    width = 1
    while width < block:
        pairs = wide.view(-1, block // (2 * width), 2, width)
        low, high = pairs[:, :, 0], pairs[:, :, 1]
        wide = torch.stack([low + high, low - high], dim=2).view(-1, block)
        width *= 2
    return (wide * (1 / math.sqrt(block))).to(values.dtype).reshape(values.shape)


def _refuse(block: int) -> None:
    if block < 1 or block & (block - 1):
        raise ConfigError(
            f"A Hadamard block of {block} columns does not exist here.",
            hint="Use a power of two: 16, 32, 64 or 128.",
        )
