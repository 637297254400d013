"""A GGUF file of a tiny model with random weights, in an architecture of your choosing."""

from pathlib import Path

import gguf
import numpy as np

HIDDEN, HEADS, LAYERS, INNER = 64, 4, 2, 128


def save_tiny_gguf(
    file: Path,
    *,
    architecture: str = "qwen2",
    kind: gguf.GGMLQuantizationType = gguf.GGMLQuantizationType.Q8_0,
    file_type: gguf.LlamaFileType | None = gguf.LlamaFileType.MOSTLY_Q8_0,
) -> Path:
    tokens = [*sorted(_bytes()), "ab", "<|end|>"]
    writer = gguf.GGUFWriter(file, architecture)
    writer.add_context_length(512)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS // 2)
    writer.add_rope_freq_base(10_000.0)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_vocab_size(len(tokens))
    if file_type is not None:
        writer.add_file_type(file_type)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types([1] * (len(tokens) - 1) + [3])
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(len(tokens) - 1)
    writer.add_bos_token_id(len(tokens) - 1)
    _weights(writer, len(tokens), kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def _bytes() -> list[str]:
    """Byte-level BPE's name of every byte."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [code for code in range(256) if code not in printable]
    return [chr(code) for code in printable] + [chr(256 + n) for n in range(len(others))]


def _weights(writer: gguf.GGUFWriter, words: int, kind: gguf.GGMLQuantizationType) -> None:
    rng = np.random.default_rng(0)
    half = HIDDEN // 2

    def add(name: str, *shape: int) -> None:
        values = (0.05 * rng.standard_normal(shape)).astype(np.float32)
        if len(shape) == 1:
            writer.add_tensor(name, values + name.endswith("norm.weight"))
        else:
            writer.add_tensor(name, gguf.quantize(values, kind), raw_dtype=kind)

    add("token_embd.weight", words, HIDDEN)
    add("output_norm.weight", HIDDEN)
    add("output.weight", words, HIDDEN)
    for layer in range(LAYERS):
        start = f"blk.{layer}."
        add(f"{start}attn_norm.weight", HIDDEN)
        add(f"{start}ffn_norm.weight", HIDDEN)
        for part, rows in (("q", HIDDEN), ("k", half), ("v", half)):
            add(f"{start}attn_{part}.weight", rows, HIDDEN)
            add(f"{start}attn_{part}.bias", rows)
        add(f"{start}attn_output.weight", HIDDEN, HIDDEN)
        add(f"{start}ffn_gate.weight", INNER, HIDDEN)
        add(f"{start}ffn_up.weight", INNER, HIDDEN)
        add(f"{start}ffn_down.weight", HIDDEN, INNER)
