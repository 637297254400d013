"""From a GGUF file to a folder in Hugging Face layout: weights in bf16, tokenizer, chat template.

Files as SmolLM2's are read here: a generic reading of their tokenizer loses two things that the
model was trained with (digits stand alone, and a turn ends with ``<|im_end|>``). Every other file
is transformers' to read, which knows many architectures.

Run as ``python -m qbench.workers.gguf_import FILE FOLDER``; its last line is the file's scheme.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    GgufConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from qbench.errors import Unsupported

OURS = ("llama", "gpt2", "smollm")
"""Architecture, tokenizer and its way of splitting text."""
CONTROL = 3
"""GGUF token type of special tokens."""

Fields = dict[str, Any]


def convert(file: Path, folder: Path) -> str:
    """Write ``folder`` from ``file``; return the scheme of its weights: ``GGUF Q4_K_M``.

    Raises:
        Unsupported: neither we nor transformers read its architecture or tokenizer.

    """
    reader = gguf.GGUFReader(file)
    fields = {name: field.contents() for name, field in reader.fields.items()}
    if _kind(fields) == OURS:
        _convert_ours(fields, {tensor.name: tensor for tensor in reader.tensors}, folder)
    else:
        _convert_theirs(file, folder)
    return scheme(fields, reader.tensors)


def _kind(fields: Fields) -> tuple[object, ...]:
    names = ("general.architecture", "tokenizer.ggml.model", "tokenizer.ggml.pre")
    return tuple(fields.get(name) for name in names)


def scheme(fields: Fields, tensors: Sequence[gguf.ReaderTensor]) -> str:
    """Name what the file says it is, or else the type that most of its bytes have."""
    known = {kind.value: kind.name for kind in gguf.LlamaFileType}
    named = known.get(fields.get("general.file_type", -1), "")
    if named and named != gguf.LlamaFileType.GUESSED.name:
        return f"GGUF {named.removeprefix('MOSTLY_').removeprefix('ALL_')}"
    sizes: Counter[str] = Counter()
    for tensor in tensors:
        sizes[tensor.tensor_type.name] += int(tensor.n_bytes)
    return f"GGUF {sizes.most_common(1)[0][0]}"


def _convert_ours(fields: Fields, tensors: dict[str, Any], folder: Path) -> None:
    tokenizer = read_tokenizer(fields)
    model = _model(read_config(fields), tensors)
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _convert_theirs(file: Path, folder: Path) -> None:
    where = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name}
    try:
        tokenizer = AutoTokenizer.from_pretrained(**where)
        model = AutoModelForCausalLM.from_pretrained(
            **where, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True)
        )
    except (ValueError, KeyError, NotImplementedError, AttributeError) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise Unsupported(
            f"transformers cannot read {file.name}: {said}",
            hint="Use the model's Hugging Face checkpoint.",
        ) from None
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
    print(convert(Path(sys.argv[1]), Path(sys.argv[2])))  # noqa: T201 - the caller reads it
