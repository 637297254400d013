"""A model's linear layers as GPU programs: rounded here, or with the codes of a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from msgspec import Struct
from torch import Tensor, nn

from qbench.errors import Unsupported
from qbench.kernels.formats import Format
from qbench.kernels.linears.fused import Whole, families, install_whole
from qbench.kernels.linears.layers import (
    AppliedFormat,
    described,
    plan_layers,
    refuse_leftovers,
    untouched,
)
from qbench.kernels.linears.linear import Inputs
from qbench.kernels.linears.quant_linear import QuantLinear, Way, packed
from qbench.kernels.paths import ComputePath
from qbench.kernels.reference import FLOATS, Quantized, quantize
from qbench.kernels.rotation import rotate

SAMPLE = 128
"""Rows of a layer that are packed first, to see whether a program takes them."""


class Coded(Struct, frozen=True, kw_only=True):
    """A layer's codes, and what becomes of its inputs."""

    quantized: Quantized
    inputs: Inputs


class Ran(Struct, frozen=True, kw_only=True):
    """What really multiplies, for the row."""

    path: ComputePath
    kernel: str


def apply_kernels(
    model: nn.Module, fmt: Format, *, skip: Sequence[str] = ("lm_head",)
) -> tuple[AppliedFormat, Ran]:
    """Round a model's layers to ``fmt`` and have programs multiply them; cast everything else.

    Layers that take the same input become one product where the model is Llama-like; NVFP4's one
    scale for a whole matrix is then shared by them. Unquantized formats get such products too, by
    cuBLAS.

    Args:
        model: on a CUDA GPU, in 16 bits or more.
        fmt: a group that does not divide a layer's columns is fitted to them.
        skip: layers that are cast only, by any part of their dotted name.

    Raises:
        Unsupported: no program has the format or a layer's shape. The model is then unchanged.
        EngineError: a weight is NaN or infinite.

    """
    plan = plan_layers(model, fmt, skip)
    skipped = untouched(model, fmt, plan)
    applied = described(model, fmt, plan, skipped)
    for parameter in model.parameters():  # not buffers: rotary frequencies are float32
        parameter.data = parameter.data.to(FLOATS[fmt.storage])
    if not plan:
        _fuse(model)
        return applied, Ran(path="native", kernel=f"cuBLAS {fmt.storage}")
    _refuse_wide(fmt)
    _refuse_unsupported(model, plan)
    ways = [
        _install(model, names, _rounded(_weight(model, names), plan[names[0]]))
        for names in _groups(model, plan)
    ]
    refuse_leftovers(model, plan, skipped)
    return applied, ran(fmt, ways)


def install_coded(model: nn.Module, coded: Mapping[str, Coded], fmt: Format) -> Ran:
    """Have programs multiply the codes of a checkpoint, as they are stored.

    Raises:
        Unsupported: no program has them. The model is then unchanged.

    """
    _refuse_wide(fmt)
    for layer in coded.values():
        _refuse(layer)
    ways: list[Way] = []
    for names in _groups(model, dict.fromkeys(coded)):
        joined = _joined([coded[name] for name in names])
        parts = [names] if joined else [(name,) for name in names]
        ways += [_install(model, part, joined or coded[part[0]]) for part in parts]
    return ran(fmt, ways)


def ran(fmt: Format, ways: Sequence[Way]) -> Ran:
    """Say how a format's products are made, by what is done with the inputs of its layers.

    Where inputs are rounded and then multiplied in 16 bits, answers and memory are the format's,
    and its speed is that of its weights alone: that is neither native nor a weight-only fallback.
    """
    if "rounded" in ways:
        kernel = f"qbench triton {fmt.name}, inputs rounded, multiplied in 16 bits"
        return Ran(path="emulated", kernel=kernel)
    units = ", in FP4 units" if "four bits" in ways else ""
    return Ran(path="native", kernel=f"qbench triton {fmt.name}{units}")


def _groups(model: nn.Module, wanted: Mapping[str, object]) -> list[tuple[str, ...]]:
    """Return the layers of each product: several where they can be one."""
    whole = [names for names in families(model) if _alike(model, names, wanted)]
    among = {name for names in whole for name in names}
    return [*whole, *((name,) for name in wanted if name not in among)]


def _alike(model: nn.Module, names: Sequence[str], wanted: Mapping[str, object]) -> bool:
    """Whether layers can be one product: blocks of rows must not reach over two of them."""
    if not all(name in wanted for name in names):
        return False
    formats = [wanted[name] for name in names]
    scheme = formats[0].weights if isinstance(formats[0], Format) else None
    rows = [_rows(model, name) for name in names]
    edges = scheme.rows or 1 if scheme else 1
    one = scheme is not None and scheme.strategy == "tensor"
    return not one and all(count % edges == 0 for count in rows[:-1])


def _rows(model: nn.Module, name: str) -> int:
    return int(model.get_submodule(name).get_parameter("weight").shape[0])


def _weight(model: nn.Module, names: Sequence[str]) -> Tensor:
    return torch.cat([model.get_submodule(name).get_parameter("weight") for name in names]).detach()


