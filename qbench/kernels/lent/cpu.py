"""Kernels that qbench lends to vLLM's CPU build for formats that it loads but cannot multiply.

vLLM's registry of linear kernels has none on CPUs for int8, int3 and int2 weights beside 16-bit
activations, for NVFP4 and the MX formats. These dequantize a layer once, exactly as
``qbench.kernels.reference`` says, round and rotate its inputs as the format says, and multiply in
the model's own type. Their names hold ``Emulation``, so vLLM's log says what ran.

``qbench.kernels.lent.entry`` loads this module in every process of a server that was asked for it:
``QBENCH_EMULATE`` names the format. It does nothing where the platform is no CPU. It runs in vLLM's
environment: nothing may be imported here but torch, vllm, and what ``qbench.kernels`` needs there.
"""

from __future__ import annotations

import os
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional
from vllm import _custom_ops
from vllm.model_executor.kernels import linear as linear_kernels
from vllm.model_executor.kernels.linear import (
    MPLinearKernel,
    MxFp4LinearKernel,
    Mxfp8LinearKernel,
    NvFp4LinearKernel,
    NvFp4LinearLayerConfig,
    register_linear_kernel,
)
from vllm.model_executor.layers.quantization.compressed_tensors.schemes import (
    compressed_tensors_w4a4_nvfp4 as nvfp4_scheme,
)
from vllm.platforms import PlatformEnum, current_platform

from qbench.kernels.checkpoints.packing import Layout, unpack
from qbench.kernels.formats import FORMATS, Format
from qbench.kernels.lent.asked import EMULATE
from qbench.kernels.lent.tensors import plain
from qbench.kernels.linears.linear import Inputs, prepare
from qbench.kernels.reference import dequantize
from qbench.kernels.rotation import rotate
from qbench.kernels.schemes import Element, Scheme

INTEGERS: dict[int, Element] = {2: "int2", 3: "int3", 4: "int4", 8: "int8"}

Answer = tuple[bool, str | None]


def served() -> Format | None:
    """Return the format that qbench asked kernels for; None where it asked for none."""
    return FORMATS.get(os.environ.get(EMULATE, ""))


def rounding() -> Scheme | None:
    """Return how the served format rounds activations; None: not at all."""
    fmt = served()
    return fmt.activations if fmt else None


def on_cpu() -> Answer:
    """Whether the platform is the one these kernels are for."""
    return (True, None) if current_platform.is_cpu() else (False, "requires CPU.")


def hold(layer: torch.nn.Module, name: str, weight: Tensor, *spent: str) -> None:
    """Keep ``weight`` (out, in) as the parameter ``name`` and free the tensors it came from."""
    for other in {name, *spent}:
        if hasattr(layer, other):
            delattr(layer, other)
    layer.register_parameter(name, torch.nn.Parameter(weight, requires_grad=False))


class _Multiplies:
    """``linear(prepare(x), weight)`` of a layer whose weight is already dequantized."""

    held = "weight"
    """Name of the dequantized weight."""
    inputs: Inputs

    def apply_weights(
        self, layer: torch.nn.Module, x: Tensor, bias: Tensor | None = None
    ) -> Tensor:
        """Map (..., in) to (..., out) in the type of ``x``."""
        weight: Tensor = getattr(layer, self.held)
        return functional.linear(prepare(x, self.inputs), weight, bias)


class QbenchEmulationIntegerLinearKernel(_Multiplies, MPLinearKernel):
    """Packed integer weights of 2, 3, 4 or 8 bits, by group or channel, without zero points."""

    held = "weight_packed"

    @classmethod
    def get_min_capability(cls) -> int:
        """CPUs have no compute capability."""
        return -1

    @classmethod
    def can_implement(cls, c: Any) -> Answer:
        """Say whether a layer is of this kind."""
        if c.zero_points or c.weight_type.size_bits not in INTEGERS:
            return False, "only symmetric integers of 2, 3, 4 or 8 bits are emulated"
        return on_cpu()

    def process_weights_after_loading(self, layer: torch.nn.Module) -> None:
        """Dequantize to the type of the scales, which is the model's."""
        config = self.config
        packed, scale = plain(getattr(layer, self.w_q_name)), plain(getattr(layer, self.w_s_name))
        columns = config.partition_weight_shape[0]
        grouped = config.group_size > 0
        scheme = Scheme(
            element=INTEGERS[config.weight_type.size_bits],
            strategy="group" if grouped else "channel",
            group=config.group_size if grouped else None,
        )
        tensors = {
            "weight_packed": packed,
            "weight_scale": scale,
            "weight_shape": torch.tensor([packed.shape[0], columns]),
        }
        weight = dequantize(unpack(tensors, scheme, "pack-quantized"), scale.dtype)
        hold(layer, self.held, weight, self.w_q_name, self.w_s_name, "weight_shape")
        self.inputs = Inputs(scheme=rounding())


