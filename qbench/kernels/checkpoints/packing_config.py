"""``quantization_config`` of a whole checkpoint, in the words of compressed-tensors 0.19.

Layers that share a format are one config group; where groups were fitted to layers of different
sizes there are several. Rotations are a ``transform_config`` with block Hadamards: stored weights
are rotated already (``weight_input``), inputs are to be rotated as they come (``input``).
Needs no torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from qbench.errors import Unsupported
from qbench.kernels.formats import Format
from qbench.kernels.schemes import ELEMENT_BITS, Element, Granularity, ScaleName, Scheme

VERSION = "0.19.0"
"""Of compressed-tensors, whose words these are."""
LOW_RANK = "low_rank"
"""Key of our own: the rank of a correction stored as ``low_rank_left`` and ``low_rank_right``."""
_SMALL: dict[str, str] = {"e8m0": "torch.uint8", "e4m3": "torch.float8_e4m3fn"}
_FORMAT_OF = {"e4m3": "float-quantized", "e2m1": "mxfp4-pack-quantized"}


def quantization_config(
    plan: Mapping[str, Format], linears: Iterable[str], *, low_rank: int = 0
) -> dict[str, Any]:
    """Return the ``quantization_config`` of a checkpoint.

    Args:
        plan: names of quantized layers and their formats, groups fitted.
        linears: names of all linear layers, the quantized ones among them.
        low_rank: rank of the stored corrections, 0 without.

    Raises:
        Unsupported: NF4 beside anything else: bitsandbytes knows no second format.

    """
    every = list(linears)
    kept = [name for name in every if name not in plan]
    if any(fmt.weights and fmt.weights.element == "nf4" for fmt in plan.values()):
        return _bitsandbytes(plan, kept)
    made = _compressed(plan, every, kept)
    return made | ({LOW_RANK: low_rank} if low_rank else {})


def _compressed(plan: Mapping[str, Format], every: list[str], kept: list[str]) -> dict[str, Any]:
    groups = _grouped(plan)
    targets = _targets(groups, every, kept)
    made = {f"group_{at}": _scheme(targets[at], groups[at][0]) for at in range(len(groups))}
    layouts = {group["format"] for group in made.values()}
    config: dict[str, Any] = {
        "quant_method": "compressed-tensors",
        "version": VERSION,
        "quantization_status": "compressed",
        "format": layouts.pop() if len(layouts) == 1 else "mixed-precision",
        "config_groups": made,
        "ignore": kept,
        "kv_cache_scheme": None,
        "global_compression_ratio": None,
        "sparsity_config": {},
    }
    rotated = _transforms(plan, every, kept)
    return config | ({"transform_config": {"config_groups": rotated}} if rotated else {})


def _grouped(plan: Mapping[str, Format]) -> list[tuple[Format, list[str]]]:
    """Return layers by what is stored and rounded, in the order of the model."""
    found: dict[tuple[Scheme | None, Scheme | None], tuple[Format, list[str]]] = {}
    for name, fmt in plan.items():
        found.setdefault((fmt.weights, fmt.activations), (fmt, []))[1].append(name)
    return list(found.values())


def _targets(
    groups: list[tuple[Format, list[str]]], every: list[str], kept: list[str]
) -> list[list[str]]:
    if len(groups) == 1:
        return [["Linear"]]
    return [_patterns(names, [*every, *kept]) for _, names in groups]


def _patterns(names: list[str], every: list[str]) -> list[str]:
    """Return the fewest targets for exactly ``names``: by last part where all of those are meant.

    Every name is matched whole, so that fused layers (q, k and v) are found by each of theirs.
    """
    wanted = set(names)
    by_part: dict[str, set[str]] = {}
    for name in every:
        by_part.setdefault(name.rpartition(".")[2], set()).add(name)
    parts = {part for part, all_of in by_part.items() if all_of <= wanted}
    patterns = [rf"re:.*\.{re.escape(part)}$" for part in by_part if part in parts]
    return patterns + [name for name in names if name.rpartition(".")[2] not in parts]


def _scheme(targets: list[str], fmt: Format) -> dict[str, Any]:
    assert fmt.weights is not None
    return {
        "targets": targets,
        "format": _layout(fmt),
        "weights": arguments(fmt.weights),
        "input_activations": arguments(fmt.activations) if fmt.activations else None,
        "output_activations": None,
    }


def _layout(fmt: Format) -> str:
    """Name the layout; ``packing.layout_of`` says which tensors it has."""
    scheme = fmt.weights
    assert scheme is not None
    if scheme.two_level:
        return "nvfp4-pack-quantized"
    if scheme.element == "e4m3" and scheme.scale_dtype == "e8m0":
        return "mxfp8-quantized"
    bytewise = scheme.element == "int8" and fmt.activations is not None
    return _FORMAT_OF.get(scheme.element, "int-quantized" if bytewise else "pack-quantized")


def arguments(scheme: Scheme) -> dict[str, Any]:
    """Write a scheme as compressed-tensors' ``QuantizationArgs``."""
    dynamic: bool | str = scheme.dynamic
    made: dict[str, Any] = {
        "num_bits": scheme.element_bits,
        "type": "int" if scheme.element.startswith("int") else "float",
        "symmetric": scheme.symmetric,
        "strategy": "tensor_group" if scheme.two_level else scheme.strategy,
        "dynamic": "local" if dynamic and scheme.two_level else dynamic,
    }
    if scheme.strategy == "block":
        made["block_structure"] = [scheme.rows, scheme.group]
    elif scheme.group is not None:
        made["group_size"] = scheme.group
    if kept := _SMALL.get(scheme.scale_dtype):
        made |= {"scale_dtype": kept, "zp_dtype": kept}
    if made["dynamic"] == "local":
        made["observer"] = "static_minmax"
    return made


