"""The config groups of compressed-tensors: which scheme, layout and rotation a layer has."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, get_args

from msgspec import Struct
from torch import Tensor

from qbench.errors import Unsupported
from qbench.kernels.checkpoints.packing import Layout
from qbench.kernels.checkpoints.packing_config import scheme_of
from qbench.kernels.linears.linear import Inputs
from qbench.kernels.schemes import Scheme

Json = dict[str, Any]

OFFLINE = ("weight_input", "weight_output")
"""Places of a transform that were multiplied into the stored weights."""
EVERY = ("Linear", "re:.*")
"""Targets that are every linear layer."""


class Group(Struct, frozen=True, kw_only=True):
    """What holds for one layer."""

    weights: Scheme
    layout: Layout
    activations: Scheme | None
    rotation: int | None

    def inputs(self, parts: Mapping[str, Tensor]) -> Inputs:
        """Return what becomes of the layer's inputs, with the scales that calibration found."""
        scheme = self.activations
        if scheme is None or scheme.dynamic:
            shared = parts.get("input_global_scale")
            two_level = scheme is not None and scheme.two_level and shared is not None
            found = float(shared.float().max()) if two_level and shared is not None else None
            return Inputs(scheme=scheme, rotation=self.rotation, global_scale=found)
        if scheme.strategy != "tensor":
            raise _unsupported(f"fixed activation scales by {scheme.strategy}")
        zero = parts.get("input_zero_point")
        return Inputs(
            scheme=scheme,
            rotation=self.rotation,
            scale=float(parts["input_scale"].float()),
            zero=None if zero is None or scheme.symmetric else int(zero),
        )


def groups_of(told: Json) -> Callable[[str], Group]:
    """Return what finds the group of a layer by its name.

    Raises:
        Unsupported: the config has what nothing here computes; now, or when a layer has it.

    """
    if told.get("kv_cache_scheme"):
        raise _unsupported("keys and values that are quantized too")
    groups = list(told.get("config_groups", {}).values())
    rotations = _rotations(told.get("transform_config") or {})

    def find(name: str) -> Group:
        group = _matching(name, groups)
        rotation = next((size for size, applies in rotations if applies(name)), None)
        return _group(group, str(told.get("format", "")), rotation)

    return find


def _unsupported(said: str) -> Unsupported:
    return Unsupported(
        f"The checkpoint has {said}, which the embedded engine does not compute.",
        hint="Serve it with --engine vllm.",
    )


def _group(group: Json, usual: str, rotation: int | None) -> Group:
    if group.get("output_activations"):
        raise _unsupported("quantized layer outputs")
    weights = scheme_of(group["weights"])
    inputs = group.get("input_activations")
    activations = scheme_of(inputs, "float32") if inputs else None
    if activations is not None and activations.dynamic and activations.strategy == "tensor":
        raise _unsupported("one activation scale for a whole batch")
    return Group(
        weights=weights,
        layout=_layout(str(group.get("format") or usual), weights),
        activations=activations,
        rotation=rotation,
    )


def _layout(named: str, weights: Scheme) -> Layout:
    """Return the layout's name; the naive one is by the element."""
    if named == "naive-quantized":
        named = "float-quantized" if weights.element == "e4m3" else "int-quantized"
    known: Sequence[Layout] = get_args(Layout)
    found = next((layout for layout in known if layout == named), None)
    if found is None:
        raise _unsupported(f"the layout {named!r}")
    return found


def _matching(name: str, groups: Iterable[Json]) -> Json:
    """Return the group whose targets name the layer most closely: by name, pattern, then kind."""
    ranked = [(_closeness(name, group.get("targets") or ()), group) for group in groups]
    closest, found = max(ranked, key=lambda pair: pair[0], default=(0, {}))
    if not closest:
        raise Unsupported(
            f"No config group of the checkpoint names the layer {name}.",
            hint="Its config.json is damaged, or its layers were renamed.",
        )
    return found


def _closeness(name: str, targets: Iterable[str]) -> int:
    """Return 3 for the name itself, 2 for a pattern that it matches, 1 for all linear layers."""
    best = 0
    for target in targets:
        if target == name:
            return 3
        if target.startswith("re:") and re.match(target.removeprefix("re:"), name):
            best = max(best, 2)
        elif target == "Linear":
            best = max(best, 1)
    return best


def _rotations(told: Json) -> list[tuple[int, Callable[[str], bool]]]:
    """Return the Hadamard blocks that are applied to inputs, and to which layers."""
    found = []
    for scheme in told.get("config_groups", {}).values():
        for use in scheme.get("apply", ()):
            place = use.get("location")
            if place in OFFLINE:
                continue
            size = scheme.get("head_dim")
            plain = scheme.get("type") == "hadamard" and not scheme.get("randomize") and size
            if place != "input" or not plain:
                raise _unsupported(f"a transform ({scheme.get('type')} at {place})")
            found.append((int(size), _applies(use)))
    return found


def _applies(use: Json) -> Callable[[str], bool]:
    targets, ignored = _listed(use.get("targets")), _listed(use.get("ignore"))
    return lambda name: bool(_closeness(name, targets)) and not _closeness(name, ignored)


def _listed(names: str | Sequence[str] | None) -> list[str]:
    return [names] if isinstance(names, str) else [*(names or ())]