class _FloatKernel(_Multiplies):
    """E2M1 or E4M3 weights with small scales."""

    layout: ClassVar[Layout]
    scheme: ClassVar[Scheme]

    @classmethod
    def is_supported(cls, compute_capability: int | None = None) -> Answer:
        """On CPUs alone."""
        del compute_capability
        return on_cpu()

    @classmethod
    def can_implement(cls, config: Any) -> Answer:
        """Every layer of the kind."""
        del config
        return True, None

    def take(self, layer: torch.nn.Module, **tensors: Any) -> None:
        """Dequantize the layer's weight from the tensors of its layout."""
        plain_ones = {name: plain(tensor) for name, tensor in tensors.items()}
        weight = dequantize(unpack(plain_ones, self.scheme, self.layout), torch.get_default_dtype())
        hold(layer, self.held, weight, "weight_scale")


def _weights_of(name: str) -> Scheme:
    scheme = FORMATS[name].weights
    assert scheme is not None
    return scheme


class QbenchEmulationNvFp4LinearKernel(_FloatKernel, NvFp4LinearKernel):
    """NVFP4 weights; activations likewise where the checkpoint has a scale for them."""

    layout = "nvfp4-pack-quantized"
    scheme = _weights_of("nvfp4")

    def process_weights_after_loading(self, layer: torch.nn.Module) -> None:
        """Dequantize; vLLM has turned the stored global scale over."""
        shared = 1.0 / plain(layer.weight_global_scale)
        self.take(
            layer,
            weight_packed=layer.weight,
            weight_scale=layer.weight_scale,
            weight_global_scale=shared,
        )
        calibrated = getattr(layer, "input_global_scale_inv", None)
        self.inputs = Inputs()
        if calibrated is not None:
            live = FORMATS["nvfp4"].activations
            self.inputs = Inputs(scheme=live, global_scale=float(calibrated))


class QbenchEmulationMxFp4LinearKernel(_FloatKernel, MxFp4LinearKernel):
    """MXFP4 weights; activations as the served format says, which vLLM's config does not tell."""

    layout = "mxfp4-pack-quantized"
    scheme = _weights_of("mxfp4")

    def process_weights_after_loading(self, layer: torch.nn.Module) -> None:
        """Dequantize."""
        self.take(layer, weight_packed=layer.weight, weight_scale=layer.weight_scale)
        self.inputs = Inputs(scheme=rounding())


class QbenchEmulationMxfp8LinearKernel(_FloatKernel, Mxfp8LinearKernel):
    """MXFP8 on both sides."""

    layout = "mxfp8-quantized"
    scheme = _weights_of("mxfp8")

    def process_weights_after_loading(self, layer: torch.nn.Module) -> None:
        """Dequantize."""
        self.take(layer, weight=layer.weight, weight_scale=layer.weight_scale)
        self.inputs = Inputs(scheme=FORMATS["mxfp8"].activations)


def _nvfp4_kernel(*, use_a16: bool = False) -> NvFp4LinearKernel:
    """Choose for NVFP4: vLLM asks for Marlin by name where activations stay wide."""
    del use_a16
    name = QbenchEmulationNvFp4LinearKernel.__name__
    nvfp4_scheme.logger.info_once("Using %s for NVFP4 GEMM", name)
    return QbenchEmulationNvFp4LinearKernel(NvFp4LinearLayerConfig())


def _rotate(x: Tensor, inplace: bool = True) -> Tensor:
    """Stand in for the Hadamard transform that vLLM has for GPUs alone."""
    turned = rotate(x, x.shape[-1])
    return x.copy_(turned) if inplace else turned


def register() -> None:
    """Add the kernels to vLLM's registry; may be called more than once."""
    fmt = served()
    if fmt is None or not current_platform.is_cpu():
        return
    cpu = PlatformEnum.CPU
    if nvfp4_scheme.init_nvfp4_linear_kernel is _nvfp4_kernel:
        return
    register_linear_kernel(QbenchEmulationIntegerLinearKernel, cpu, "mp")
    register_linear_kernel(QbenchEmulationMxFp4LinearKernel, cpu, "mxfp4")
    register_linear_kernel(QbenchEmulationMxfp8LinearKernel, cpu, "mxfp8")
    nvfp4_scheme.init_nvfp4_linear_kernel = _nvfp4_kernel
    _custom_ops.hadacore_transform = _rotate
    if fmt.activations is not None:
        _first(QbenchEmulationIntegerLinearKernel)


def _first(kernel: type) -> None:
    """Put ``kernel`` before vLLM's own, which would leave the activations as they are."""
    possible = linear_kernels._POSSIBLE_KERNELS[PlatformEnum.CPU]  # noqa: SLF001
    possible.insert(0, possible.pop(possible.index(kernel)))
