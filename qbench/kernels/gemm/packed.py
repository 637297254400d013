"""Weights as GPU programs read them: codes laid out for the access pattern, made once at load.

Weight-only formats lie in *chunks* of columns, ``(chunks, rows, ...)``: what a program of some rows
reads of a chunk is one contiguous piece, whatever the rows it takes. Formats with
8-bit or 4-bit activations keep their codes in rows, as matrix units read them.
"""

from __future__ import annotations

from msgspec import Struct
from torch import Tensor

from qbench.kernels.schemes import Scheme

CHUNK = 128
"""Formats with 8-bit activations: columns are filled up to a multiple of this with zeros."""


class PackedWeight(Struct, frozen=True, kw_only=True):
    """A quantized weight (rows, columns) ready for a GPU program, and what its scheme was."""

    scheme: Scheme
    activations: Scheme | None
    """How the inputs must have been quantized; None: they come in 16 bits."""
    rows: int
    """Outputs of the layer, N; without filling."""
    columns: int
    """Inputs of the layer, K; without filling."""
    codes: Tensor
    """See the packing module of the format."""
    high: Tensor | None = None
    """The third bit of 3-bit codes."""
    scale: Tensor
    """Weight-only groups: int32 words (chunks, rows, words); else (rows,) or blocks, float32; of
    4-bit activations bytes (rows, groups)."""
    zero: Tensor | None = None
    """Zero points, int32 (chunks, rows): a byte a group, moved up to be positive."""
    factor: float = 1.0
    """What every output is multiplied by: the float32 scale of two-level schemes."""

    @property
    def bytes(self) -> int:
        """Bytes that one pass over the weight reads."""
        tensors = (self.codes, self.high, self.scale, self.zero)
        return sum(t.numel() * t.element_size() for t in tensors if t is not None)
