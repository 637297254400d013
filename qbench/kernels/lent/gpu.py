# mypy: allow-subclassing-any
"""Kernels that qbench lends to vLLM on CUDA GPUs, for formats that it cannot compute there.

vLLM 0.26 has none for 2- and 3-bit integers where Humming is not installed. For MXFP4, NVFP4 and
MXFP8 it multiplies 16-bit inputs on GPUs without 4-bit floats, whatever the format says of them;
for int4 weights it leaves 4-bit inputs as they are. These read the same checkpoints and

- decode weights in registers (``qbench.kernels.gemm``): ``QbenchTriton...``; the products of
  weight-only formats are what the format says;
- rotate and round inputs as the format says before that, in one pass over them
  (``qbench.kernels.activation``), and multiply in 16 bits: ``QbenchRounding...``.

``qbench.kernels.lent.entry`` loads this module in every process of a server that was asked for
it: ``QBENCH_KERNELS`` names the format. The kernels then come before vLLM's own. It runs in vLLM's
environment: nothing may be imported here but torch, vllm, triton, and what ``qbench.kernels``
needs.
"""

from __future__ import annotations

import os
from typing import Any, ClassVar

import torch
from torch import Tensor
from vllm.model_executor.kernels import linear as linear_kernels
from vllm.model_executor.kernels.linear import (
    MarlinMxfp8LinearKernel,
    MPLinearKernel,
    MxFp4LinearKernel,
    NvFp4LinearKernel,
    NvFp4LinearLayerConfig,
)
from vllm.model_executor.layers.quantization.compressed_tensors.schemes import (
    compressed_tensors_w4a4_nvfp4 as nvfp4_scheme,
)
from vllm.platforms import current_platform
from vllm.scalar_type import scalar_types

from qbench.kernels.formats import FORMATS, Format
from qbench.kernels.lent.asked import KERNELS
from qbench.kernels.lent.gpu_layers import (
    Inputs,
    Prepared,
    Served,
    integers,
    interpreted,
    rotation_taken,
    small_floats,
)
from qbench.kernels.lent.tensors import plain
from qbench.kernels.schemes import Element, Scheme

Answer = tuple[bool, str | None]

CAPABILITY = 80
"""The least that Triton's programs are for: matrix units for bfloat16."""
ELEMENTS: dict[Any, Element] = {
    scalar_types.uint2b2: "int2",
    scalar_types.uint3b4: "int3",
    scalar_types.uint4b8: "int4",
    scalar_types.uint8b128: "int8",
}
GROUPS = (-1, 32, 64, 128)
"""Columns of a scale; -1: one for a row."""


def served() -> Format | None:
    """Return the format that qbench asked kernels for; None where it asked for none."""
    return FORMATS.get(os.environ.get(KERNELS, ""))


def rounding() -> Scheme | None:
    """Return how the served format rounds activations; None: not at all."""
    fmt = served()
    return fmt.activations if fmt else None


def on_gpu() -> Answer:
    """Whether the platform is one that these kernels are for."""
    if interpreted():
        return True, None
    if not current_platform.is_cuda():
        return False, "requires CUDA."
    if not current_platform.has_device_capability(CAPABILITY):
        return False, f"requires capability {CAPABILITY}."
    return True, None


class _Multiplies:
    """``served(inputs(x))`` of a layer whose weight is packed for qbench's programs."""

    served: Served

    def apply_weights(
        self, layer: torch.nn.Module, x: Tensor, bias: Tensor | None = None
    ) -> Tensor:
        """Map (..., in) to (..., out) in the type of ``x``."""
        return self.served(layer, x, bias)


class QbenchTritonIntegerLinearKernel(_Multiplies, MPLinearKernel):
    """Packed integer weights of 2, 3, 4 or 8 bits, by group or channel, without zero points."""

    rounds: ClassVar[bool] = False

    @classmethod
    def get_min_capability(cls) -> int:
        """See ``CAPABILITY``; the interpreter has none."""
        return -1 if interpreted() else CAPABILITY

    @classmethod
    def can_implement(cls, c: Any) -> Answer:
        """Say whether a layer is of this kind."""
        reordered = getattr(c, "has_g_idx", False)  # 0.32 has no such layers
        if c.zero_points or reordered or c.weight_type not in ELEMENTS:
            return False, "only symmetric integers of 2, 3, 4 or 8 bits in their own order"
        if c.group_size not in GROUPS:
            return False, f"only groups of {GROUPS}"
        if c.act_type not in (torch.bfloat16, torch.float16):
            return False, "only 16-bit activations"
        return on_gpu()

    def process_weights_after_loading(self, layer: torch.nn.Module) -> None:
        """Lay the codes out for the programs."""
        c = self.config
        group = c.group_size if c.group_size > 0 else None
        scheme = Scheme(
            element=ELEMENTS[c.weight_type],
            strategy="group" if group else "channel",
            group=group,
        )
        made = integers(layer, scheme, (self.w_q_name, self.w_s_name), c.partition_weight_shape[0])
        inputs = Inputs(rotation=rotation_taken(layer), scheme=rounding() if self.rounds else None)
        self.served = Served(layer, made, inputs)


