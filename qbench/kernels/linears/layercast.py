"""LayerCast: weights stored in 16 bits, all arithmetic in float32 (arXiv 2506.09501, 5).

Linear weights are cast for their product and forgotten (``linear.EmulatedLinear``, which multiplies
in the wider type of weight and input); rows of an embedding are cast when they are looked up. What
is small (norms, biases) is cast once. So memory stays that of the stored weights, tied embeddings
stay tied, and the model equals a float32 model of the same weights to the last bit: casting a
16-bit number to float32 is exact.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class CastEmbedding(nn.Embedding):
    """An embedding whose rows leave it in a wider type than the one they are kept in."""

    def __init__(self, table: nn.Embedding, wide: torch.dtype) -> None:
        """Take over ``table``, whose weight is shared and not copied."""
        rows, columns = table.weight.shape
        super().__init__(rows, columns, table.padding_idx, _weight=table.weight.detach())
        self.weight.requires_grad = False
        self.wide = wide

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """Return rows (..., columns) of ids (...)."""
        return super().forward(input).to(self.wide)


def cast_the_rest(model: nn.Module, wide: torch.dtype, kept: type[nn.Module]) -> None:
    """Have everything but modules of the type ``kept`` leave in ``wide``.

    Plain embeddings keep their storage. Subclasses of theirs, which may do more than look up, are
    cast whole, as all other parameters are. Buffers are left alone.
    """
    tables = [(name, m) for name, m in model.named_modules() if type(m) is nn.Embedding]
    for name, table in tables:
        model.set_submodule(name, CastEmbedding(table, wide).train(table.training))
    for module in model.modules():
        if not isinstance(module, (kept, CastEmbedding)):
            for parameter in module.parameters(recurse=False):
                parameter.data = parameter.data.to(wide)
