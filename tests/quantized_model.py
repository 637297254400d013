"""A checkpoint rounded to nearest, in the layout that vLLM loads: made in seconds, without data."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from qbench.kernels.checkpoints.packing import layout_of, pack
from qbench.kernels.checkpoints.packing_config import quantization_config
from qbench.kernels.formats import FORMATS, Format, fitted
from qbench.kernels.reference import find_scales, quantize
from qbench.kernels.rotation import rotate

FUSED = {"q_proj": "qkv", "k_proj": "qkv", "v_proj": "qkv", "gate_proj": "up", "up_proj": "up"}
"""Layers that vLLM multiplies together: they must share NVFP4's global scale."""

INPUT_PEAK = 200.0
"""Of the activations of a small model: what calibration would find for NVFP4's global scale."""


def save_quantized(source: Path, folder: Path, format_name: str) -> Path:
    """Write the model of ``source`` with its linear layers (``*_proj``) in a format."""
    tensors = load_file(source / "model.safetensors")
    names = [name.removesuffix(".weight") for name in tensors if name.endswith("_proj.weight")]
    fmt = FORMATS[format_name]
    plan = {name: fitted(fmt, tensors[f"{name}.weight"].shape[1]) for name in names}
    peaks = _peaks(tensors, names)
    for name, made in plan.items():
        weight = tensors.pop(f"{name}.weight")
        for part, tensor in _packed(weight, made, peaks[_fused(name)]).items():
            tensors[f"{name}.{part}"] = tensor.contiguous()
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((source / "config.json").read_text())
    config["quantization_config"] = quantization_config(plan, [*names, "lm_head"])
    (folder / "config.json").write_text(json.dumps(config))
    for other in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        if (source / other).exists():
            shutil.copy(source / other, folder)
    return folder


def _fused(name: str) -> str:
    place, _, own = name.rpartition(".")
    return f"{place}.{FUSED.get(own, own)}"


def _peaks(tensors: dict[str, Tensor], names: list[str]) -> dict[str, float]:
    peaks: dict[str, float] = {}
    for name in names:
        peak = float(tensors[f"{name}.weight"].abs().max())
        peaks[_fused(name)] = max(peak, peaks.get(_fused(name), 0.0))
    return peaks


def _packed(weight: Tensor, fmt: Format, peak: float) -> dict[str, Tensor]:
    assert fmt.weights is not None
    weight = rotate(weight, fmt.rotation) if fmt.rotation else weight
    shared = torch.tensor(448.0 * 6 / peak) if fmt.weights.two_level else None
    scales = find_scales(weight, fmt.weights, global_scale=shared)
    named = pack(quantize(weight, fmt.weights, scales=scales), layout_of(fmt))
    if shared is not None and fmt.activations is not None:
        named["input_global_scale"] = torch.tensor([448.0 * 6 / INPUT_PEAK])
    return named
