"""How a checkpoint on disk is quantized, read from its ``config.json``. No torch."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
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
    other_rotations: tuple[int, ...] = ()
    """Further blocks, of layers that the first does not divide."""
    blocks: bool | None = None
    """Whether rows share scales too (128 x 128); None: unknown."""
    symmetric: bool = True
    """No zero points, as far as the config says."""
    fixed: bool = False
    """Activation scales come from calibration instead of the values."""
    parts: tuple[Scheme, ...] = ()
    """Several schemes in one checkpoint; the other fields are then the first one's."""

    @property
    def label(self) -> str:
        """For people: ``compressed-tensors int4 group 128, activations 16``."""
        if not self.method:
            return "unquantized"
        if self.parts:
            return f"{self.method} mixed: {'; '.join(part.numbers for part in self.parts)}"
        return f"{self.method} {self.numbers}"

    @property
    def numbers(self) -> str:
        """The label without who wrote it."""
        sizes = " and ".join(str(size) for size in (self.group, *self.others))
        group = f" group {sizes}" if self.group else ""
        blocks = " in blocks" if self.blocks else ""
        zeros = "" if self.symmetric else " with zero points"
        activations = f"{self.activation_bits or 16}{' by fixed scales' if self.fixed else ''}"
        turned = f", rotated by {self._blocks_said}" if self.rotation is not None else ""
        return f"{self.kind}{self.bits}{group}{blocks}{zeros}, activations {activations}{turned}"

    @property
    def _blocks_said(self) -> str:
        sizes = (self.rotation, *self.other_rotations)
        return " and ".join(str(size or "all columns") for size in sizes)


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

MODELOPT_FILE = "hf_quant_config.json"

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

BLOCKS = {"fp8": False, "fp8-block": True}
"""E4M3 with plain scales: whether a block of rows shares one. MXFP8 differs by its groups."""

ROTATED = "-mr"
"""How the names of formats end whose layers' inputs are rotated."""


def contradiction(format_name: str, scheme: Scheme) -> str:
    """Say how ``scheme`` is not ``format_name``; empty when it is, or when nobody can tell."""
    if format_name not in FORMATS or any(_is(format_name, part) for part in scheme.parts):
        return ""
    if not scheme.parts and _is(format_name, scheme):
        return ""
    return f"the checkpoint holds {scheme.label}, which is not {format_name}"


def _is(name: str, scheme: Scheme) -> bool:
    same = (scheme.kind, scheme.bits, scheme.activation_bits) == FORMATS[name]
    same = same and name.endswith(ROTATED) == (scheme.rotation is not None)
    if name in BLOCKS:
        return same and scheme.blocks in (None, BLOCKS[name]) and scheme.group is None
    return same and GROUPS.get(name) in (None, scheme.group)


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
        return scheme_of({"quantization_config": read_quantization(config)})
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


def read_quantization(config: Path) -> Json:
    """Return what a folder says of its quantization, in ``config.json`` or modelopt's own file.

    Empty where it is not quantized. Raises OSError and msgspec's errors for files that are damaged.
    """
    told = quantization_of(msgspec.json.decode(config.read_bytes(), type=Json))
    beside = config.with_name(MODELOPT_FILE)
    if told or not beside.is_file():
        return told
    own = msgspec.json.decode(beside.read_bytes(), type=Json)
    return {"quant_method": "modelopt", **own.get("quantization", {})}


def quantization_of(raw: Json) -> Json:
    """Return the ``quantization_config`` of a decoded ``config.json``; empty where it has none."""
    told = raw.get("quantization_config") or (raw.get("text_config") or {}).get(
        "quantization_config"
    )
    return dict(told or {})


def scheme_of(raw: Json) -> Scheme | None:
    """Read the scheme out of a decoded ``config.json``."""
    told = quantization_of(raw)
    if not told:
        return Scheme(method="")
    method = str(told.get("quant_method", ""))
    reader = READERS.get(method)
    return reader(told) if reader else None


def _compressed_tensors(told: Json) -> Scheme | None:
    """Read the config groups; those that differ in nothing but group sizes are one scheme."""
    rotations = _rotations(told.get("transform_config") or {})
    found: dict[Scheme, set[int]] = {}
    for group in told.get("config_groups", {}).values():
        scheme, size = _group(group, rotations)
        found.setdefault(scheme, set()).add(size)
    parts = tuple(_sized(scheme, sorted(sizes)) for scheme, sizes in found.items())
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else msgspec.structs.replace(parts[0], parts=parts)


def _group(told: Json, rotations: Sequence[int]) -> tuple[Scheme, int]:
    """Return a group's scheme and its group size, 0 for channels and tensors."""
    weights, inputs = told["weights"], told.get("input_activations") or {}
    (kind, bits, size), (_, activation_bits, _) = _numbers(weights), _numbers(inputs)
    strategy = weights.get("strategy")
    scheme = Scheme(
        method="compressed-tensors",
        kind=kind,
        bits=bits or 16,
        activation_bits=activation_bits,
        rotation=rotations[0] if rotations else None,
        other_rotations=tuple(rotations[1:]),
        blocks=None if strategy is None else strategy == "block",
        symmetric=bool(weights.get("symmetric", True)),
        fixed=bool(inputs) and inputs.get("dynamic") is False,
    )
    return scheme, size or 0


def _sized(scheme: Scheme, sizes: Sequence[int]) -> Scheme:
    return msgspec.structs.replace(scheme, group=sizes[0] or None, others=tuple(sizes[1:]))


def _rotations(told: Json) -> list[int]:
    """Return the blocks of transforms that are applied to inputs at run time, smallest first."""
    return sorted(
        int(scheme.get("head_dim") or 0)
        for scheme in told.get("config_groups", {}).values()
        if any(use.get("location") == "input" for use in scheme.get("apply", ()))
    )


def _numbers(told: Json) -> tuple[str, int | None, int | None]:
    size = told.get("group_size")
    return str(told.get("type", "")), told.get("num_bits"), size if size and size > 0 else None


def _integers(told: Json) -> Scheme:
    """Read GPTQ's and AWQ's spelling."""
    size = told.get("group_size") or told.get("q_group_size") or 0
    bits = told.get("bits") or told["w_bit"]
    plain = told.get("sym", not told.get("zero_point", False))
    return Scheme(
        method=told["quant_method"],
        kind="int",
        bits=bits,
        group=size if size > 0 else None,
        symmetric=bool(plain),
    )


def _fp8(told: Json) -> Scheme:
    return Scheme(
        method="fp8",
        kind="float",
        bits=8,
        activation_bits=8,
        blocks=bool(told.get("weight_block_size")),
        fixed=told.get("activation_scheme") == "static",
    )


def _modelopt(told: Json) -> Scheme | None:
    algorithm = str(told.get("quant_algo", "")).upper()
    if algorithm == "FP8":
        return Scheme(
            method="modelopt", kind="float", bits=8, activation_bits=8, blocks=False, fixed=True
        )
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
    "fp8": _fp8,
    "mxfp4": lambda _: Scheme(method="mxfp4", kind="float", bits=4, group=32),
    "modelopt": _modelopt,
}
"""By ``quant_method``."""
