"""Emulation: linear layers that compute, in ordinary arithmetic, what a number format means.

``apply_format`` replaces the linear layers of a loaded model in place. Answers are those of the
format; speed and memory are not, so a row made this way says ``emulated`` and is not ranked on
either. Dequantized weights stay resident: weight-only formats run as fast as their storage type.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from msgspec import Struct
from torch import Tensor, nn
from torch.nn import functional

from qbench.errors import ConfigError
from qbench.kernels.formats import Format
from qbench.kernels.linears.layercast import cast_the_rest
from qbench.kernels.linears.layers import (
    AppliedFormat,
    described,
    plan_layers,
    refuse_leftovers,
    untouched,
)
from qbench.kernels.reference import FLOATS, Scales, dequantize, fake_quantize, quantize
from qbench.kernels.rotation import rotate
from qbench.kernels.schemes import FloatName, Scheme


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
    plan = plan_layers(model, fmt, skip)
    skipped = untouched(model, fmt, plan)
    _quantize_layers(model, plan)
    refuse_leftovers(model, plan, skipped)
    _cast(model, FLOATS[fmt.storage])
    applied = described(model, fmt, plan, skipped)
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
