"""A layer of vLLM's on a GPU: its weight as the checkpoint brought it, and what it serves."""

from __future__ import annotations

import os

import msgspec
import torch
from msgspec import Struct
from torch import Tensor, nn

from qbench.kernels.checkpoints.packing import layout_of, unpack
from qbench.kernels.formats import FORMATS
from qbench.kernels.gemm.weight_only.packing import pack_weight
from qbench.kernels.lent.gpu_operators import round_inputs
from qbench.kernels.lent.tensors import plain, unpacked
from qbench.kernels.linears.product_operators import taken_apart, weight_only
from qbench.kernels.reference import Quantized
from qbench.kernels.schemes import Scheme

BLOCKS = (16, 32, 64, 128)
"""Hadamard blocks that the programs rotate by."""


def interpreted() -> bool:
    """Whether Triton's interpreter runs the programs, on a CPU."""
    return os.environ.get("TRITON_INTERPRET") == "1"


class Inputs(Struct, frozen=True, kw_only=True):
    """What becomes of a layer's inputs before they are multiplied."""

    scheme: Scheme | None = None
    """How they are rounded; None: not at all."""
    rotation: int | None = None
    """Columns of the Hadamard blocks; None: not rotated here."""
    shared: Tensor | None = None
    """The global scale of two-level schemes, where calibration found one."""


class Prepared:
    """Inputs (..., K) rotated and rounded by an operator, or as they are."""

    def __init__(self, inputs: Inputs) -> None:
        self.block = inputs.rotation or 0
        self.scheme = msgspec.json.encode(inputs.scheme).decode()
        self.shared = inputs.shared
        self.needed = inputs.scheme is not None or inputs.rotation is not None

    def __call__(self, x: Tensor) -> Tensor:
        """Return what is multiplied, in the shape and type of ``x``."""
        if not self.needed:
            return x
        flat = x.reshape(-1, x.shape[-1])
        made: Tensor = round_inputs(flat, self.shared, self.block, self.scheme)
        return made.reshape(x.shape)


class Served:
    """The product with a weight by an operator; the weight's tensors are the layer's parameters."""

    def __init__(self, layer: nn.Module, made: Quantized, inputs: Inputs) -> None:
        """Pack ``made`` and keep it in ``layer`` instead of what the checkpoint brought."""
        parts = taken_apart(pack_weight(made))
        self.prepared = Prepared(inputs)
        self.names = tuple(f"qbench_{name}" for name in parts.tensors)
        self.rows, self.rest, self.factor = parts.rows, parts.rest, parts.factor
        for name in [name for name, _ in layer.named_parameters(recurse=False) if name != "bias"]:
            delattr(layer, name)
        for name, tensor in zip(self.names, parts.tensors.values(), strict=True):
            layer.register_parameter(name, nn.Parameter(tensor, requires_grad=False))

    def __call__(self, layer: nn.Module, x: Tensor, bias: Tensor | None) -> Tensor:
        """Map (..., K) to (..., N) in the type of ``x``."""
        flat = self.prepared(x).reshape(-1, x.shape[-1])
        parts = [getattr(layer, name) for name in self.names]
        made: Tensor = weight_only(flat, parts, self.factor, self.rows, self.rest)
        made = made.reshape(*x.shape[:-1], self.rows)
        return made if bias is None else made + bias


def integers(layer: nn.Module, scheme: Scheme, names: tuple[str, str], columns: int) -> Quantized:
    """Return the weight (N, columns) of packed integers and their scales, by their names.

    Scales become bfloat16 again, which is what checkpoints of qbench hold: vLLM keeps them in the
    type of the model's inputs.
    """
    words, scale = (plain(getattr(layer, name)) for name in names)
    codes = unpacked(words, scheme.element_bits, columns)
    return Quantized(codes=codes, scale=scale.to(torch.bfloat16), scheme=scheme)


def small_floats(layer: nn.Module, name: str) -> Quantized:
    """Return the weight of a layer in MXFP4 or NVFP4, whose global scale vLLM has turned over."""
    fmt = FORMATS[name]
    assert fmt.weights is not None
    tensors = {
        "weight_packed": plain(layer.weight),
        "weight_scale": plain(layer.weight_scale),
    }
    if fmt.weights.two_level:
        tensors["weight_global_scale"] = 1.0 / plain(layer.weight_global_scale)
    return unpack(tensors, fmt.weights, layout_of(fmt))


def rotation_taken(layer: nn.Module) -> int | None:
    """Take the rotation of a layer's inputs over from vLLM; return its block.

    None where there is none, or where it is one that vLLM has to make.
    """
    method = getattr(layer, "quant_method", None)
    transform = getattr(method, "input_transform", None)
    if method is None or transform is None:
        return None
    scheme = transform.transforms[0].scheme
    if scheme.type != "hadamard" or scheme.head_dim not in BLOCKS:
        return None
    method.input_transform = None
    return int(scheme.head_dim)