class QbenchRoundingIntegerLinearKernel(QbenchTritonIntegerLinearKernel):
    """The same, inputs rotated and rounded before (int4-mr)."""

    rounds = True


class _SmallFloats(_Multiplies):
    """E2M1 weights with small scales."""

    @classmethod
    def is_supported(cls, compute_capability: int | None = None) -> Answer:
        """On CUDA GPUs from ``CAPABILITY`` on."""
        del compute_capability
        return on_gpu()

    @classmethod
    def can_implement(cls, config: Any) -> Answer:
        """Every layer of the kind."""
        del config
        return True, None


class QbenchTritonMxFp4LinearKernel(_SmallFloats, MxFp4LinearKernel):
    """MXFP4 weights, 16-bit inputs."""

    rounds: ClassVar[bool] = False

    def process_weights_after_loading(self, layer: torch.nn.Module) -> None:
        """Lay the codes out for the programs."""
        inputs = Inputs(rotation=rotation_taken(layer), scheme=rounding() if self.rounds else None)
        self.served = Served(layer, small_floats(layer, "mxfp4"), inputs)


class QbenchRoundingMxFp4LinearKernel(QbenchTritonMxFp4LinearKernel):
    """The same, inputs rotated and rounded as the served format says: vLLM's config does not."""

    rounds = True


class QbenchTritonNvFp4LinearKernel(_SmallFloats, NvFp4LinearKernel):
    """NVFP4 weights, 16-bit inputs."""

    rounds: ClassVar[bool] = False

    def process_weights_after_loading(self, layer: torch.nn.Module) -> None:
        """Lay the codes out for the programs; vLLM has turned the stored global scale over."""
        scheme = FORMATS["nvfp4"].activations if self.rounds else None
        calibrated = getattr(layer, "input_global_scale_inv", None) if self.rounds else None
        inputs = Inputs(
            rotation=rotation_taken(layer),
            scheme=scheme,
            shared=None if calibrated is None else plain(calibrated),
        )
        self.served = Served(layer, small_floats(layer, "nvfp4"), inputs)


class QbenchRoundingNvFp4LinearKernel(QbenchTritonNvFp4LinearKernel):
    """The same, inputs rotated and rounded to NVFP4."""

    rounds = True


class QbenchRoundingMarlinMxfp8LinearKernel(MarlinMxfp8LinearKernel):
    """vLLM's own product of MXFP8 weights with 16-bit inputs, those rounded to MXFP8 before."""

    def process_weights_after_loading(self, layer: torch.nn.Module) -> None:
        """Lay the codes out as Marlin wants them."""
        super().process_weights_after_loading(layer)
        scheme = FORMATS["mxfp8"].activations
        self.prepared = Prepared(Inputs(rotation=rotation_taken(layer), scheme=scheme))

    def apply_weights(
        self, layer: torch.nn.Module, x: Tensor, bias: Tensor | None = None
    ) -> Tensor:
        """Map (..., in) to (..., out) in the type of ``x``."""
        product: Tensor = super().apply_weights(layer, self.prepared(x), bias)
        return product


def _nvfp4_kernel(*, use_a16: bool = False) -> NvFp4LinearKernel:
    """Choose for NVFP4: vLLM asks for Marlin by name where activations stay wide."""
    kernel = QbenchTritonNvFp4LinearKernel if use_a16 else QbenchRoundingNvFp4LinearKernel
    nvfp4_scheme.logger.info_once("Using %s for NVFP4 GEMM", kernel.__name__)
    return kernel(NvFp4LinearLayerConfig())


def register() -> None:
    """Put the kernels before vLLM's own; may be called more than once."""
    fmt = served()
    if fmt is None or not on_gpu()[0] or nvfp4_scheme.init_nvfp4_linear_kernel is _nvfp4_kernel:
        return
    rounds = fmt.activations is not None
    integer = QbenchRoundingIntegerLinearKernel if rounds else QbenchTritonIntegerLinearKernel
    mxfp4 = QbenchRoundingMxFp4LinearKernel if rounds else QbenchTritonMxFp4LinearKernel
    _first(integer, "mp")
    _first(mxfp4, "mxfp4")
    if rounds:
        _first(QbenchRoundingMarlinMxfp8LinearKernel, "mxfp8")
    nvfp4_scheme.init_nvfp4_linear_kernel = _nvfp4_kernel


_LISTS = {
    "mp": linear_kernels._POSSIBLE_KERNELS,  # noqa: SLF001
    "mxfp4": linear_kernels._POSSIBLE_MXFP4_KERNELS,  # noqa: SLF001
    "mxfp8": linear_kernels._POSSIBLE_MXFP8_KERNELS,  # noqa: SLF001
}


def _first(kernel: type, kind: str) -> None:
    """Register ``kernel`` and put it before vLLM's own, which would leave inputs as they are."""
    platform = current_platform._enum  # noqa: SLF001
    linear_kernels.register_linear_kernel(kernel, platform, kind)
    possible = _LISTS[kind][platform]
    possible.insert(0, possible.pop(possible.index(kernel)))
