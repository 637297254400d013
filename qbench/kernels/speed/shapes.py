"""Linear layers of models that are served, as engines multiply them. Needs no torch.

Engines stack the weights of q, k and v, and of gate and up, and multiply once: the layers here are
those products. Sizes are from the models' own ``config.json``.
"""

from __future__ import annotations

from msgspec import Struct

from qbench.errors import NotFound

TOKENS = tuple(1 << power for power in range(14))
"""Rows of x that are timed: 1 is one stream's decoding, 8192 a prefill."""


class Layer(Struct, frozen=True, kw_only=True):
    """A linear layer: x (M, columns) becomes (M, rows)."""

    model: str
    layer: str
    """``qkv``, ``o``, ``gate_up``, ``down`` or ``lm_head``."""
    rows: int
    """N: outputs."""
    columns: int
    """K: inputs."""
    count: int
    """How many of them one token passes through."""
    quantized: bool = True
    """Whether a format quantizes it; the output head stays as it is stored."""


class Decoder(Struct, frozen=True, kw_only=True):
    """The sizes of a decoder with grouped-query attention and a gated MLP."""

    name: str
    hidden: int
    inner: int
    layers: int
    heads: int
    shared_heads: int
    """Heads of keys, and of values."""
    words: int
    """Of the vocabulary."""
    head: int = 128

    @property
    def linears(self) -> tuple[Layer, ...]:
        """The products of one token, in the order in which it meets them."""
        across = self.heads * self.head
        qkv = across + 2 * self.shared_heads * self.head
        return (
            self._layer("qkv", qkv, self.hidden),
            self._layer("o", self.hidden, across),
            self._layer("gate_up", 2 * self.inner, self.hidden),
            self._layer("down", self.hidden, self.inner),
            Layer(
                model=self.name,
                layer="lm_head",
                rows=self.words,
                columns=self.hidden,
                count=1,
                quantized=False,
            ),
        )

    def _layer(self, name: str, rows: int, columns: int) -> Layer:
        return Layer(model=self.name, layer=name, rows=rows, columns=columns, count=self.layers)


_DECODERS = (
    Decoder(
        name="llama-3.1-8b",
        hidden=4096,
        inner=14336,
        layers=32,
        heads=32,
        shared_heads=8,
        words=128256,
    ),
    Decoder(
        name="llama-3.1-70b",
        hidden=8192,
        inner=28672,
        layers=80,
        heads=64,
        shared_heads=8,
        words=128256,
    ),
    Decoder(
        name="qwen3-32b",
        hidden=5120,
        inner=25600,
        layers=64,
        heads=64,
        shared_heads=8,
        words=151936,
    ),
)
DECODERS: dict[str, Decoder] = {decoder.name: decoder for decoder in _DECODERS}
"""By name."""


def get_decoder(name: str) -> Decoder:
    """Return the decoder called ``name``, in any case. Raises NotFound with close names."""
    found = DECODERS.get(name.strip().lower())
    if found is None:
        raise NotFound.among("model with timed layers", name, DECODERS)
    return found
