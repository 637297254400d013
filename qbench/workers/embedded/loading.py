"""A checkpoint in a Format, ready to be served; and what really was made of it."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import torch
from msgspec import Struct
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from qbench.kernels.formats import get_format
from qbench.kernels.linear import apply_format
from qbench.workers.embedded.cache import ATTENTION
from qbench.workers.hardware import this_machine

NATIVE_BF16 = ("avx512_bf16", "amx_bf16")
"""CPU flags without which torch multiplies bf16 many times slower than float32."""

DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}


class Loaded(Struct, frozen=True, kw_only=True):
    """A model that can be served."""

    model: nn.Module
    tokenizer: PreTrainedTokenizerFast
    device: str
    dtype: torch.dtype
    """Of activations and keys between the layers."""
    effective: str
    kernel: str
    """How products are made."""
    emulated: bool
    bits_per_weight: float
    weight_bytes: int
    """What the format's weights would take packed."""
    length: int
    """Longest context the model was made for."""


def load(folder: Path, format_name: str, *, device: str = "") -> Loaded:
    """Load a causal language model with its linear layers in a Format.

    Raises:
        NotFound: for an unknown format.
        OSError, ValueError: transformers cannot read the folder.

    """
    chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
    fmt = get_format(format_name)
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=DTYPES[fmt.storage], attn_implementation=ATTENTION
    ).eval()
    applied = apply_format(model, fmt)
    wide = chosen == "cpu" and not multiplies(fmt.storage)
    model = model.to(chosen).float() if wide else model.to(chosen)
    return Loaded(
        model=model,
        tokenizer=AutoTokenizer.from_pretrained(folder),
        device=chosen,
        dtype=torch.float32 if wide else DTYPES[fmt.storage],
        effective=applied.effective,
        kernel=kernel_of(fmt.storage, emulated=fmt.weights is not None, wide=wide),
        emulated=wide or fmt.weights is not None,
        bits_per_weight=applied.bits_per_weight,
        weight_bytes=applied.weight_bytes,
        length=int(getattr(model.config, "max_position_embeddings", 4096)),
    )


def multiplies(storage: str) -> bool:
    """Whether this CPU multiplies a storage type itself."""
    if storage == "bfloat16":
        return any(flag in this_machine(gpu=False).architecture for flag in NATIVE_BF16)
    return storage == "float32"


def kernel_of(storage: str, *, emulated: bool, wide: bool) -> str:
    """Say how products are made, for the row."""
    product = f"{storage} values multiplied in float32" if wide else f"{storage} matmul"
    return f"dequantize, then {product}" if emulated else product


def peak_memory() -> int:
    """Return the most bytes this process has held."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
