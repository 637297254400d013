"""How a checkpoint on disk is quantized, read from its ``config.json``. No torch."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

Json = dict[str, Any]


class Scheme(Struct, frozen=True, kw_only=True):
    """Number format of a checkpoint's quantized layers."""

    method: str
    """Who wrote it: ``compressed-tensors``, ``gptq``, ``awq``, ``fp8``, …; empty: unquantized."""
    kind: str = ""
    """``int``, ``float``, or ``normal`` for NF4's quantiles."""
    bits: int = 16
    activation_bits: int | None = None
    """None: 16 bits and more."""
    group: int | None = None
    """Weights that share a scale; None: a channel or the whole tensor, or unknown."""
    others: tuple[int, ...] = ()
    """Further group sizes, of layers that the first does not divide."""
    rotation: int | None = None
    """Columns of the Hadamard blocks that rotate the layers' inputs; 0: all columns at once."""

    @property
    def label(self) -> str:
        """For people: ``compressed-tensors int4 group 128, activations 16``."""
        if not self.method:
            return "unquantized"
        sizes = " and ".join(str(size) for size in (self.group, *self.others))
        group = f" group {sizes}" if self.group else ""
        activations = self.activation_bits or 16
        turned = "" if self.rotation is None else f", rotated by {self.rotation or 'all columns'}"
        return f"{self.method} {self.kind}{self.bits}{group}, activations {activations}{turned}"


FORMATS: dict[str, tuple[str, int, int | None]] = {
    "bf16": ("", 16, None),
    "fp16": ("", 16, None),
    "fp32": ("", 16, None),
    "fp8": ("float", 8, 8),
    "fp8-block": ("float", 8, 8),
    "w8a8": ("int", 8, 8),
    "w8a16": ("int", 8, None),
    "w4a8": ("int", 4, 8),
    "w4a8-fp4": ("float", 4, 8),
    "w4a16": ("int", 4, None),
    "w4a16-awq": ("int", 4, None),
    "w3a16": ("int", 3, None),
    "w2a16": ("int", 2, None),
    "nvfp4": ("float", 4, 4),
    "nvfp4a16": ("float", 4, None),
    "mxfp4": ("float", 4, 4),
    "mxfp4a16": ("float", 4, None),
    "mxfp8": ("float", 8, 8),
    "nf4": ("normal", 4, None),
    "mxfp4-mr": ("float", 4, 4),
    "nvfp4-mr": ("float", 4, 4),
    "int4-mr": ("int", 4, 4),
}
"""What a checkpoint must hold to be called by a format's name: kind, bits, activation bits."""

GROUPS = {
    "nvfp4": 16,
    "nvfp4a16": 16,
    "nvfp4-mr": 16,
    "mxfp4": 32,
    "mxfp4a16": 32,
    "mxfp4-mr": 32,
    "mxfp8": 32,
    "w4a8-fp4": 32,
}
"""NVFP4 and MXFP4 are both four-bit floats and differ in the block that shares a scale."""

ROTATED = "-mr"
"""How the names of formats end whose layers' inputs are rotated."""


def contradiction(format_name: str, scheme: Scheme) -> str:
    """Say how ``scheme`` is not ``format_name``; empty when it is, or when nobody can tell."""
    wanted = FORMATS.get(format_name)
    if wanted is None:
        return ""
    group = GROUPS.get(format_name)
    same = (scheme.kind, scheme.bits, scheme.activation_bits) == wanted
    same = same and format_name.endswith(ROTATED) == (scheme.rotation is not None)
    if same and group in (None, scheme.group):
        return ""
    return f"the checkpoint holds {scheme.label}, which is not {format_name}"


def find_config(name: str, environment: Mapping[str, str] = os.environ) -> Path | None:
    """Return the ``config.json`` of a folder, or of a Hub id in the cache; None without one."""
    folder = Path(name).expanduser()
    if (folder / "config.json").is_file():
        return folder / "config.json"
    home = Path(environment.get("HF_HOME") or "~/.cache/huggingface").expanduser()
    hub = Path(environment.get("HF_HUB_CACHE") or home / "hub")
    snapshots = hub / f"models--{name.replace('/', '--')}" / "snapshots"
    found = sorted(snapshots.glob("*/config.json"), key=lambda path: path.stat().st_mtime)
    return found[-1] if found else None


