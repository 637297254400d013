"""Makes quantized checkpoints with llm-compressor and reads them with compressed-tensors itself.

Run by the python of llm-compressor's environment, ``foreign_checkpoints.py SOURCE OUT``: each
folder in OUT gets a checkpoint, ``weights.safetensors`` with every layer as that library
decompresses it, and ``layer.safetensors`` with the inputs and outputs of one layer.
"""

import shutil
import sys
from pathlib import Path
from typing import Any

import torch
from compressed_tensors.compressors import BaseCompressor
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from datasets import Dataset
from llmcompressor import oneshot
from llmcompressor.modifiers.quantization import QuantizationModifier
from llmcompressor.modifiers.transform import SpinQuantModifier
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, CompressedTensorsConfig

GROUP = {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 32}
CHANNEL = {"num_bits": 8, "type": "int", "strategy": "channel"}
TOKEN = {"num_bits": 8, "type": "int", "strategy": "token", "dynamic": True}
FLOAT = {"type": "float"}
BLOCK = {"num_bits": 8, "type": "float", "strategy": "block", "block_structure": [48, 32]}
LIVE = {"num_bits": 8, "type": "float", "strategy": "group", "group_size": 32, "dynamic": True}
FIXED = {"num_bits": 8, "type": "float", "strategy": "tensor", "dynamic": False}
Arguments = dict[str, Any]


def group(weights: Arguments, inputs: Arguments | None = None, target: str = "Linear") -> Any:
    """Return one config group."""
    return QuantizationScheme(
        targets=[target],
        weights=QuantizationArgs(**weights),
        input_activations=QuantizationArgs(**inputs) if inputs else None,
    )


GROUPS: dict[str, list[Any]] = {
    "int4": [group(GROUP)],
    "zero": [group(GROUP | {"symmetric": False})],
    "int3": [group(GROUP | {"num_bits": 3})],
    "int8": [group(CHANNEL)],
    "w8a8": [group(CHANNEL, TOKEN)],
    "fp8": [group(CHANNEL | FLOAT, TOKEN | FLOAT)],
    "fixed": [group(FIXED, FIXED)],
    "block": [group(BLOCK, LIVE)],
    "mixed": [group(GROUP, None, "re:.*mlp.*"), group(CHANNEL, TOKEN, "re:.*self_attn.*")],
}
PRESETS = {
    "mxfp4": "MXFP4",
    "mxfp4a16": "MXFP4A16",
    "mxfp8": "MXFP8",
    "nvfp4": "NVFP4",
    "nvfp4a16": "NVFP4A16",
    "turned": "MXFP4",
}
NEED_DATA = ("fixed", "nvfp4")


def modifiers(name: str) -> list[Any]:
    """Return the recipe of a checkpoint."""
    kept: Arguments = {"ignore": ["lm_head"]}
    if name in GROUPS:
        named = {f"group_{number}": one for number, one in enumerate(GROUPS[name])}
        return [QuantizationModifier(config_groups=named, **kept)]
    quantize = QuantizationModifier(scheme=PRESETS[name], targets="Linear", **kept)
    if name != "turned":
        return [quantize]
    spin = SpinQuantModifier(rotations=["R4"], transform_type="hadamard", transform_block_size=32)
    return [spin, quantize]


def make(source: str, folder: Path) -> Any:
    """Write a checkpoint, and return it as compressed-tensors loads it."""
    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.bfloat16)
    data: Arguments = {}
    if folder.name in NEED_DATA:
        ids = [[(7 * place + row) % 250 + 3 for place in range(24)] for row in range(4)]
        ones = [[1] * 24] * 4
        made = Dataset.from_dict({"input_ids": ids, "attention_mask": ones})
        data = {"dataset": made, "num_calibration_samples": 4, "max_seq_length": 24}
    oneshot(model=model, recipe=modifiers(folder.name), **data)
    model.save_pretrained(folder, save_compressed=True)
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)


def decompressed(model: Any) -> dict[str, torch.Tensor]:
    """Return the weights of all quantized layers as the library turns them back."""
    found = {}
    for name, module in model.named_modules():
        scheme = getattr(module, "quantization_scheme", None)
        if scheme is not None:
            read = BaseCompressor.get_value_from_registry(scheme.format.value)
            parts = {part: value.detach() for part, value in module.named_parameters(recurse=False)}
            found[name] = read.decompress(parts, scheme)["weight"].detach().contiguous().clone()
    return found


def main() -> None:
    """Make all of them."""
    source, out = sys.argv[1], Path(sys.argv[2])
    for name in [*GROUPS, *PRESETS]:
        model = make(source, out / name)
        for file in Path(source).glob("tokenizer*"):
            shutil.copy(file, out / name)
        save_file(decompressed(model), out / name / "weights.bin")
        wide = CompressedTensorsConfig(run_compressed=False)
        plain = AutoModelForCausalLM.from_pretrained(
            out / name, dtype=torch.bfloat16, quantization_config=wide
        )
        inputs = torch.randn(1, 9, 128, generator=torch.Generator().manual_seed(1)).bfloat16()
        with torch.no_grad():
            outputs = plain.model.layers[1].mlp.down_proj(inputs.clone())
        save_file({"inputs": inputs, "outputs": outputs.clone()}, out / name / "layer.bin")


if __name__ == "__main__":
    main()
