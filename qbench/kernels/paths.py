"""What really runs when a format is asked for on some hardware. Needs no torch.

The table says what vLLM's linear kernels do, by compute capability: read from 0.26 and 0.32, from
``model_executor/kernels/linear`` (which kernels there are and what each needs) and
``layers/quantization/compressed_tensors`` (which of them a checkpoint asks for). What an engine
then reports of itself (its log) goes before this table: it is a forecast. Where vLLM has no kernel
that computes a format, or leaves its activations as they are, qbench lends it one
(``lent.gpu`` on GPUs, ``lent.cpu`` on CPUs), and the table says that.
"""

from __future__ import annotations

import re
from typing import Literal

from msgspec import Struct

from qbench.errors import NotFound
from qbench.kernels.formats import Format
from qbench.kernels.schemes import FloatName

ComputePath = Literal["native", "weight-only fallback", "emulated", "unknown"]
"""The words of an Endpoint's compute path."""

GPUS = {
    "t4": "sm_75",
    "a100": "sm_80",
    "a10": "sm_86",
    "a40": "sm_86",
    "a6000": "sm_86",
    "rtx3090": "sm_86",
    "l4": "sm_89",
    "l40s": "sm_89",
    "rtx4090": "sm_89",
    "h100": "sm_90",
    "h200": "sm_90",
    "gh200": "sm_90",
    "b200": "sm_100",
    "gb200": "sm_100",
    "b300": "sm_103",
    "rtx5090": "sm_120",
    "rtxpro6000": "sm_120",
}
"""Compute capability by the names people use."""


class Way(Struct, frozen=True, kw_only=True):
    """How a format's products are made."""

    path: ComputePath
    kernel: str = ""
    """Family of kernels that vLLM takes; empty where unknown."""
    note: str = ""
    """What a reader must know: what is stored and what is multiplied."""
    lent: bool = False
    """Whether the kernel is one that qbench lends to vLLM."""


class _Rule(Struct, frozen=True):
    """What serves a format from one compute capability up to below another."""

    since: int
    before: int
    way: Way


def _native(kernel: str) -> Way:
    return Way(path="native", kernel=kernel)


def _fallback(kernel: str) -> Way:
    note = "Weights are stored as the format says; activations stay in 16 bits."
    return Way(path="weight-only fallback", kernel=kernel, note=note)


UNKNOWN = Way(path="unknown", note="vLLM documents no kernel for this pair, or refuses it.")

_DECODED = Way(
    path="native",
    kernel="qbench Triton",
    note="Lent by qbench: vLLM itself has no kernel here that computes the format.",
    lent=True,
)


def _rounded(product: str = "Triton") -> Way:
    """Say what qbench lends where a GPU cannot multiply the activations' codes.

    This is no weight-only fallback, since activations are rounded; and not native, since what is
    multiplied are 16-bit numbers that both sides' codes were turned back into.
    """
    note = (
        "Lent by qbench: activations are rounded as the format says, then multiplied in 16 bits. "
        "Memory and answers are the format's; speed is that of its weights in 16-bit products."
    )
    return Way(path="emulated", kernel=f"qbench rounding, {product}", note=note, lent=True)


def _turned(way: Way) -> Way:
    """Add the rotation of inputs, which vLLM makes on one GPU only; lent kernels make their own."""
    if way.lent:
        return way
    return Way(path=way.path, kernel=f"{way.kernel} after Hadacore", note=way.note)


