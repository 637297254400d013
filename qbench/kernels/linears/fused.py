"""Layers that take the same input as one product: q, k and v, or gate and up.

A model goes on calling its layers one by one. The first of them makes the product of all, the
others take their columns of it; a decode path calls the product itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class Whole(nn.Module):
    """One product, and the columns of each layer in it."""

    def __init__(self, linear: nn.Module, sizes: Sequence[int]) -> None:
        """Take the product of all layers and the outputs of each."""
        super().__init__()
        self.linear = linear
        self.sizes = list(sizes)
        self._given: Tensor | None = None
        self._parts: list[Tensor | None] = []

    def forward(self, values: Tensor) -> Tensor:
        """Map (..., in) to the outputs of all layers side by side."""
        made: Tensor = self.linear(values)
        return made

    def part(self, values: Tensor, index: int) -> Tensor:
        """Return the outputs of one layer; all are made at the first call with an input.

        An input must not be changed in place between these calls. What was made is kept until
        each layer has taken its part.
        """
        if self._given is not values or self._parts[index] is None:
            self._given = values
            self._parts = list(self.linear(values).split(self.sizes, dim=-1))
        found = self._parts[index]
        assert found is not None
        self._parts[index] = None
        if not any(part is not None for part in self._parts):
            self._given, self._parts = None, []
        return found


class Part(nn.Module):
    """One of the layers, where the model looks for it."""

    def __init__(self, whole: Whole, index: int) -> None:
        super().__init__()
        self.whole = whole
        self.index = index

    def forward(self, values: Tensor) -> Tensor:
        """Map (..., in) to this layer's (..., out)."""
        return self.whole.part(values, self.index)


SIBLINGS = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))
"""Names of layers that take the same input in models of the kinds below."""
KINDS = ("llama", "mistral", "qwen2", "qwen3")
"""``model_type`` of models that call them with the very same tensor."""


def families(model: nn.Module) -> list[tuple[str, ...]]:
    """Return names of linear layers that can be one product; none for other kinds of models."""
    if getattr(getattr(model, "config", None), "model_type", "") not in KINDS:
        return []
    return [
        tuple(f"{name}.{sibling}" for sibling in names)
        for name, module in model.named_modules()
        for names in SIBLINGS
        if all(hasattr(module, sibling) for sibling in names)
    ]


def install_whole(model: nn.Module, names: Sequence[str], whole: Whole) -> None:
    """Have the layers ``names`` of ``model`` take their parts of ``whole``."""
    for index, name in enumerate(names):
        model.set_submodule(name, Part(whole, index))
