"""Emulation: linear layers that compute, in ordinary arithmetic, what a number format means.

``apply_format`` replaces the linear layers of a loaded model in place. Answers are those of the
format; speed and memory are not, so a row made this way says ``emulated`` and is not ranked on
either. Dequantized weights stay resident: weight-only formats run as fast as their storage type.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from msgspec import Struct
from torch import Tensor, nn
from torch.nn import functional

from qbench.errors import ConfigError, Unsupported
from qbench.kernels.formats import FORMATS, Format, fitted
from qbench.kernels.layercast import cast_the_rest
from qbench.kernels.reference import FLOATS, Scales, dequantize, fake_quantize, quantize
from qbench.kernels.rotation import rotate
from qbench.kernels.schemes import FLOAT_BITS, FloatName, Scheme

FOREIGN_SHARE = 0.01
"""Matrices outside linear layers may have this share of the weights before a format is refused."""


class Inputs(Struct, frozen=True, kw_only=True):
    """What becomes of a layer's inputs before they are multiplied: rotated, then rounded."""

    scheme: Scheme | None = None
    """None: not rounded."""
    rotation: int | None = None
    """Columns of the Hadamard blocks; None: not rotated."""
    scale: float | None = None
    """The one scale that calibration found; None: found anew for each token or group."""
    zero: int | None = None
    """The zero point beside ``scale``, of integers that have one."""
    global_scale: float | None = None
    """Of two-level schemes, where calibration found one; None: each token has its own."""


class Shared:
    """The inputs that were prepared last: q, k and v (or gate and up) take the same ones."""

    def __init__(self) -> None:
        self._last: tuple[Tensor, Inputs, Tensor] | None = None

    def prepared(self, values: Tensor, inputs: Inputs) -> Tensor:
        """Return ``prepare(values, inputs)``, found again where the same tensor came just now."""
        last = self._last
        if last is not None and last[0] is values and last[1] == inputs:
            return last[2]
        made = prepare(values, inputs)
        self._last = (values, inputs, made)
        return made


def prepare(values: Tensor, inputs: Inputs) -> Tensor:
    """Return (..., columns) rotated and rounded, in its own type. Raises EngineError on NaN."""
    if inputs.rotation is not None:
        values = rotate(values, inputs.rotation)
    scheme = inputs.scheme
    if scheme is None:
        return values
    if inputs.scale is None:
        given = None if inputs.global_scale is None else _number(inputs.global_scale, values)
        return fake_quantize(values, scheme, global_scale=given)
    ones = (1,) * values.ndim
    scale = _number(inputs.scale, values).view(ones)
    zero = None if inputs.zero is None else _number(inputs.zero, values).view(ones).to(torch.int8)
    return dequantize(quantize(values, scheme, scales=Scales(scale=scale, zero=zero)), values.dtype)


def _number(value: float, beside: Tensor) -> Tensor:
    return torch.full((), value, dtype=torch.float32, device=beside.device)


