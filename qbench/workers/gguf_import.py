"""From a GGUF file to a folder in Hugging Face layout: weights in bf16, tokenizer, chat template.

The tokenizer is built from the file's own vocabulary and merges, because a generic reading loses
two things that SmolLM2 was trained with: digits stand alone, and a turn ends with ``<|im_end|>``.

Run as ``python -m qbench.workers.gguf_import FILE FOLDER``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from qbench.errors import Unsupported

CONTROL = 3
"""GGUF token type of special tokens."""

Fields = dict[str, Any]


def convert(file: Path, folder: Path) -> None:
    """Write ``folder`` from a Llama-architecture ``file``.

    Raises:
        Unsupported: another architecture, or a tokenizer of another kind.

    """
    reader = gguf.GGUFReader(file)
    fields = {name: field.contents() for name, field in reader.fields.items()}
    if fields["general.architecture"] != "llama":
        raise Unsupported(
            f"GGUF files of architecture {fields['general.architecture']} cannot be converted.",
            hint="Use the model's Hugging Face checkpoint.",
        )
    tokenizer = read_tokenizer(fields)
    model = _model(read_config(fields), {tensor.name: tensor for tensor in reader.tensors})
    ends = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    model.generation_config = ends
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def read_config(fields: Fields) -> LlamaConfig:
    """Return the architecture that a GGUF file's metadata describe; embeddings are tied."""
    return LlamaConfig(
        vocab_size=fields["llama.vocab_size"],
        hidden_size=fields["llama.embedding_length"],
        intermediate_size=fields["llama.feed_forward_length"],
        num_hidden_layers=fields["llama.block_count"],
        num_attention_heads=fields["llama.attention.head_count"],
        num_key_value_heads=fields["llama.attention.head_count_kv"],
        max_position_embeddings=fields["llama.context_length"],
        rms_norm_eps=fields["llama.attention.layer_norm_rms_epsilon"],
        rope_parameters={"rope_type": "default", "rope_theta": fields["llama.rope.freq_base"]},
        bos_token_id=fields["tokenizer.ggml.bos_token_id"],
        eos_token_id=fields["tokenizer.ggml.eos_token_id"],
        tie_word_embeddings=True,
        dtype="bfloat16",
    )


def _model(config: LlamaConfig, tensors: dict[str, Any]) -> LlamaForCausalLM:
    with torch.device("meta"):
        model = LlamaForCausalLM(config)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    weights = {
        name: _weight(name, tensors[names.get_name(name, (".weight",)) or name], config)
        for name, _ in model.named_parameters()
    }
    model.load_state_dict(weights, strict=False, assign=True)
    model.tie_weights()
    return model


def _weight(name: str, tensor: Any, config: LlamaConfig) -> torch.Tensor:
    values = gguf.dequantize(tensor.data, tensor.tensor_type)
    if "q_proj" in name:
        values = _rotary_halves(values, config.num_attention_heads)
    elif "k_proj" in name:
        values = _rotary_halves(values, config.num_key_value_heads or config.num_attention_heads)
    return torch.from_numpy(np.array(values)).to(torch.bfloat16)


def _rotary_halves(values: NDArray[Any], heads: int) -> NDArray[Any]:
    """Undo GGUF's row order of (out, in) projections: pairs of a rotation apart, not adjacent."""
    out, columns = values.shape
    pairs = values.reshape(heads, out // heads // 2, 2, columns)
    return pairs.swapaxes(1, 2).reshape(out, columns)


def read_tokenizer(fields: Fields) -> PreTrainedTokenizerFast:
    """Build the tokenizer that a GGUF file describes: byte-level BPE with single digits."""
    kind = (fields["tokenizer.ggml.model"], fields["tokenizer.ggml.pre"])
    if kind != ("gpt2", "smollm"):
        raise Unsupported(
            f"A GGUF tokenizer of kind {kind} cannot be converted.",
            hint="Use the model's Hugging Face checkpoint.",
        )
    tokens: list[str] = fields["tokenizer.ggml.tokens"]
    marks = zip(tokens, fields["tokenizer.ggml.token_type"], strict=True)
    core = _byte_level_bpe(tokens, fields["tokenizer.ggml.merges"])
    core.add_special_tokens(
        [
            AddedToken(text, special=True, normalized=False)
            for text, mark in marks
            if mark == CONTROL
        ]
    )
    end = tokens[fields["tokenizer.ggml.eos_token_id"]]
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token=tokens[fields["tokenizer.ggml.bos_token_id"]],
        eos_token=end,
        pad_token=end,
        unk_token=tokens[fields["tokenizer.ggml.unknown_token_id"]],
        chat_template=fields["tokenizer.chat_template"],
        model_max_length=fields["llama.context_length"],
        clean_up_tokenization_spaces=False,
    )


def _byte_level_bpe(tokens: list[str], merges: list[str]) -> Tokenizer:
    vocabulary = {token: number for number, token in enumerate(tokens)}
    pairs = [(left, right) for left, _, right in (merge.partition(" ") for merge in merges)]
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=pairs))
    digits = pre_tokenizers.Digits(individual_digits=True)
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [digits, pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    core.decoder = decoders.ByteLevel()
    return core


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
