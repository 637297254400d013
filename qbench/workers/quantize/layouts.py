"""Checkpoints on disk without torch: shapes out of safetensors headers, sizes, schemes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from qbench.errors import ConfigError, Unsupported
from qbench.kernels.formats import Format, fitted
from qbench.kernels.schemes import Scheme

HEADER_BYTES = 8
LARGEST_HEADER = 100_000_000
PARTS = (
    "weight",
    "weight_packed",
    "weight_scale",
    "weight_zero_point",
    "weight_global_scale",
    "input_global_scale",
    "weight.absmax",
    "low_rank_left",
    "low_rank_right",
)
"""Names under which a layer is stored (compressed-tensors', bitsandbytes', and a correction's): all
that stays in memory."""


class Stored(Struct, frozen=True):
    """One tensor of a file."""

    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]

    @property
    def bytes(self) -> int:
        """Bytes in the file."""
        return self.data_offsets[1] - self.data_offsets[0]


class Size(Struct, frozen=True, kw_only=True):
    """What a quantized checkpoint takes, measured from its files."""

    bytes: int
    """Of all weight files."""
    bits_per_weight: float
    """Of the quantized layers, scales and all."""
    bits_overall: float
    """Of all weights, embeddings included."""
    quantized: int
    """Layers."""


def tensors(folder: Path) -> dict[str, Stored]:
    """Return the tensors of all safetensors files in ``folder`` by name.

    Raises:
        ConfigError: there are none, or a file is damaged.

    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ConfigError(
            f"{folder} has no safetensors files.",
            hint="Name a model in Hugging Face layout with safetensors weights.",
        )
    found: dict[str, Stored] = {}
    for file in files:
        found |= _header(file)
    return found


def _header(file: Path) -> dict[str, Stored]:
    """Read a safetensors header: eight bytes of length, then JSON."""
    try:
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(HEADER_BYTES), "little")
            text = opened.read(length) if length < LARGEST_HEADER else b""
        raw: dict[str, Any] = msgspec.json.decode(text)
        raw.pop("__metadata__", None)
        return msgspec.convert(raw, dict[str, Stored])
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        raise ConfigError(
            f"{file} cannot be read as a safetensors file.", hint="Download the checkpoint again."
        ) from error


def columns(stored: Iterable[Stored]) -> set[int]:
    """Return the numbers of columns that matrices have."""
    return {tensor.shape[-1] for tensor in stored if len(tensor.shape) > 1}


def measure(source: Path, made: Path) -> Size:
    """Measure what became of ``source`` in ``made``. Raises ConfigError as ``tensors``."""
    before, after = tensors(source), tensors(made)
    layers = [
        name.removesuffix(".weight")
        for name, tensor in before.items()
        if name.endswith(".weight")
        and len(tensor.shape) == 2
        and {f"{name}_scale", f"{name}.absmax"} & set(after)
    ]
    weights = sum(math.prod(before[f"{layer}.weight"].shape) for layer in layers)
    parts = (f"{layer}.{part}" for layer in layers for part in PARTS)
    packed = sum(after[part].bytes for part in parts if part in after)
    whole = sum(tensor.bytes for tensor in after.values())
    return Size(
        bytes=sum(file.stat().st_size for file in made.glob("*.safetensors")),
        bits_per_weight=8 * packed / weights if weights else math.nan,
        bits_overall=8 * whole / sum(math.prod(tensor.shape) for tensor in before.values()),
        quantized=len(layers),
    )


def schemes(fmt: Format, widths: Iterable[int]) -> dict[str, dict[str, Any]]:
    """Return ``fmt`` in the words of compressed-tensors for each number of columns it fits."""
    found = {}
    for width in sorted(widths):
        try:
            found[str(width)] = scheme_of(fitted(fmt, width))
        except Unsupported:
            continue  # the layer may be one that is kept; the maker refuses it by name if not
    return found


def scheme_of(fmt: Format) -> dict[str, Any]:
    """Write a format as a compressed-tensors scheme, without targets."""
    scheme: dict[str, Any] = {}
    if fmt.weights is not None:
        scheme["weights"] = _arguments(fmt.weights)
    if fmt.activations is not None:
        scheme["input_activations"] = _arguments(fmt.activations)
    if fmt.name == "w4a8":
        scheme["format"] = "pack-quantized"  # what vLLM's kernel loads; inferred: a byte each
    return scheme


def _arguments(scheme: Scheme) -> dict[str, Any]:
    small = scheme.scale_dtype in ("e8m0", "e4m3")
    strategy = "tensor_group" if scheme.two_level else scheme.strategy
    made: dict[str, Any] = {
        "num_bits": scheme.element_bits,
        "type": "int" if scheme.element.startswith("int") else "float",
        "symmetric": scheme.symmetric,
        "strategy": strategy,
        "dynamic": ("local" if scheme.two_level else True) if scheme.dynamic else False,
    }
    if scheme.strategy == "block":
        made["block_structure"] = [scheme.rows, scheme.group]
    elif scheme.group:
        made["group_size"] = scheme.group
    if small:
        kept = "torch.uint8" if scheme.scale_dtype == "e8m0" else "torch.float8_e4m3fn"
        made |= {"scale_dtype": kept, "zp_dtype": kept}
    if scheme.two_level and scheme.dynamic:
        made["observer"] = "static_minmax"
    return made
