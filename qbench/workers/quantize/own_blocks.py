"""Hidden states on their way through a decoder, one block at a time, and what layers see there."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from msgspec import Struct
from torch import Tensor, nn
from transformers import PreTrainedModel

from qbench.errors import Unsupported
from qbench.kernels.checkpoints.gptq import Hessian
from qbench.kernels.formats import Format
from qbench.kernels.rotation import rotate

Call = tuple[tuple[Any, ...], dict[str, Any]]


class Sample(Struct, kw_only=True):
    """One sequence: where it stands, and what each block is called with beside it."""

    hidden: Tensor
    """(1, tokens, width), input of the next block, in the storage type."""
    calls: list[Call]


@torch.no_grad()
def begin(model: PreTrainedModel, blocks: nn.ModuleList, rows: Sequence[list[int]]) -> list[Sample]:
    """Return the samples as they enter the first block. Blocks are not run.

    Raises:
        Unsupported: the model does not call its blocks one after the other with one hidden state.

    """
    with _stubs(blocks) as seen:
        return [_entered(model, blocks, tokens, seen) for tokens in rows]


def _entered(
    model: PreTrainedModel,
    blocks: nn.ModuleList,
    tokens: list[int],
    seen: list[tuple[Tensor, Call]],
) -> Sample:
    seen.clear()
    ids = torch.tensor([tokens], device=model.device)
    model.base_model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False)
    if len(seen) != len(blocks) or any(one[0].shape != seen[0][0].shape for one in seen):
        raise Unsupported(
            "This model does not pass one hidden state through its blocks in order.",
            hint="Quantize it with llm-compressor's recipes.",
        )
    return Sample(hidden=seen[0][0], calls=[call for _, call in seen])


@contextlib.contextmanager
def _stubs(blocks: nn.ModuleList) -> Iterator[list[tuple[Tensor, Call]]]:
    """Have every block return its input and note what it was called with."""
    seen: list[tuple[Tensor, Call]] = []

    def stub(hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        seen.append((hidden_states, (args, kwargs)))
        return hidden_states

    for block in blocks:
        block.forward = stub
    try:
        yield seen
    finally:
        for block in blocks:
            del block.forward


@torch.no_grad()
def run_block(block: nn.Module, hidden: Tensor, call: Call, device: str) -> Tensor:
    """Return what a float32 block makes of ``hidden``, in float32."""
    args, kwargs = _wide(call[0], device), _wide(call[1], device)
    made = block(_wide(hidden, device), *args, **kwargs)
    found: Tensor = made[0] if isinstance(made, tuple) else made
    return found


def _wide(value: Any, device: str) -> Any:
    """Return floats as float32, in whatever holds them, on the device."""
    if isinstance(value, Tensor):
        moved = value.to(device)
        return moved.float() if moved.is_floating_point() else moved
    if isinstance(value, Mapping):
        return {key: _wide(one, device) for key, one in value.items()}
    if isinstance(value, (tuple, list)):
        return type(value)(_wide(one, device) for one in value)
    return value


def step(block: nn.Module, index: int, samples: Sequence[Sample], device: str) -> None:
    """Move the samples through block ``index``, rounding to their type as the model does."""
    for sample in samples:
        made = run_block(block, sample.hidden, sample.calls[index], device)
        sample.hidden = made.to(sample.hidden)


class Seen:
    """What came into a layer: the Hessian of its rotated inputs, and their peak."""

    def __init__(self, rotation: int | None) -> None:
        """Begin with nothing seen."""
        self.rotation = rotation
        self.hessian: Hessian | None = None
        self.peak = 0.0

    def add(self, values: Tensor, *, hessian: bool) -> None:
        """Take in a batch (..., columns)."""
        if self.rotation is not None:
            values = rotate(values, self.rotation)
        self.peak = max(self.peak, float(values.abs().amax()))
        if hessian:
            if self.hessian is None:
                self.hessian = Hessian(values.shape[-1], values.device)
            self.hessian.add(values)


class Watch:
    """Gathers what the layers of one block see. Layers with the same input share what is seen."""

    def __init__(
        self, layers: Mapping[str, nn.Module], plan: Mapping[str, Format], *, hessians: bool
    ) -> None:
        """Watch ``layers``, by name, each with its format in ``plan``."""
        self.seen: dict[str, Seen] = {}
        self._plan = plan
        self._hessians = hessians
        self._leads: set[str] = set()
        self._inputs: dict[str, Tensor] = {}
        self._handles = [
            layer.register_forward_pre_hook(self._hook(name)) for name, layer in layers.items()
        ]

    def _hook(self, name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def look(_: nn.Module, args: tuple[Any, ...]) -> None:
            values: Tensor = args[0]
            if name not in self.seen:
                self._introduce(name, values)
            if name in self._leads:
                self.seen[name].add(values, hessian=self._hessians)

        return look

    def _introduce(self, name: str, values: Tensor) -> None:
        """Join a layer that has been given the same tensor just now, or lead."""
        rotation = self._plan[name].rotation
        self._inputs[name] = values
        for lead in self._leads:
            if self._inputs[lead] is values and self.seen[lead].rotation == rotation:
                self.seen[name] = self.seen[lead]
                return
        self.seen[name] = Seen(rotation)
        self._leads.add(name)

    def end(self) -> None:
        """Stop watching."""
        self._inputs.clear()
        for handle in self._handles:
            handle.remove()