_WEIGHTS = (_Rule(80, 999, _native("Marlin or Machete")),)
_FEW_BITS = (_Rule(80, 999, _DECODED),)
_NVFP4 = (
    _Rule(75, 89, _fallback("Marlin")),
    _Rule(89, 100, _rounded()),
    _Rule(100, 999, _native("CUTLASS or FlashInfer FP4")),
)
"""Triton makes E4M3 scales from sm_89 on."""
_MXFP4 = (
    _Rule(80, 100, _rounded()),
    _Rule(100, 999, _native("FlashInfer MXFP4")),
)
RULES: dict[str, tuple[_Rule, ...]] = {
    "bf16": (_Rule(80, 999, _native("cuBLAS")),),
    "fp16": (_Rule(0, 999, _native("cuBLAS")),),
    "fp32": (_Rule(0, 999, _native("cuBLAS")),),
    "fp8": (
        _Rule(75, 89, _fallback("Marlin")),
        _Rule(89, 999, _native("CUTLASS scaled_mm")),
    ),
    "fp8-block": (
        _Rule(75, 89, _fallback("Marlin")),
        _Rule(89, 999, _native("DeepGEMM, CUTLASS or Triton block FP8")),
    ),
    "w8a8": (_Rule(75, 100, _native("CUTLASS scaled_mm int8")),),
    "w8a16": _WEIGHTS,
    "w4a16": _WEIGHTS,
    "w4a16-awq": _WEIGHTS,
    "w3a16": _FEW_BITS,
    "w2a16": _FEW_BITS,
    "w4a8": (_Rule(90, 91, _native("CUTLASS W4A8")),),
    "nvfp4": _NVFP4,
    "nvfp4a16": (_Rule(75, 999, _native("Marlin")),),
    "mxfp4": _MXFP4,
    "mxfp4a16": (
        _Rule(80, 100, _native("Marlin")),
        _Rule(100, 999, _DECODED),
    ),
    "w4a8-fp4": (_Rule(80, 999, _rounded()),),
    "mxfp8": (
        _Rule(75, 80, _fallback("Marlin")),
        _Rule(80, 100, _rounded("Marlin")),
        _Rule(100, 999, _native("FlashInfer MXFP8")),
    ),
    "nf4": (_Rule(75, 999, _native("bitsandbytes")),),
    "mxfp4-mr": tuple(_Rule(rule.since, rule.before, _turned(rule.way)) for rule in _MXFP4),
    "nvfp4-mr": tuple(
        _Rule(max(80, rule.since), rule.before, _turned(rule.way)) for rule in _NVFP4
    ),
    "int4-mr": (_Rule(80, 999, _rounded()),),
}
"""By preset; what is missing is unknown everywhere."""

OWN = {
    **dict.fromkeys(("w8a16", "w4a16", "w4a16-awq", "w3a16", "w2a16", "w8a8"), 80),
    **dict.fromkeys(("nvfp4a16", "mxfp4a16"), 80),
    **dict.fromkeys(("fp8", "fp8-block", "w4a8"), 89),
}
"""Formats whose codes qbench's own programs multiply, from a compute capability on."""
OWN_ROUNDED = ("nvfp4", "mxfp4", "nvfp4-mr", "mxfp4-mr", "int4-mr")
"""Formats whose activations they round, and then multiply in 16 bits, from sm_80 on."""
OWN_FOUR_BITS = ("nvfp4", "mxfp4", "nvfp4-mr", "mxfp4-mr")
"""Those of them whose codes they multiply in FP4 units, from sm_100 on."""

LENT = (
    *("w8a16", "w3a16", "w2a16", "mxfp8", "w4a8-fp4"),
    *("nvfp4", "nvfp4a16", "nvfp4-mr", "mxfp4", "mxfp4a16", "mxfp4-mr", "int4-mr"),
)
"""Formats for which ``qbench.kernels.lent.cpu`` brings kernels to vLLM's CPU build."""


def architecture_of(name: str) -> str:
    """Return the architecture that a GPU's name, or an architecture, means.

    Raises:
        NotFound: neither; lists close names.

    """
    wanted = re.sub(r"[\s_-]+", "", name.lower())
    if known := next((sm for gpu, sm in GPUS.items() if wanted.startswith(gpu)), ""):
        return known
    if number := re.fullmatch(r"sm(\d+)a?", wanted):
        return f"sm_{number[1]}"
    if wanted.startswith(("x86", "aarch64", "arm64")):
        return name
    raise NotFound.among("GPU", name, [*GPUS, "sm_90"])


