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
    """All weights packed: what a checkpoint of the format takes, or the files really take."""
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
    exact_sums()
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=FLOATS[fmt.storage], attn_implementation=ATTENTION
    ).eval()
    model = model.to(chosen)  # before codes are made: a GPU makes the same ones sooner
    held = held_in(fmt, chosen)
    applied = apply_format(model, fmt, multiply_in=held)
    return Loaded(
        model=model,
        tokenizer=cast("PreTrainedTokenizerFast", AutoTokenizer.from_pretrained(folder)),
        device=chosen,
        cache_dtype=FLOATS[fmt.arithmetic or held],
        effective=f"{applied.effective}, rtn" if fmt.quantized else applied.effective,
        kernel=kernel_of(fmt, fmt.arithmetic or held),
        path=compute_path(fmt, this_machine(gpu=chosen != "cpu").architecture, emulated=True),
        bits_per_weight=applied.bits_per_weight,
        weight_bytes=applied.weight_bytes_packed,
        length=int(getattr(model.config, "max_position_embeddings", 4096)),
    )


def held_in(fmt: Format, device: str) -> FloatName:
    """Return the type in which linear weights are held: float32 on CPUs without 16-bit products."""
    if device != "cpu":
        return fmt.storage
    return multiplies_in(fmt, this_machine(gpu=False).architecture)


def exact_sums() -> None:
    """Have GPUs add in float32 and multiply float32 as float32: no TF32, no 16-bit partial sums."""
    torch.set_float32_matmul_precision("highest")
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False


def kernel_of(fmt: Format, product: FloatName) -> str:
    """Say how products are made, for the row."""
    made = f"{fmt.storage} matmul"
    if fmt.arithmetic is not None:
        made = f"{fmt.storage} weights cast to {fmt.arithmetic} for each {fmt.arithmetic} matmul"
    elif product != fmt.storage:
        made = f"{fmt.storage} values multiplied in {product}, rounded once"
    return f"dequantize, then {made}" if fmt.weights else made


def peak_memory(device: str = "cpu") -> int:
    """Return the most bytes this process has held: of its own memory, or of the GPU's."""
    if device != "cpu":
        return int(torch.cuda.max_memory_allocated())
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
