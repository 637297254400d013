"""A source's files become a quantized checkpoint's: layers replaced, the rest carried over."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from qbench.errors import ConfigError, Unsupported
from qbench.kernels.reference import FLOATS
from qbench.kernels.schemes import FloatName
from qbench.workers.quantize.identity import TOKENIZER_FILES

SHARD_BYTES = 5_000_000_000


def tensor_names(folder: Path) -> set[str]:
    """Return the names of all tensors in a checkpoint.

    Raises:
        ConfigError: there are none.

    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ConfigError(
            f"{folder} has no safetensors files.",
            hint="Name a model in Hugging Face layout with safetensors weights.",
        )
    names: set[str] = set()
    for file in files:
        with safe_open(file, framework="pt") as opened:
            names |= set(opened.keys())
    return names


def check_names(folder: Path, layers: Mapping[str, Any]) -> None:
    """Refuse a source whose tensors are named otherwise than the layers of the loaded model."""
    missing = [name for name in layers if f"{name}.weight" not in tensor_names(folder)]
    if missing:
        raise Unsupported(
            f"The checkpoint has no tensor {missing[0]}.weight: transformers renames its layers.",
            hint="Quantize this model with llm-compressor's recipes.",
        )


def write(
    source: Path,
    out: Path,
    layers: Mapping[str, Mapping[str, Tensor]],
    storage: FloatName,
    config: Mapping[str, Any],
) -> None:
    """Write weights, configuration and tokenizer of a quantized checkpoint to ``out``.

    ``layers``: the tensors of each quantized layer, by names below the layer's.
    """
    _write_weights(_tensors(source, layers, storage), out)
    told = msgspec.json.decode((source / "config.json").read_bytes())
    told.pop("torch_dtype", None)
    told |= {"dtype": storage, "quantization_config": dict(config)}
    (out / "config.json").write_bytes(msgspec.json.format(msgspec.json.encode(told), indent=2))
    for pattern in TOKENIZER_FILES:
        for file in source.glob(pattern):
            if file.is_file():
                shutil.copy(file, out / file.name)


def _tensors(
    source: Path, layers: Mapping[str, Mapping[str, Tensor]], storage: FloatName
) -> Iterator[tuple[str, Tensor]]:
    """Yield everything in the order of the source's files, floats in the storage type."""
    for file in sorted(source.glob("*.safetensors")):
        with safe_open(file, framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118 - not a dictionary
                layer, _, end = name.rpartition(".")
                if end == "weight" and layer in layers:
                    for own, tensor in layers[layer].items():
                        yield f"{layer}.{own}", tensor.cpu().contiguous()
                    continue
                kept = opened.get_tensor(name)
                yield name, kept.to(FLOATS[storage]) if kept.is_floating_point() else kept


def _write_weights(tensors: Iterator[tuple[str, Tensor]], out: Path) -> None:
    """Write one file, or several with an index where one would be large."""
    shards: list[dict[str, Tensor]] = [{}]
    size = 0
    for name, tensor in tensors:
        bytes_of = tensor.numel() * tensor.element_size()
        if shards[-1] and size + bytes_of > SHARD_BYTES:
            shards.append({})
            size = 0
        shards[-1][name] = tensor
        size += bytes_of
    if len(shards) == 1:
        save_file(shards[0], out / "model.safetensors", metadata={"format": "pt"})
        return
    places: dict[str, str] = {}
    for at, shard in enumerate(shards, start=1):
        file = f"model-{at:05}-of-{len(shards):05}.safetensors"
        save_file(shard, out / file, metadata={"format": "pt"})
        places |= dict.fromkeys(shard, file)
    whole = sum(t.numel() * t.element_size() for shard in shards for t in shard.values())
    index = {"metadata": {"total_size": whole}, "weight_map": places}
    (out / "model.safetensors.index.json").write_bytes(msgspec.json.encode(index))


def read_rows(path: str) -> list[list[int]]:
    """Read a token file: JSON lines, each a list of token ids; none where ``path`` is empty.

    Raises:
        ConfigError: a line is something else, or empty.

    """
    if not path:
        return []
    try:
        rows = [
            msgspec.json.decode(line, type=list[int])
            for line in Path(path).read_bytes().splitlines()
            if line.strip()
        ]
    except msgspec.MsgspecError as error:
        raise ConfigError(
            f"{path} is no file of token lists: {error}.",
            hint="Write one JSON list of token ids a line.",
        ) from error
    return [row for row in rows if row]


def finite(name: str, weight: Tensor) -> None:
    """Refuse NaN and infinity. Raises ConfigError."""
    if not bool(torch.isfinite(weight).all()):
        raise ConfigError(
            f"The checkpoint has NaN or infinity in {name}.", hint="Download it again."
        )