def way(fmt: Format, architecture: str, *, emulated: bool = False) -> Way:
    """Say what runs when ``fmt`` is served on ``architecture``.

    Args:
        fmt: what was asked for.
        architecture: ``sm_90`` or a CPU with its flags, ``x86_64 avx512_bf16``.
        emulated: the engine multiplies dequantized values (``qbench.kernels.linears.linear``)
            instead of codes. Formats without codes are not touched by that.

    Returns:
        What vLLM's kernels do for that compute capability; ``unknown`` where its documentation
        refuses the pair or says nothing.

    """
    if emulated and fmt.quantized:
        note = "Codes are turned back into numbers, then multiplied."
        return Way(path="emulated", kernel="qbench reference", note=note)
    if emulated:
        return Way(path="native", kernel=f"{fmt.arithmetic or fmt.storage} matmul")
    capability = re.search(r"\bsm_(\d+)", architecture)
    if capability is None:
        return _on_cpu(fmt, architecture)
    rules = RULES.get(fmt.name, ())
    number = int(capability[1])
    return next((rule.way for rule in rules if rule.since <= number < rule.before), UNKNOWN)


def compute_path(fmt: Format, architecture: str, *, emulated: bool) -> ComputePath:
    """Return the path of ``way``."""
    return way(fmt, architecture, emulated=emulated).path


def own_way(fmt: Format, architecture: str) -> Way:
    """Say what the embedded engine does with ``fmt`` on ``architecture``.

    On GPUs it has programs of its own for codes (``qbench.kernels.gemm``); elsewhere it emulates.
    """
    capability = re.search(r"\bsm_(\d+)", architecture)
    number = int(capability[1]) if capability else 0
    if fmt.name in OWN_FOUR_BITS and number >= 100:
        note = "Compiled to FP4 instructions and checked interpreted; never run on such a GPU."
        return Way(path="native", kernel="qbench FP4, Triton", note=note)
    if fmt.name in OWN_ROUNDED and number >= 80:
        note = "Activations are rounded as the format says, then multiplied in 16 bits."
        return Way(path="emulated", kernel="qbench rounding, Triton", note=note)
    if number >= OWN.get(fmt.name, 10**9):
        return _native("qbench Triton")
    return way(fmt, architecture, emulated=True)


def _on_cpu(fmt: Format, architecture: str) -> Way:
    """Count int8 as native where the CPU has int8 dot products (all with bf16 ones do).

    What vLLM's CPU build has no kernel for is served by those that qbench lends it.
    """
    if fmt.name in ("bf16", "fp16", "fp32"):
        return _native("oneDNN")
    if fmt.name in ("w4a16", "w4a16-awq"):
        return _native("CPU WNA16")
    dot_products = {"avx512_vnni", "avx512_bf16", "amx_bf16"} & set(architecture.split())
    if fmt.name == "w8a8" and dot_products:
        return _native("oneDNN int8")
    if fmt.name == "fp8":
        return Way(path="emulated", kernel="torch FP8", note="CPUs have no 8-bit floats.")
    if fmt.name in LENT:
        note = "vLLM has none for CPUs."
        return Way(path="emulated", kernel="lent by qbench", note=note, lent=True)
    return UNKNOWN


def multiplies_in(fmt: Format, architecture: str) -> FloatName:
    """Return the type in which a CPU should hold and multiply weights of ``fmt``.

    float32 where an x86 CPU has no instructions for the 16-bit type: products of 16-bit numbers
    are exact in it, so the answers are as good, and a prompt is many times faster. It depends on
    the storage alone, so all formats of one storage are compared in the same arithmetic.
    """
    if fmt.arithmetic is not None:
        return fmt.arithmetic
    if not architecture.startswith("x86_64"):
        return fmt.storage
    in_hardware = {"avx512_bf16", "amx_bf16"} & set(architecture.split())
    return "bfloat16" if fmt.storage == "bfloat16" and in_hardware else "float32"