def scheme_of(given: Mapping[str, Any], scale_dtype: ScaleName = "bfloat16") -> Scheme:
    """Read ``QuantizationArgs``: what ``arguments`` writes.

    ``scale_dtype``: of plain scales, which the configuration does not tell (the tensors do).

    Raises:
        Unsupported: numbers that no preset has.

    """
    kind = "int" if given.get("type", "int") == "int" else "float"
    bits = int(given.get("num_bits", 8))
    elements: dict[tuple[str, int], Element] = {("float", 8): "e4m3", ("float", 4): "e2m1"}
    elements |= {
        ("int", size): name for name, size in ELEMENT_BITS.items() if name.startswith("int")
    }
    if (kind, bits) not in elements:
        raise Unsupported(
            f"The checkpoint holds {kind} numbers of {bits} bits.",
            hint="Serve it with vllm, or make another one: qbench quantize.",
        )
    names: dict[str, ScaleName] = {"torch.uint8": "e8m0", "torch.float8_e4m3fn": "e4m3"}
    strategy = str(given.get("strategy", "tensor"))
    block = given.get("block_structure") or [None, given.get("group_size")]
    return Scheme(
        element=elements[kind, bits],
        strategy=_granularity(strategy),
        group=block[1] if strategy in ("group", "tensor_group", "block") else None,
        rows=block[0],
        scale_dtype=names.get(str(given.get("scale_dtype")), scale_dtype),
        dynamic=bool(given.get("dynamic", False)),
        symmetric=bool(given.get("symmetric", True)),
    )


def _granularity(strategy: str) -> Granularity:
    known: dict[str, Granularity] = {
        "tensor": "tensor",
        "channel": "channel",
        "token": "token",
        "group": "group",
        "tensor_group": "group",
        "block": "block",
    }
    if strategy not in known:
        raise Unsupported(
            f"The checkpoint has scales by {strategy}.", hint="Serve it with vllm instead."
        )
    return known[strategy]


def rotation_name(block: int) -> str:
    """Name the transform of Hadamard blocks of ``block`` columns."""
    return f"hadamard_{block}"


def _transforms(plan: Mapping[str, Format], every: list[str], kept: list[str]) -> dict[str, Any]:
    """Return one transform for each size of rotation blocks."""
    sizes = sorted({fmt.rotation for fmt in plan.values() if fmt.rotation is not None})
    found = {}
    for size in sizes:
        names = [name for name, fmt in plan.items() if fmt.rotation == size]
        everywhere = len(names) == len(plan)
        where = {
            "targets": ["Linear"] if everywhere else _patterns(names, every),
            "ignore": kept if everywhere else [],
        }
        found[rotation_name(size)] = {
            "type": "hadamard",
            "head_dim": size,
            "randomize": False,
            "requires_grad": False,
            "apply": [
                where | {"location": "input", "inverse": False},
                where | {"location": "weight_input", "inverse": True},
            ],
        }
    return found


def _bitsandbytes(plan: Mapping[str, Format], kept: list[str]) -> dict[str, Any]:
    fmt = next(iter(plan.values()))
    if len({fmt.weights and fmt.weights.element for fmt in plan.values()}) > 1 or fmt.activations:
        raise Unsupported(
            "nf4 cannot stand beside other formats in one checkpoint: bitsandbytes has no other.",
            hint="Keep layers in 16 bits instead (layers: bf16), or choose another format.",
        )
    return {
        "quant_method": "bitsandbytes",
        "load_in_4bit": True,
        "load_in_8bit": False,
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_use_double_quant": False,
        "bnb_4bit_compute_dtype": fmt.storage,
        "bnb_4bit_quant_storage": "uint8",
        "llm_int8_skip_modules": kept,
    }
