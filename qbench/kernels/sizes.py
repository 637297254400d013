"""How large a model is in a format: on disk, and in an engine's memory. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from qbench.errors import ConfigError
from qbench.kernels.formats import Format, fitted
from qbench.kernels.paths import multiplies_in
from qbench.kernels.schemes import FLOAT_BITS, FloatName


class Linear(Struct, frozen=True):
    """``count`` linear layers of one shape that a format quantizes."""

    rows: int
    columns: int
    count: int

    @property
    def weights(self) -> int:
        """Numbers in all of them."""
        return self.rows * self.columns * self.count


class Shape(Struct, frozen=True, kw_only=True):
    """A decoder-only transformer, as far as sizes go."""

    name: str
    linears: tuple[Linear, ...]
    rest: int
    """Numbers that keep the storage type: embeddings, output head, norms."""

    @property
    def parameters(self) -> int:
        """Numbers in all."""
        return self.rest + sum(linear.weights for linear in self.linears)


class Size(Struct, frozen=True, kw_only=True):
    """Bytes of a model in a format."""

    bits_per_weight: float
    """Mean over the quantized layers, scales included."""
    file_bytes: int
    """A packed checkpoint: codes, scales and the rest."""
    load_bytes: int
    """Weights in an engine that multiplies codes: what is packed stays packed."""
    emulated_bytes: int
    """Weights in the embedded engine, which keeps them dequantized."""


def shape_of(config: Mapping[str, Any], name: str) -> Shape:
    """Read the shape of a Llama-like model (gated MLP, grouped-query attention) from its config.

    Raises:
        ConfigError: numbers are missing, or there are experts, whose shapes this does not know.

    """
    told = config.get("text_config") or config
    if any("expert" in key for key in told):
        raise ConfigError(
            f"{name} is a mixture of experts, whose size cannot be told from its shape.",
            hint="Look at the checkpoint's files, or name a dense model.",
        )
    try:
        hidden, inner = told["hidden_size"], told["intermediate_size"]
        layers, heads = told["num_hidden_layers"], told["num_attention_heads"]
        words = told["vocab_size"]
    except KeyError as error:
        raise ConfigError(
            f"The config of {name} has no {error.args[0]}.",
            hint="Name a folder or a cached Hub id of a decoder-only language model.",
        ) from error
    size = told.get("head_dim") or hidden // heads
    shared = (told.get("num_key_value_heads") or heads) * size
    tied = told.get("tie_word_embeddings", False)
    return Shape(
        name=name,
        linears=(
            Linear(heads * size, hidden, layers),
            Linear(shared, hidden, 2 * layers),
            Linear(hidden, heads * size, layers),
            Linear(inner, hidden, 2 * layers),
            Linear(hidden, inner, layers),
        ),
        rest=words * hidden * (1 if tied else 2) + hidden * (2 * layers + 1),
    )


LLAMA_8B = shape_of(
    {
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "vocab_size": 128256,
    },
    "Llama-3.1-8B",
)
"""The shape in which sizes are told where no model is named."""


def size_of(fmt: Format, shape: Shape, architecture: str) -> Size:
    """Return how large ``shape`` is in ``fmt``.

    Args:
        fmt: groups are fitted to each layer.
        shape: of the model.
        architecture: of the CPU or GPU that the embedded engine runs on; decides the type in
            which dequantized weights are kept.

    Raises:
        Unsupported: a layer that the format's groups do not divide.

    """
    packed = sum(
        fitted(fmt, linear.columns).packed_bits(linear.rows, linear.columns) * linear.count
        for linear in shape.linears
    )
    quantized = sum(linear.weights for linear in shape.linears)
    storage = FLOAT_BITS[fmt.storage]
    total = (packed + shape.rest * storage + 7) // 8
    wide = FLOAT_BITS[_kept_in(fmt, architecture)]
    return Size(
        bits_per_weight=packed / quantized,
        file_bytes=total,
        load_bytes=total,
        emulated_bytes=(quantized * wide + shape.rest * storage + 7) // 8,
    )


def _kept_in(fmt: Format, architecture: str) -> FloatName:
    """LayerCast widens one layer at a time: what is kept is the storage type."""
    return fmt.storage if fmt.arithmetic else multiplies_in(fmt, architecture)
