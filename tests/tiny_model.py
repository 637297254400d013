"""A tiny random Llama with a byte tokenizer, saved like a real checkpoint: weights say nothing,
but every path that a real model takes is taken."""

from pathlib import Path

import torch
from tokenizers import pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM

from qbench.workers.gguf_import import read_tokenizer

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
PLAIN_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def gguf_fields() -> dict[str, object]:
    """Return what a GGUF file says of a byte-level tokenizer without merges."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": [*SPECIAL, *alphabet],
        "tokenizer.ggml.token_type": [3] * len(SPECIAL) + [1] * len(alphabet),
        "tokenizer.ggml.merges": [],
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.chat_template": PLAIN_TEMPLATE,
        "llama.context_length": 2048,
    }


def save_tiny_model(folder: Path, *, seed: int = 0, context: int = 2048) -> Path:
    """Write the checkpoint; the same seed gives the same weights."""
    torch.manual_seed(seed)
    tokenizer = read_tokenizer(gguf_fields())
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context,
        tie_word_embeddings=True,
        initializer_range=0.2,
        bos_token_id=1,
        eos_token_id=2,
    )
    model = LlamaForCausalLM(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
