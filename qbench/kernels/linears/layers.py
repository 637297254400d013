"""Which layers of a model a number format is for, and what a row says of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct
from torch import nn

from qbench.errors import Unsupported
from qbench.kernels.formats import FORMATS, Format, fitted
from qbench.kernels.schemes import FLOAT_BITS

FOREIGN_SHARE = 0.01
"""Matrices outside linear layers may have this share of the weights before a format is refused."""


class AppliedFormat(Struct, frozen=True, kw_only=True):
    """What ``apply_format`` really made."""

    effective: str
    """For example ``w4a16 group 64 and 128``: groups are fitted to each layer's columns."""
    layers: int
    """Quantized layers; 0 for formats that only cast."""
    bits_per_weight: float
    """Mean over the quantized layers, scales included; the storage type's bits without any."""
    weight_bytes_packed: int
    """All weights of the model as a checkpoint would hold them: codes, scales and the rest."""
    skipped: tuple[str, ...]
    """Linear layers and other matrices that keep the storage type."""


def plan_layers(model: nn.Module, fmt: Format, skip: Sequence[str]) -> dict[str, Format]:
    """Return the format of each layer to quantize, groups fitted. Changes nothing."""
    if fmt.weights is None and fmt.activations is None:
        return {}
    return {
        name: fitted(fmt, layer.in_features)
        for name, layer in linears(model)
        if not set(name.split(".")) & set(skip)
    }


def linears(model: nn.Module) -> Iterator[tuple[str, nn.Linear]]:
    """Yield linear layers by name."""
    named = model.named_modules()
    return ((name, module) for name, module in named if isinstance(module, nn.Linear))


def untouched(model: nn.Module, fmt: Format, plan: dict[str, Format]) -> tuple[str, ...]:
    """Name linear layers and foreign matrices that stay; refuse where that would be a lie."""
    if fmt.weights is None and fmt.activations is None:
        return ()
    foreign = dict(_foreign(model))
    kept = sum(parameter.numel() for parameter in foreign.values())
    made = sum(model.get_submodule(name).get_parameter("weight").numel() for name in plan)
    if kept > FOREIGN_SHARE * made or not made:
        names = ", ".join([*foreign][:3]) or "no linear layers at all"
        raise Unsupported(
            f"{fmt.name} cannot be emulated: much of the model is not in linear layers ({names}).",
            hint="Serve it with vllm, or use bf16, fp16 or fp32, which cast everything.",
        )
    return (*(name for name, _ in linears(model) if name not in plan), *foreign)


def _foreign(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Find matrices outside linear layers, embeddings and convolutions: fused experts, Conv1D."""
    known = (nn.Linear, nn.Embedding, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    for name, module in model.named_modules():
        if not isinstance(module, known):
            for own, parameter in module.named_parameters(prefix=name, recurse=False):
                if parameter.ndim >= 2:
                    yield own, parameter


def refuse_leftovers(model: nn.Module, plan: dict[str, Format], skipped: Sequence[str]) -> None:
    """Find layers that the model reaches by a second name as well: there they were not replaced."""
    left = [name for name, _ in linears(model) if name not in skipped]
    if plan and left:
        raise Unsupported(
            f"{left[0]} shares its module with another layer and was not quantized.",
            hint="Serve the model with vllm, or use bf16, fp16 or fp32.",
        )


def described(
    model: nn.Module, fmt: Format, plan: dict[str, Format], skipped: tuple[str, ...]
) -> AppliedFormat:
    """Say what ``plan`` makes of a model whose layers are as large as they were."""
    values = bits = 0
    for name, made in plan.items():
        rows, columns = model.get_submodule(name).get_parameter("weight").shape
        values += rows * columns
        bits += made.packed_bits(rows, columns)
    everything = sum(parameter.numel() for parameter in model.parameters())
    rest = (everything - values) * FLOAT_BITS[fmt.storage]
    return AppliedFormat(
        effective=_effective(fmt, plan),
        layers=len(plan),
        bits_per_weight=bits / values if values else float(FLOAT_BITS[fmt.storage]),
        weight_bytes_packed=(bits + rest + 7) // 8,
        skipped=skipped,
    )


def _effective(fmt: Format, plan: dict[str, Format]) -> str:
    """Name groups and rotations that were made where they are not all the preset's."""
    usual = FORMATS.get(fmt.name, fmt)
    groups = {made.weights.group for made in plan.values() if made.weights}
    rotations = {made.rotation for made in plan.values()}
    wanted = usual.weights.group if usual.weights else None
    return fmt.name + _said("group", groups, wanted) + _said("rotation", rotations, usual.rotation)


def _said(what: str, sizes: set[int | None], usual: int | None) -> str:
    if sizes <= {usual}:
        return ""
    return f" {what} {' and '.join(str(size) for size in sorted(sizes, key=lambda s: s or 0))}"
