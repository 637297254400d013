"""Linear layers in a Format, for machines that cannot multiply it: dequantize, then multiply.

The dequantized weight is kept, so a weight-only format runs as fast as the storage type; the
result is bit for bit that of dequantizing at every call.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from msgspec import Struct
from torch import Tensor, nn

from qbench.kernels.formats import BITS, Format, Scheme, fitted
from qbench.kernels.reference import dequantize, fake_quantize, quantize


class AppliedFormat(Struct, frozen=True, kw_only=True):
    """What was made of a model."""

    effective: str
    """The format's label, with the group that most layers got."""
    layers: int
    """Linear layers converted."""
    skipped: tuple[str, ...]
    """Linear layers left in the storage type."""
    weight_bytes: int
    """All weights as a packed checkpoint would store them, embeddings and scales included."""
    bits_per_weight: float
    """Of the converted layers, scales included; of the storage type where none was."""


class EmulatedLinear(nn.Module):
    """``F.linear(quantized activations, dequantized weight)``.

    Storage rounding: when the module was widened to float32 for a CPU that cannot multiply the
    storage type, activations are still rounded to ``storage`` on the way in and out, so that
    products are the storage type's with float32 sums.
    """

    def __init__(
        self, weight: Tensor, bias: Tensor | None, activations: Scheme | None, storage: torch.dtype
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)
        self.activations = activations
        self.storage = storage

    def forward(self, values: Tensor) -> Tensor:
        """Map (..., in) to (..., out)."""
        rounded = values.to(self.storage)
        if self.activations is not None:
            rounded = fake_quantize(rounded, self.activations)
        out = F.linear(rounded.to(self.weight.dtype), self.weight, self.bias)
        return out.to(self.storage).to(values.dtype)

    def extra_repr(self) -> str:
        """Describe the layer."""
        out, columns = self.weight.shape
        return f"in={columns}, out={out}, activations={self.activations}"


def apply_format(
    model: nn.Module, fmt: Format, *, skip: Sequence[str] = ("lm_head",)
) -> AppliedFormat:
    """Replace the model's linear layers in place, one at a time, by ones in ``fmt``.

    Args:
        model: loaded in the format's storage type.
        fmt: groups are fitted to each layer.
        skip: layers whose last name part is listed stay as they are, as llm-compressor's
            recipes leave the output layer.

    """
    linears = {name: part for name, part in model.named_modules() if isinstance(part, nn.Linear)}
    skipped = tuple(name for name in linears if name.rpartition(".")[2] in skip)
    labels: Counter[str] = Counter()
    bits = weights = 0.0
    for name, layer in linears.items():
        if name in skipped:
            continue
        made = fitted(fmt, layer.in_features)
        _replace(model, name, _emulated(layer, made))
        labels[made.label] += 1
        bits += made.bits_per_weight(layer.in_features) * layer.weight.numel()
        weights += layer.weight.numel()
    rest = sum(part.numel() for part in model.parameters()) - weights
    return AppliedFormat(
        effective=labels.most_common(1)[0][0] if labels else fmt.label,
        layers=labels.total(),
        skipped=skipped,
        weight_bytes=int((bits + rest * BITS[fmt.storage]) / 8),
        bits_per_weight=bits / weights if weights else float(BITS[fmt.storage]),
    )


def _emulated(layer: nn.Linear, fmt: Format) -> EmulatedLinear:
    weight = layer.weight.detach()
    if fmt.weights is not None:
        weight = dequantize(quantize(weight, fmt.weights), weight.dtype)
    bias = None if layer.bias is None else layer.bias.detach()
    return EmulatedLinear(weight, bias, fmt.activations, layer.weight.dtype)


def _replace(model: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, layer)
