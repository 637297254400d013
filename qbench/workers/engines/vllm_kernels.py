"""Whether what vLLM ran is what the format means: decided by kernel, format and GPU. Pure.

Sources: vLLM 0.26 and 0.32, ``model_executor/kernels/linear`` (which kernels exist and what each
multiplies) and the compressed-tensors schemes (which of them a checkpoint asks for).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from qbench.kernels.formats import FORMATS
from qbench.service.domain import ComputePath
from qbench.workers.engines.schemes import FORMATS as HELD

Inputs = Literal["emulated", "wide", "narrow", "unknown"]
"""What a kernel multiplies: dequantized values, 16-bit activations, activations in codes."""

KERNELS: tuple[tuple[str, Inputs], ...] = (
    (r"emulation|qbenchrounding", "emulated"),  # rounded, then multiplied in 16 bits
    (
        r"qbenchtriton|marlin|machete|exllama|allspark|conch|wna16|w4a16|w8a16|torchao|bitsandbytes",
        "wide",
    ),
    (r"^cpufp8(block|pertensor)scaledmm", "wide"),  # AMX: bf16 activations, whatever the name says
    (r"humming(fp8|int8)scaledmm", "narrow"),
    (r"humming", "unknown"),  # multiplies what its schema says, which the log does not tell
    (r"w4a8|dynamic4bit|scaledmm|scaled_mm|rocmdotscaled", "narrow"),
    (r"flashinfer|cutlass|cutedsl|trtllm|cudnn|fbgemm|b12x|deep_?gemm|aiter|torchnvfp4", "narrow"),
    (r"xpumxfp", "narrow"),
)
"""Part of a kernel's name in lower case, what it multiplies; the first that fits counts."""

ELEMENTS = (
    (r"w4a8", "e4m3"),
    (r"dynamic4bit", "int8"),
    (r"(mx|nv)fp4", "e2m1"),
    (r"fp8", "e4m3"),
    (r"int8", "int8"),
)
"""Part of the name of a kernel that takes codes, their element; the first that fits counts."""

UNITS = {"e4m3": (89, 999), "int8": (75, 100), "e2m1": (100, 999), "int4": (75, 90)}
"""Compute capabilities, from and below, whose matrix units take codes of an element.

int8 ends before sm_100: CUTLASS refuses it there.
"""

_CPU_INT8 = {"avx512_vnni", "avx512_bf16", "amx_bf16"}
_BY_BITS = {("float", 8): "e4m3", ("int", 8): "int8", ("float", 4): "e2m1", ("int", 4): "int4"}


def inputs_of(kernel: str) -> Inputs:
    """Say what the kernel called ``kernel`` multiplies weights with."""
    name = kernel.lower()
    return next((found for part, found in KERNELS if re.search(part, name)), "unknown")


def activations_of(format_name: str) -> str | None:
    """Return the element of a format's activations; None for 16 bits and more.

    Raises:
        KeyError: nobody knows the format.

    """
    fmt = FORMATS.get(format_name)
    if fmt is not None:
        return fmt.activations.element if fmt.activations else None
    kind, _, bits = HELD[format_name]
    return _BY_BITS[kind, bits] if bits else None


def path_of(
    format_name: str, kernels: Sequence[str], architecture: str, *, warned: bool = False
) -> ComputePath:
    """Judge whether ``kernels`` on ``architecture`` compute what the format means.

    Args:
        format_name: A preset with codes; data types need no judgement.
        kernels: Names from the log; the worst of several counts.
        architecture: ``sm_90``, or a CPU with its flags.
        warned: vLLM said that the GPU lacks arithmetic for the format. It says so of GPUs that
            have it (vllm#47749, #48199, #56603), so it never decides alone; against kernels
            that say otherwise it makes the path unknown.

    """
    found = [inputs_of(kernel) for kernel in kernels]
    if "emulated" in found:
        return "emulated"
    element = activations_of(format_name)
    if not found:
        return "unknown"
    if element is None:  # 16-bit products are what such a format means
        return "unknown" if "narrow" in found else "native"
    if "wide" in found:
        return "weight-only fallback"
    if "unknown" in found or warned or other_activations(format_name, kernels):
        return "unknown"
    return _with_units(element, architecture)


def other_activations(format_name: str, kernels: Sequence[str]) -> str:
    """Return the kernel that rounds activations otherwise than the format; empty without one.

    vLLM 0.26 and 0.32 choose by the weights alone for MXFP4: where a kernel for 4-bit activations
    exists, ``mxfp4a16`` is run as ``mxfp4``, and so is ``w4a8-fp4`` where none takes 8 bits.
    """
    wanted = activations_of(format_name)
    rounding = [name for name in kernels if inputs_of(name) == "narrow"]
    return next((name for name in rounding if element_of(name) not in ("", wanted)), "")


def element_of(kernel: str) -> str:
    """Return the element of the activations that a kernel takes; empty where its name is silent."""
    name = kernel.lower()
    return next((element for part, element in ELEMENTS if re.search(part, name)), "")


def _with_units(element: str, architecture: str) -> ComputePath:
    """Judge kernels that take codes: native where the hardware multiplies them."""
    capability = re.search(r"\bsm_(\d+)", architecture)
    if capability is None:
        if element == "int8":
            return "native" if _CPU_INT8 & set(architecture.split()) else "unknown"
        return "emulated" if architecture.startswith(("x86", "aarch64", "arm64")) else "unknown"
    since, before = UNITS.get(element, (999, 999))
    return "native" if since <= int(capability[1]) < before else "unknown"
