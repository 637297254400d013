"""Quantized checkpoints as they are: every layer's stored codes, turned back into its weights.

Which tensors a layer has and what they mean depends on who wrote them (``stored_layers``). Layers
are turned back one after the other; what is not quantized passes through.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from msgspec import Struct
from safetensors import safe_open
from torch import Tensor

from qbench.errors import ConfigError, Unsupported
from qbench.kernels.checkpoints.lowrank import LowRank
from qbench.kernels.linears.linear import Inputs
from qbench.kernels.reference import Quantized

Json = dict[str, Any]

MARKS = ("weight_packed", "weight_scale", "weight_scale_inv", "qweight", "weight.absmax")
"""Tensors by which a quantized layer is known; one of them per layer in all layouts read here."""
CACHE_MARKS = ("k_scale", "v_scale", "q_scale")
ROTATION = "_input.weight"
"""How the matrix of a rotation is named, which all layers share."""
CORRECTION = ("low_rank_left", "low_rank_right")


class Layer(Struct, frozen=True):
    """A layer that was turned back."""

    weight: Tensor
    """(out, in) in float32: code x scale, not yet rounded to a storage type."""
    inputs: Inputs
    quantized: Quantized | None = None
    """Its codes, where they are those of a scheme and nothing was added to them."""


Read = Callable[[str, Mapping[str, Tensor]], Layer]
"""Turns the tensors of a layer, by their names below its own, into a Layer."""


class Stored:
    """The tensors of a folder's safetensors files, read one at a time."""

    def __init__(self, folder: Path) -> None:
        """Raises ConfigError where there are none, or a file cannot be read."""
        self._files: dict[str, Any] = {}
        for path in sorted(folder.glob("*.safetensors")):
            opened = _opened(path)
            self._files |= dict.fromkeys(opened.keys(), opened)
        if not self._files:
            raise ConfigError(
                f"{folder} has no safetensors files.",
                hint="Name a checkpoint in Hugging Face layout with safetensors weights.",
            )
        cached = [name for name in self._files if name.rpartition(".")[2] in CACHE_MARKS]
        if cached:
            raise Unsupported(
                f"The checkpoint quantizes keys and values too ({cached[0]}).",
                hint="The embedded engine does not emulate that: serve it with --engine vllm.",
            )

    @property
    def layers(self) -> list[str]:
        """Names of the quantized layers, in order."""
        found = {
            name.removesuffix(f".{mark}"): None
            for name in self._files
            for mark in MARKS
            if name.endswith(f".{mark}")
        }
        return [*found]

    def parts(self, layer: str) -> dict[str, Tensor]:
        """Return a layer's tensors by their names below its own; its bias is none of them."""
        start = f"{layer}."
        return {
            name.removeprefix(start): self._files[name].get_tensor(name)
            for name in self._files
            if name.startswith(start) and not name.endswith(".bias")
        }

    def rest(self) -> dict[str, Tensor]:
        """Return all tensors that belong to no quantized layer, and the biases of those."""
        starts = tuple(f"{layer}." for layer in self.layers)
        return {
            name: opened.get_tensor(name)
            for name, opened in self._files.items()
            if name.endswith(".bias") or not name.startswith(starts)
        }

    @property
    def bytes(self) -> int:
        """Bytes of all tensors as they are stored."""
        sizes = {"F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1, "BOOL": 1, "F4": 0.5}
        total = 0.0
        for name, opened in self._files.items():
            part = opened.get_slice(name)
            kind = part.get_dtype()
            width = sizes.get(kind) or int("".join(filter(str.isdigit, kind))) / 8
            total += width * torch.Size(part.get_shape()).numel()
        return int(total)


def _opened(path: Path) -> Any:
    try:
        return safe_open(path, framework="pt")
    except Exception as error:  # its error type is not part of its interface
        raise ConfigError(
            f"{path} cannot be read as a safetensors file: {error}.",
            hint="Download or make the checkpoint again.",
        ) from error


class Restored(Struct, frozen=True, kw_only=True):
    """A whole checkpoint turned back."""

    state: dict[str, Tensor]
    """All parameters, quantized ones in the storage type."""
    inputs: dict[str, Inputs]
    """What becomes of the inputs of each quantized layer, by its name."""
    coded: dict[str, Quantized]
    """Codes of the layers that have any, where they were asked for."""
    weight_bytes: int
    bits_per_weight: float
    """Of quantized layers: all that is stored of them, by their weights."""


def restore(folder: Path, read: Read, dtype: torch.dtype, *, keep_codes: bool = False) -> Restored:
    """Turn every layer of a checkpoint back, one at a time; keep its codes too where asked.

    Raises:
        ConfigError: a file or a layer is damaged.
        Unsupported: it holds what nothing here computes.

    """
    stored = Stored(folder)
    state = {
        name: tensor.to(dtype) if tensor.is_floating_point() else tensor
        for name, tensor in stored.rest().items()
    }
    inputs: dict[str, Inputs] = {}
    coded: dict[str, Quantized] = {}
    bits = weights = 0
    for name in stored.layers:
        parts = stored.parts(name)
        bits += 8 * sum(
            tensor.nbytes for part, tensor in parts.items() if not part.endswith(ROTATION)
        )
        layer = _read(read, name, parts)
        weights += layer.weight.numel()
        state[f"{name}.weight"] = layer.weight.to(dtype)
        inputs[name] = layer.inputs
        if keep_codes and layer.quantized is not None:
            coded[name] = layer.quantized
    return Restored(
        state=state,
        inputs=inputs,
        coded=coded,
        weight_bytes=stored.bytes,
        bits_per_weight=bits / weights if weights else 0.0,
    )


def _read(read: Read, name: str, parts: dict[str, Tensor]) -> Layer:
    """Read a layer and add its low-rank correction, where it has one."""
    left, right = (parts.pop(side, None) for side in CORRECTION)
    try:
        layer = read(name, parts)
    except KeyError as missing:
        raise ConfigError(
            f"The layer {name} has no tensor {missing}; it has {', '.join(sorted(parts))}.",
            hint="The checkpoint is incomplete, or its config says something else than it holds.",
        ) from missing
    if left is None or right is None:
        return layer
    return Layer(layer.weight + LowRank(left=left, right=right).product, layer.inputs)