class EmulatedLinear(nn.Module):
    """``linear(prepare(x), weight)`` with weights that were quantized and dequantized.

    The result is bit for bit that of the two steps. The product is made in the wider type of
    weight and input, and rounded once to the input's. With wide weights that is the arithmetic of
    16-bit matrix units, which multiply exactly and add in float32; with wide inputs it is
    LayerCast's: each weight is cast for its product and kept narrow.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None = None,
        *,
        inputs: Inputs | None = None,
        shared: Shared | None = None,
    ) -> None:
        """Take ``weight`` (out, in) and ``bias`` (out,), already dequantized, of one type.

        ``shared`` is given to all layers of a model that is called by one thread at a time and
        does not change a layer's input in place.
        """
        super().__init__()
        self.out_features, self.in_features = weight.shape
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)
        self.inputs = inputs or Inputs()
        self.shared = shared

    def forward(self, values: Tensor) -> Tensor:
        """Map (..., in) to (..., out) in the type of ``values``. Raises EngineError on NaN."""
        given, inputs = values.dtype, self.inputs
        if inputs.scheme is not None or inputs.rotation is not None:
            shared = self.shared
            values = shared.prepared(values, inputs) if shared else prepare(values, inputs)
        wide = torch.promote_types(given, self.weight.dtype)
        bias = None if self.bias is None else self.bias.to(wide)
        return functional.linear(values.to(wide), self.weight.to(wide), bias).to(given)

    def extra_repr(self) -> str:
        """Return what ``print(model)`` shows."""
        scheme, rotation = self.inputs.scheme, self.inputs.rotation
        element = scheme.element if scheme else "as they are"
        rotated = f", rotated by {rotation}" if rotation else ""
        return f"in={self.in_features}, out={self.out_features}, activations={element}{rotated}"


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


def apply_format(
    model: nn.Module,
    fmt: Format,
    *,
    skip: Sequence[str] = ("lm_head",),
    multiply_in: FloatName | None = None,
) -> AppliedFormat:
    """Make ``model`` compute in ``fmt``: replace its linear layers, cast its other parameters.

    Needs float32 copies of one layer at a time. Buffers keep their type (rotary frequencies are
    float32 on purpose).

    Args:
        model: as loaded, its linear layers ``nn.Linear``.
        fmt: a group that does not divide a layer's columns is fitted to them.
        skip: layers that are cast only, by any part of their dotted name.
        multiply_in: ``float32`` for CPUs without 16-bit arithmetic; see
            ``paths.multiplies_in``. Applies to every linear layer, the skipped ones too, and
            takes twice their memory.

    Raises:
        Unsupported: nothing to quantize, or a group fits no divisor. The model is then unchanged.
        ConfigError: a format was applied before; ``multiply_in`` is narrower than the storage.
        EngineError: a weight is NaN or infinite.

    """
    _refuse(model, fmt, multiply_in or fmt.storage)
    plan = _plan(model, fmt, skip)
    skipped = _untouched(model, fmt, plan)
    _quantize_layers(model, plan)
    _refuse_leftovers(model, plan, skipped)
    _cast(model, FLOATS[fmt.storage])
    applied = _describe(model, fmt, plan, skipped)
    if fmt.arithmetic not in (None, fmt.storage):
        _cast_others(model, FLOATS[fmt.arithmetic], held=FLOATS[multiply_in or fmt.storage])
    elif multiply_in not in (None, fmt.storage):
        widen(model, torch.float32)
    return applied


def _refuse(model: nn.Module, fmt: Format, multiply_in: FloatName) -> None:
    if any(isinstance(module, EmulatedLinear) for module in model.modules()):
        raise ConfigError(
            "This model has a number format already.", hint="Load it again for another one."
        )
    if multiply_in not in (fmt.storage, "float32"):
        raise ConfigError(
            f"{fmt.name} cannot be multiplied in {multiply_in}, which rounds what it stores.",
            hint=f"Leave multiply_in out, or use {fmt.storage} or float32.",
        )


def _plan(model: nn.Module, fmt: Format, skip: Sequence[str]) -> dict[str, Format]:
    """Return the format of each layer to quantize, groups fitted. Changes nothing."""
    if fmt.weights is None and fmt.activations is None:
        return {}
    return {
        name: fitted(fmt, layer.in_features)
        for name, layer in _linears(model)
        if not set(name.split(".")) & set(skip)
    }


def _linears(model: nn.Module) -> Iterator[tuple[str, nn.Linear]]:
    named = model.named_modules()
    return ((name, module) for name, module in named if isinstance(module, nn.Linear))


def _untouched(model: nn.Module, fmt: Format, plan: dict[str, Format]) -> tuple[str, ...]:
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
    return (*(name for name, _ in _linears(model) if name not in plan), *foreign)


def _foreign(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Find matrices outside linear layers, embeddings and convolutions: fused experts, Conv1D."""
    known = (nn.Linear, nn.Embedding, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    for name, module in model.named_modules():
        if not isinstance(module, known):
            for own, parameter in module.named_parameters(prefix=name, recurse=False):
                if parameter.ndim >= 2:
                    yield own, parameter


def _quantize_layers(model: nn.Module, plan: dict[str, Format]) -> None:
    """Replace one layer after the other, so that only one is ever held twice."""
    shared = Shared()
    for name, fmt in plan.items():
        layer = model.get_submodule(name)
        weight = _made(layer.get_parameter("weight").detach(), fmt)
        inputs = Inputs(scheme=fmt.activations, rotation=fmt.rotation)
        model.set_submodule(name, _emulated(layer, weight, inputs, shared))


def _made(weight: Tensor, fmt: Format) -> Tensor:
    """Return what is multiplied instead of ``weight`` (out, in), in the storage type."""
    storage = FLOATS[fmt.storage]
    if fmt.rotation is not None:
        weight = rotate(weight.float(), fmt.rotation)
    if fmt.weights is not None:
        weight = dequantize(quantize(weight, fmt.weights), storage)
    return weight.to(storage)


def _refuse_leftovers(model: nn.Module, plan: dict[str, Format], skipped: Sequence[str]) -> None:
    """Find layers that the model reaches by a second name as well: there they were not replaced."""
    left = [name for name, _ in _linears(model) if name not in skipped]
    if plan and left:
        raise Unsupported(
            f"{left[0]} shares its module with another layer and was not quantized.",
            hint="Serve the model with vllm, or use bf16, fp16 or fp32.",
        )


def widen(model: nn.Module, dtype: torch.dtype) -> None:
    """Hold the weights of all linear layers in ``dtype``; embeddings keep their type."""
    shared = Shared()
    linears = [n for n, m in model.named_modules() if isinstance(m, nn.Linear | EmulatedLinear)]
    for name in linears:
        layer = model.get_submodule(name)
        weight = layer.get_parameter("weight").detach().to(dtype)
        inputs = layer.inputs if isinstance(layer, EmulatedLinear) else Inputs()
        model.set_submodule(name, _emulated(layer, weight, inputs, shared))


def _cast_others(model: nn.Module, wide: torch.dtype, *, held: torch.dtype) -> None:
    """Hold linear weights in ``held`` and compute everything in ``wide`` (LayerCast)."""
    widen(model, held)
    cast_the_rest(model, wide, EmulatedLinear)


def install(model: nn.Module, name: str, weight: Tensor, inputs: Inputs, shared: Shared) -> None:
    """Replace the linear layer ``name`` by one with a weight that was dequantized elsewhere."""
    model.set_submodule(name, _emulated(model.get_submodule(name), weight, inputs, shared))


def _emulated(layer: nn.Module, weight: Tensor, inputs: Inputs, shared: Shared) -> EmulatedLinear:
    bias = getattr(layer, "bias", None)
    bias = None if bias is None else bias.detach().to(weight.dtype)
    return EmulatedLinear(weight, bias, inputs=inputs, shared=shared).train(layer.training)


def _cast(model: nn.Module, dtype: torch.dtype) -> None:
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype)


def _describe(
    model: nn.Module, fmt: Format, plan: dict[str, Format], skipped: tuple[str, ...]
) -> AppliedFormat:
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