def _bias(model: nn.Module, names: Sequence[str]) -> Tensor | None:
    found = [getattr(model.get_submodule(name), "bias", None) for name in names]
    held = [bias.detach() for bias in found if bias is not None]
    if held and len(held) < len(found):
        raise Unsupported(
            f"Of {', '.join(names)} only some have a bias.", hint="Serve it emulated."
        )
    return torch.cat(held) if held else None


def _rounded(weight: Tensor, fmt: Format) -> Coded:
    """Round a weight (out, in) to nearest, after rotation where the format has one."""
    if fmt.weights is None:
        raise Unsupported(
            f"{fmt.name} has no codes for weights, and no program here.",
            hint="Serve the model emulated: -o emulate=true.",
        )
    turned = weight if fmt.rotation is None else rotate(weight.float(), fmt.rotation)
    inputs = Inputs(scheme=fmt.activations, rotation=fmt.rotation)
    return Coded(quantized=quantize(turned, fmt.weights), inputs=inputs)


def _joined(layers: Sequence[Coded]) -> Coded | None:
    """Return layers as one, below each other; None where a scale or input is not the same."""
    first = layers[0]
    for other in layers[1:]:
        if other.inputs != first.inputs or not _joinable(first.quantized, other.quantized):
            return None
    every = [layer.quantized for layer in layers]
    zeros = [one.zero for one in every if one.zero is not None]
    made = Quantized(
        codes=_stacked([one.codes for one in every]),
        scale=torch.cat([one.scale for one in every]),
        scheme=first.quantized.scheme,
        zero=torch.cat(zeros) if zeros else None,
        global_scale=first.quantized.global_scale,
    )
    return Coded(quantized=made, inputs=first.inputs)


def _stacked(codes: Sequence[Tensor]) -> Tensor:
    """Return codes below each other; 8-bit floats travel as bytes."""
    return torch.cat([one.view(torch.uint8) for one in codes]).view(codes[0].dtype)


def _joinable(one: Quantized, other: Quantized) -> bool:
    shared, own = one.global_scale, other.global_scale
    same = shared is own or (shared is not None and own is not None and torch.equal(shared, own))
    scheme = one.scheme
    aligned = scheme.rows is None or one.codes.shape[0] % scheme.rows == 0
    return same and aligned and scheme == other.scheme and scheme.strategy != "tensor"


def _install(model: nn.Module, names: Sequence[str], layer: Coded) -> Way:
    """Put one product in the place of the layers ``names``, on the model's device."""
    device = model.get_submodule(names[0]).get_parameter("weight").device
    weight = packed(_moved(layer.quantized, device), layer.inputs)
    made = QuantLinear(weight, _bias(model, names), inputs=layer.inputs)
    _place(model, names, made)
    return made.way


def _moved(made: Quantized, device: torch.device) -> Quantized:
    return Quantized(
        codes=made.codes.to(device),
        scale=made.scale.to(device),
        scheme=made.scheme,
        zero=None if made.zero is None else made.zero.to(device),
        global_scale=None if made.global_scale is None else made.global_scale.to(device),
    )


def _place(model: nn.Module, names: Sequence[str], made: nn.Module) -> None:
    if len(names) == 1:
        model.set_submodule(names[0], made)
    else:
        install_whole(model, names, Whole(made, [_rows(model, name) for name in names]))


def _fuse(model: nn.Module) -> None:
    """Make one product of layers that take the same input, with weights as they are."""
    for names in families(model):
        weight, bias = _weight(model, names), _bias(model, names)
        made = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
        made.register_parameter("weight", nn.Parameter(weight, requires_grad=False))
        if bias is not None:
            made.register_parameter("bias", nn.Parameter(bias, requires_grad=False))
        _place(model, names, made)


def _refuse_wide(fmt: Format) -> None:
    if fmt.storage == "float32":
        raise Unsupported(
            "Programs take 16-bit inputs, and everything else of this model is in float32.",
            hint="Serve it emulated, or store it in bfloat16.",
        )


def _refuse_unsupported(model: nn.Module, plan: Mapping[str, Format]) -> None:
    """Pack some rows of one layer of each width. Raises Unsupported."""
    widths = {model.get_submodule(name).get_parameter("weight").shape[1]: name for name in plan}
    for name in widths.values():
        sample = model.get_submodule(name).get_parameter("weight").detach()[:SAMPLE]
        _refuse(_rounded(sample, plan[name]))
    for names in families(model):
        _bias(model, names)


def _refuse(layer: Coded) -> None:
    """Pack some rows of a layer. Raises Unsupported where no program reads them."""
    packed(_sampled(layer.quantized), layer.inputs)


def _sampled(made: Quantized) -> Quantized:
    """Return the first rows, with their scales."""
    rows = min(SAMPLE, made.codes.shape[0])
    shared = -(-rows // (made.scheme.rows or 1))
    scaled = made.scheme.strategy == "tensor"
    return Quantized(
        codes=made.codes[:rows],
        scale=made.scale if scaled else made.scale[:shared],
        scheme=made.scheme,
        zero=None if made.zero is None else made.zero[:shared],
        global_scale=made.global_scale,
    )