def read_scheme(config: Path) -> Scheme | None:
    """Read a checkpoint's scheme; None when the file cannot be read or is of a kind unknown."""
    try:
        raw = msgspec.json.decode(config.read_bytes(), type=Json)
        return scheme_of(raw)
    except (OSError, msgspec.MsgspecError, AttributeError, KeyError, TypeError, ValueError):
        return None


def attention_heads(name: str) -> tuple[int, int]:
    """Return the heads of a folder's or Hub id's model, and those for keys and values.

    Zeros where its config is not here or does not say.
    """
    config = find_config(name)
    try:
        raw = msgspec.json.decode(config.read_bytes(), type=Json) if config else {}
        told = raw.get("text_config") or raw
        heads = int(told.get("num_attention_heads") or 0)
        return heads, int(told.get("num_key_value_heads") or heads)
    except (OSError, msgspec.MsgspecError, AttributeError, TypeError, ValueError):
        return 0, 0


def scheme_of(raw: Json) -> Scheme | None:
    """Read the scheme out of a decoded ``config.json``."""
    told = raw.get("quantization_config") or (raw.get("text_config") or {}).get(
        "quantization_config"
    )
    if not told:
        return Scheme(method="")
    method = str(told.get("quant_method", ""))
    reader = READERS.get(method)
    return reader(told) if reader else None


def _compressed_tensors(told: Json) -> Scheme | None:
    """Read what all groups share; where they differ in more than sizes the kind is unknown."""
    groups = [
        (_numbers(group["weights"]), _numbers(group.get("input_activations") or {}))
        for group in told.get("config_groups", {}).values()
    ]
    if len({(weights[:2], inputs[:2]) for weights, inputs in groups}) != 1:
        return None
    (kind, bits, _), (_, activation_bits, _) = groups[0]
    sizes = sorted({weights[2] for weights, _ in groups}, key=lambda size: size or 0)
    if len(sizes) > 1 and None in sizes:
        return None
    return Scheme(
        method="compressed-tensors",
        kind=kind,
        bits=bits or 16,
        activation_bits=activation_bits,
        group=sizes[0],
        others=tuple(size for size in sizes[1:] if size),
        rotation=_rotation(told.get("transform_config") or {}),
    )


def _rotation(told: Json) -> int | None:
    """Return the block of transforms that are applied to inputs at run time."""
    for scheme in told.get("config_groups", {}).values():
        if any(use.get("location") == "input" for use in scheme.get("apply", ())):
            return int(scheme.get("head_dim") or 0)
    return None


def _numbers(told: Json) -> tuple[str, int | None, int | None]:
    size = told.get("group_size")
    return str(told.get("type", "")), told.get("num_bits"), size if size and size > 0 else None


def _integers(told: Json) -> Scheme:
    """Read GPTQ's and AWQ's spelling."""
    size = told.get("group_size") or told.get("q_group_size") or 0
    bits = told.get("bits") or told["w_bit"]
    return Scheme(
        method=told["quant_method"], kind="int", bits=bits, group=size if size > 0 else None
    )


def _modelopt(told: Json) -> Scheme | None:
    algorithm = str(told.get("quant_algo", "")).upper()
    if algorithm == "FP8":
        return Scheme(method="modelopt", kind="float", bits=8, activation_bits=8)
    if algorithm == "NVFP4":
        return Scheme(method="modelopt", kind="float", bits=4, activation_bits=4, group=16)
    return None


def _bitsandbytes(told: Json) -> Scheme | None:
    """Read 4-bit checkpoints; 8-bit ones keep some columns wide and have no format's name."""
    if not told.get("load_in_4bit"):
        return None
    kind = "normal" if told.get("bnb_4bit_quant_type") == "nf4" else "float"
    return Scheme(method="bitsandbytes", kind=kind, bits=4, group=64)


READERS: dict[str, Callable[[Json], Scheme | None]] = {
    "compressed-tensors": _compressed_tensors,
    "gptq": _integers,
    "awq": _integers,
    "bitsandbytes": _bitsandbytes,
    "auto-round": _integers,
    "fp8": lambda _: Scheme(method="fp8", kind="float", bits=8, activation_bits=8),
    "mxfp4": lambda _: Scheme(method="mxfp4", kind="float", bits=4, group=32),
    "modelopt": _modelopt,
}
"""By ``quant_method``."""
