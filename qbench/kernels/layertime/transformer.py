"""A decoder-only transformer as an engine runs it: its products, its cache, its small work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from qbench.kernels.sizes import Shape, shape_of
from qbench.kernels.speed.shapes import Decoder, Layer

NUMBER_BYTES = 2
"""Of activations, and of keys and values: 16 bits in every format here."""


class Transformer(Struct, frozen=True, kw_only=True):
    """A Llama-like model: grouped-query attention, gated MLP, RMSNorm."""

    decoder: Decoder
    shape: Shape
    """For the sizes of its weights."""

    @property
    def name(self) -> str:
        """Of the model."""
        return self.decoder.name

    @property
    def products(self) -> tuple[Layer, ...]:
        """Those that a format quantizes."""
        return tuple(layer for layer in self.decoder.linears if layer.quantized)

    @property
    def head(self) -> Layer:
        """Hidden state to words: 16 bits in every format."""
        return next(layer for layer in self.decoder.linears if not layer.quantized)

    @property
    def weights(self) -> int:
        """Numbers in the products and the head."""
        return sum(layer.rows * layer.columns * layer.count for layer in self.decoder.linears)

    @property
    def cache_bytes(self) -> int:
        """Keys and values of one token."""
        one = self.decoder
        return 2 * one.layers * one.shared_heads * one.head * NUMBER_BYTES

    @property
    def small_bytes(self) -> int:
        """Bytes that one token moves in all layers outside of products and cache reads.

        Numbers per layer: two norms with their residual read 2 and write 2 hidden states each;
        rotation reads and writes queries, keys and values; attention reads queries and writes its
        output; the gate reads 2 and writes 1 inner state.
        """
        one = self.decoder
        wide = (one.heads + 2 * one.shared_heads) * one.head
        numbers = 8 * one.hidden + 2 * wide + 2 * one.heads * one.head + 3 * one.inner
        return numbers * one.layers * NUMBER_BYTES

    @property
    def rounding_bytes(self) -> int:
        """Bytes that one token's rounding to 8 bits adds to ``small_bytes`` in all layers.

        As engines fuse it: norms and the gate write 8 bits instead of 16, which saves a byte a
        number; what attention gives is read in 16 bits and written in 8 by a pass of its own.
        """
        one = self.decoder
        return (3 * one.heads * one.head - 2 * one.hidden - one.inner) * one.layers

    def attention_flops(self, prompt: float, cached: float = 0) -> float:
        """Operations of causal attention over one prompt, after ``cached`` tokens.

        Per layer ``4 heads head_dim`` of each pair of tokens, of which half are masked in the
        prompt: p (p / 2 + cached) pairs.
        """
        one = self.decoder
        return 4.0 * prompt * (prompt / 2 + cached) * one.heads * one.head * one.layers


def transformer_of(config: Mapping[str, Any], name: str) -> Transformer:
    """Read a transformer from its ``config.json``. Raises ConfigError as ``shape_of``."""
    told, shape = config.get("text_config") or config, shape_of(config, name)
    heads = told["num_attention_heads"]
    decoder = Decoder(
        name=name,
        hidden=told["hidden_size"],
        inner=told["intermediate_size"],
        layers=told["num_hidden_layers"],
        heads=heads,
        shared_heads=told.get("num_key_value_heads") or heads,
        words=told["vocab_size"],
        head=told.get("head_dim") or told["hidden_size"] // heads,
    )
    return Transformer(decoder=decoder, shape=shape)
