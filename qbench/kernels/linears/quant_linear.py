"""Linear layers whose products are made by GPU programs, from codes as they are packed.

A layer takes 16-bit inputs and does with them what its format says: nothing, 8-bit codes by token
or group, rotation, rounding to 4 bits. Inputs of 4 bits are packed and multiplied as they are on
GPUs that can (Blackwell and later, where it never ran: see ``gemm.four_bits``); on others they are
rounded and then multiplied in 16 bits: the numbers are the format's, the speed is that of its
weights.

Nothing in ``forward`` waits for the device, so layers can be captured in CUDA graphs. Weights are
checked for NaN and overflow when they are quantized; inputs are not.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache
from typing import Any, Literal

import msgspec
import torch
from torch import Tensor, nn

from qbench.errors import Unsupported
from qbench.kernels.formats import FORMATS
from qbench.kernels.gemm.four_bits.packing import multiplies_four_bits, pack_four_bits, reads
from qbench.kernels.gemm.multiply import multiply, multiply_four_bits, multiply_quantized
from qbench.kernels.gemm.packed import PackedWeight
from qbench.kernels.linears import operators
from qbench.kernels.linears.linear import Inputs
from qbench.kernels.linears.product_operators import four_bits, scaled, taken_apart, weight_only
from qbench.kernels.reference import Quantized
from qbench.kernels.schemes import Element, Scheme

Way = Literal["plain", "tokens", "groups", "fixed", "rounded", "four bits"]
"""What is done with inputs: nothing; 8-bit codes by token, by group, below one fixed scale; rounded
but left in 16 bits; 4-bit codes by group."""

PROGRAMS = {
    "pack_weight": "qbench.kernels.gemm.weight_only.packing:pack_weight",
    "pack_bytes": "qbench.kernels.gemm.scaled.packing:pack_bytes",
    "quantize_tokens": "qbench.kernels.activation.quantizing:quantize_tokens",
    "quantize_groups": "qbench.kernels.activation.quantizing:quantize_groups",
    "rotate_quantize": "qbench.kernels.activation.rotating:rotate_quantize",
    "rotate_round": "qbench.kernels.activation.fourbits:rotate_round",
    "rotate_pack": "qbench.kernels.activation.fourbits:rotate_pack",
}
"""Imported when they are first called: they need Triton."""


@cache
def program(name: str) -> Callable[..., Any]:
    """Return what starts the program ``name``. Raises ModuleNotFoundError without Triton."""
    module, _, attribute = PROGRAMS[name].partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    return found


def way_of(inputs: Inputs) -> Way:
    """Return what is done with a layer's inputs on a GPU without FP4 units.

    Raises:
        Unsupported: what no program does.

    """
    scheme = inputs.scheme
    if scheme is None and inputs.rotation is None:
        return "plain"
    if scheme is not None and inputs.zero is None and scheme.symmetric:
        if inputs.scale is not None and scheme.element_bits == 8 and inputs.rotation is None:
            return "fixed"
        if found := _live_way(scheme, inputs):
            return found
    raise Unsupported(
        f"No program makes inputs of {_named(scheme)}.",
        hint="Serve the model emulated: -o emulate=true.",
    )


def _live_way(scheme: Scheme, inputs: Inputs) -> Way | None:
    """Return what is done where scales are found anew; None where nothing is."""
    if inputs.scale is not None or inputs.global_scale is not None or not scheme.dynamic:
        return None
    if scheme.strategy == "token" and scheme.element in ("int8", "e4m3"):
        return "tokens"
    grouped = scheme.strategy == "group"
    if grouped and scheme.element == "e4m3" and scheme.scale_dtype == "float32":
        return "groups" if scheme.group == 128 and inputs.rotation is None else None
    return "rounded" if grouped and scheme.element in ("e2m1", "int4") else None


def _named(scheme: Scheme | None) -> str:
    return f"{scheme.element} by {scheme.strategy}" if scheme else "rotated 16 bits"


def packed(
    quantized: Quantized, inputs: Inputs, *, four_bit_units: bool | None = None
) -> PackedWeight:
    """Return the weight as programs read it. Raises Unsupported where none does.

    ``four_bit_units``: whether the GPU multiplies FP4; None: what the device of the codes does.
    """
    activations, scheme = _multiplied(inputs), inputs.scheme
    if four_bit_units is None:
        four_bit_units = multiplies_four_bits(quantized.codes.device)
    if four_bit_units and scheme is not None and reads(quantized.scheme, scheme):
        return pack_four_bits(quantized, scheme)
    if activations is None:
        _refuse_scales(quantized)
        found: PackedWeight = program("pack_weight")(quantized)
    else:
        found = program("pack_bytes")(quantized, activations)
    return found


def _refuse_scales(quantized: Quantized) -> None:
    """Refuse scales that programs would read as bfloat16 and that are something else."""
    scheme, dtype = quantized.scheme, quantized.scale.dtype
    grouped = scheme.element.startswith("int") and scheme.group is not None
    if grouped and dtype != torch.bfloat16:
        raise Unsupported(
            f"No program reads scales of groups in {dtype}.",
            hint="Serve the model emulated, or make the checkpoint of a bfloat16 model.",
        )


def _multiplied(inputs: Inputs) -> Scheme | None:
    """Return the scheme in which inputs reach the product; None: in 16 bits."""
    way = way_of(inputs)
    if way in ("plain", "rounded") or inputs.scheme is None:
        return None
    if way != "fixed":
        return inputs.scheme
    element = inputs.scheme.element
    return Scheme(element=element, strategy="token", scale_dtype="float32", dynamic=True)


class QuantLinear(nn.Module):
    """``linear(inputs as the format says, weight)`` from packed codes, on a CUDA GPU."""

    bias: Tensor | None
    step: Tensor
    """(1, 1): the fixed scale of inputs, where they have one."""

    def __init__(
        self, weight: PackedWeight, bias: Tensor | None = None, *, inputs: Inputs | None = None
    ) -> None:
        """Take a weight (out, in) packed for these ``inputs``, and ``bias`` (out,).

        Raises:
            Unsupported: no program makes such inputs.

        """
        super().__init__()
        self.inputs = inputs or Inputs()
        way = way_of(self.inputs)
        self.way: Way = "four bits" if way == "rounded" and weight.activations else way
        self.in_features, self.out_features = weight.columns, weight.rows
        self._weight = weight
        self._parts = taken_apart(weight)
        self._rounding = _rounding(self.inputs.scheme) if way == "rounded" else ""
        for name in ("codes", "high", "scale", "zero"):
            self.register_buffer(name, getattr(weight, name))
        self.register_buffer("bias", bias)
        step = self.inputs.scale or 1.0
        self.register_buffer("step", torch.full((1, 1), step, device=weight.codes.device))

    @property
    def weight(self) -> PackedWeight:
        """The packed weight, wherever its tensors are now."""
        tensors = {name: getattr(self, name) for name in ("codes", "high", "scale", "zero")}
        return msgspec.structs.replace(self._weight, **tensors)

    def forward(self, values: Tensor) -> Tensor:
        """Map (..., in) of 16 bits to (..., out)."""
        flat = values.reshape(-1, self.in_features).contiguous()
        made = self._product(flat)
        if self.bias is not None:
            made += self.bias
        return made.view(*values.shape[:-1], self.out_features)

    @property
    def taken(self) -> Element | None:
        """Element of the codes that ``of_codes`` takes, where a norm or a gate can make them."""
        scheme = self.inputs.scheme
        live = self.way == "tokens" and self.inputs.rotation is None
        return scheme.element if live and scheme is not None else None

    def of_codes(self, codes: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
        """Map codes (tokens, in) with scales (tokens, 1) to (tokens, out) of ``dtype``."""
        made = multiply_quantized(codes, scale, self.weight, dtype)
        if self.bias is not None:
            made += self.bias
        return made

    def _product(self, values: Tensor) -> Tensor:
        if torch.compiler.is_compiling():
            return self._kept(values)
        if self.way == "plain":
            return multiply(values, self.weight)
        if self.way == "rounded":
            rounded = program("rotate_round")(values, self.inputs.rotation, self.inputs.scheme)
            return multiply(rounded, self.weight)
        if self.way == "four bits":
            tokens = program("rotate_pack")(values, self.inputs.rotation, self.inputs.scheme)
            codes, scale, factor = tokens
            return multiply_four_bits(codes, scale, factor, self.weight, values.dtype)
        codes, scale = self._codes(values)
        return multiply_quantized(codes, scale, self.weight, values.dtype)

    def _kept(self, values: Tensor) -> Tensor:
        """As ``_product``, of operators that ``torch.compile`` keeps as they are."""
        _, factor, rows, rest = self._parts.given
        parts = ([getattr(self, name) for name in self._parts.tensors], factor, rows, rest)
        if self.way == "rounded":
            values = operators.rotate_round(values, self.inputs.rotation, self._rounding)
        if self.way in ("plain", "rounded"):
            made: Tensor = weight_only(values, *parts)
        elif self.way == "four bits":
            given = operators.rotate_pack(values, self.inputs.rotation, self._rounding)
            made = four_bits(*given, values.dtype, *parts)
        else:
            codes, steps = self._kept_codes(values)
            made = scaled(codes, steps, values.dtype, *parts)
        return made

    def _kept_codes(self, values: Tensor) -> tuple[Tensor, Tensor]:
        scheme, rotation = self.inputs.scheme, self.inputs.rotation
        assert scheme is not None
        if self.way == "fixed":
            return _below(values, self.step, scheme)
        if self.way == "groups":
            made: tuple[Tensor, Tensor] = operators.quantize_groups(values)
        elif rotation is not None:
            made = operators.rotate_quantize(values, rotation, scheme.element)
        else:
            made = operators.quantize_tokens(values, scheme.element)
        return made

    def _codes(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return 8-bit codes (tokens, in) and their scales."""
        scheme, rotation = self.inputs.scheme, self.inputs.rotation
        assert scheme is not None
        if self.way == "fixed":
            return _below(values, self.step, scheme)
        if self.way == "groups":
            made: tuple[Tensor, Tensor] = program("quantize_groups")(values)
        elif rotation is not None:
            made = program("rotate_quantize")(values, rotation, scheme.element)
        else:
            made = program("quantize_tokens")(values, scheme.element)
        return made

    def extra_repr(self) -> str:
        """Return what ``print(model)`` shows."""
        element = self._weight.scheme.element
        return f"in={self.in_features}, out={self.out_features}, {element}, inputs {self.way}"


def _rounding(scheme: Scheme | None) -> str:
    """Return a format whose activations are of ``scheme``, as operators name it; empty: none."""
    return next((name for name, fmt in FORMATS.items() if fmt.activations == scheme), "")


def _below(values: Tensor, step: Tensor, scheme: Scheme) -> tuple[Tensor, Tensor]:
    """Return codes below one scale that calibration found, and that scale for every token."""
    quotient = values.float() / step
    if scheme.element == "e4m3":
        codes = quotient.clamp(-448, 448).to(torch.float8_e4m3fn)
    else:
        codes = quotient.round().clamp(-128, 127).to(torch.int8)
    return codes, step.expand(len(values), 1).contiguous()
