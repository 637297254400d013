"""A checkpoint in a Format, ready to be served; and what really was made of it."""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from typing import cast

import torch
from msgspec import Struct
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from qbench.kernels.formats import Format, get_format
from qbench.kernels.linear import apply_format
from qbench.kernels.paths import ComputePath, compute_path, multiplies_in
from qbench.kernels.reference import FLOATS
from qbench.kernels.schemes import FloatName
from qbench.workers.embedded.cache import ATTENTION
from qbench.workers.hardware import this_machine


class Loaded(Struct, frozen=True, kw_only=True):
    """A model that can be served."""

    model: nn.Module
    tokenizer: PreTrainedTokenizerFast
    device: str
    cache_dtype: torch.dtype
    """Of keys and values: that in which attention is fast here."""
    effective: str
    kernel: str
    """How products are made."""
    path: ComputePath
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
    product = multiplies_in(fmt, this_machine(gpu=False).architecture)
    product = product if chosen == "cpu" else fmt.storage
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=FLOATS[fmt.storage], attn_implementation=ATTENTION
    ).eval()
    applied = apply_format(model, fmt, multiply_in=product)
    model = model.to(chosen)
    return Loaded(
        model=model,
        tokenizer=cast("PreTrainedTokenizerFast", AutoTokenizer.from_pretrained(folder)),
        device=chosen,
        cache_dtype=FLOATS[product],
        effective=applied.effective,
        kernel=kernel_of(fmt, product),
        path=compute_path(fmt, this_machine(gpu=chosen != "cpu").architecture, emulated=True),
        bits_per_weight=applied.bits_per_weight,
        weight_bytes=applied.weight_bytes_packed,
        length=int(getattr(model.config, "max_position_embeddings", 4096)),
    )


def kernel_of(fmt: Format, product: FloatName) -> str:
    """Say how products are made, for the row."""
    made = f"{fmt.storage} matmul"
    if product != fmt.storage:
        made = f"{fmt.storage} values multiplied in {product}, rounded once"
    return f"dequantize, then {made}" if fmt.weights else made


def peak_memory() -> int:
    """Return the most bytes this process has held."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
