"""A Llama-like model's own layers over static memory: single tokens, and prompts in pieces.

What transformers computes in some twenty steps a layer is eight here: norm, one product for
queries, keys and values, attention (turned, written, split and joined in one program), output,
norm, one product for gate and up, the gate, down. Numbers are rounded where transformers rounds
them. Nothing depends on lengths the host would have to know, so a step can be captured.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from msgspec import Struct
from torch import Tensor, nn
from torch.nn import functional

from qbench.errors import Unsupported
from qbench.kernels.decode.attention import attend, turn
from qbench.kernels.decode.layout import Angles, Heads, Norms, Scratch, scratch
from qbench.kernels.decode.pointwise import (
    norm,
    norm_quantize,
    silu_multiply,
    silu_quantize,
    take_likeliest,
)
from qbench.kernels.linears.fused import KINDS, Part, Whole
from qbench.kernels.linears.quant_linear import QuantLinear
from qbench.workers.embedded.cache import Slots, Step


class _Product(Struct, frozen=True):
    """A layer, and how it takes 8-bit codes where the program before it can make them."""

    layer: nn.Module
    coded: QuantLinear | None = None

    @classmethod
    def of(cls, layer: nn.Module) -> _Product:
        """Look whether ``layer``, or the product that it is a part of, takes codes."""
        inner = layer.linear if isinstance(layer, Whole) else layer
        takes = isinstance(inner, QuantLinear) and inner.taken is not None
        return cls(layer, inner if takes else None)  # type: ignore[arg-type] # takes says so

    def __call__(self, values: Tensor) -> Tensor:
        made: Tensor = self.layer(values)
        return made


class _Block(Struct, frozen=True, kw_only=True):
    """One layer of the model."""

    qkv: _Product
    out: _Product
    gate_up: _Product
    down: _Product
    before: Tensor
    """Gain of the norm before attention."""
    between: Tensor
    """Gain of the norm after it."""
    norms: Norms | None
    heads: Heads


class Decoder:
    """Computes steps with the layers of a model, without the model's own forward."""

    def __init__(self, model: nn.Module, slots: Slots, widest: int) -> None:
        """Take a model with fused products (`apply_kernels`) and memory for its sequences.

        Raises:
            Unsupported: the model is of another kind, or a layer of it is not as expected.

        """
        config: Any = model.config
        _refuse(config, slots)
        body: Any = model.model
        self._slots = slots
        self._table: Tensor = body.embed_tokens.weight
        self._blocks = [_block(layer, config) for layer in body.layers]
        self._gain: Tensor = body.norm.weight
        self._epsilon = float(config.rms_norm_eps)
        self._head: nn.Module = model.lm_head  # type: ignore[assignment] # every such model has one
        self._angles = _angles(body.rotary_emb, self._table, slots.length)
        self._scratch = _scratch(widest, self._blocks[0].heads, slots)
        self.device = slots.keys.device

    def __call__(self, ids: Tensor, slots: Tensor, positions: Tensor) -> Tensor:
        """Write the keys of ``ids`` (batch,) and return logits (batch, vocabulary).

        Args:
            ids: the last token of each sequence.
            slots: its slot, int32.
            positions: where it stands, int32; below zero for rows of filling.

        """

        def mixed(number: int, block: _Block, qkv: Tensor) -> Tensor:
            return self._attend(number, block, qkv, (slots, positions))

        logits: Tensor = self._head(self._run(ids, mixed))
        return logits

    def flat(self, step: Step, ids: Tensor, kept: Tensor) -> Tensor:
        """Compute a step of prompts, whole or in pieces, and single tokens among them.

        Args:
            step: which tokens belong to which slot.
            ids: all tokens (T,).
            kept: (n,): places of those whose logits are wanted.

        Returns:
            (n, vocabulary).

        """
        places, alone = step.places(self.device), step.alone

        def mixed(number: int, block: _Block, qkv: Tensor) -> Tensor:
            memory = (self._slots.keys[number], self._slots.values[number])
            query = turn(qkv, memory, places, self._angles, block.heads, block.norms)
            out = torch.empty_like(query)
            step.attend_pieces(number, query.transpose(0, 1), block.heads.scale, out)
            found = out.flatten(1).to(qkv.dtype)
            if alone is not None:
                rows = (places[0][alone], places[1][alone])
                found[alone] = self._attend(number, block, qkv[alone], rows)
            return found

        logits: Tensor = self._head(self._run(ids, mixed)[kept])
        return logits

    def take_likeliest(self, logits: Tensor, ids: Tensor, positions: Tensor) -> Tensor:
        """Return the likeliest tokens; set the inputs of the step that follows."""
        return take_likeliest(logits, ids, positions, self._scratch)

    def _attend(
        self, number: int, block: _Block, qkv: Tensor, places: tuple[Tensor, Tensor]
    ) -> Tensor:
        memory = (self._slots.keys[number], self._slots.values[number])
        return attend(qkv, memory, places, self._angles, block.heads, block.norms, self._scratch)

    def _run(self, ids: Tensor, mixed: Callable[[int, _Block, Tensor], Tensor]) -> Tensor:
        """Return what goes into the output head; ``mixed`` is attention."""
        stream = functional.embedding(ids, self._table)
        added: Tensor | None = None
        for number, block in enumerate(self._blocks):
            qkv, stream = self._normed(block.qkv, stream, block.before, added)
            added = block.out(mixed(number, block, qkv))
            gate_up, stream = self._normed(block.gate_up, stream, block.between, added)
            added = _gated(block.down, gate_up)
        return self._norm(stream, self._gain, added)[0]

    def _normed(
        self, product: _Product, stream: Tensor, gain: Tensor, added: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return the product of the normed sum, and the sum."""
        coded = product.coded
        if coded is None or coded.taken is None or added is None:
            normed, stream = self._norm(stream, gain, added)
            return product(normed), stream
        codes, scale, total = norm_quantize(added, gain, self._epsilon, coded.taken, stream)
        return coded.of_codes(codes, scale, stream.dtype), total

    def _norm(self, stream: Tensor, gain: Tensor, added: Tensor | None) -> tuple[Tensor, Tensor]:
        if added is None:
            return norm(stream, gain, self._epsilon)
        return norm(added, gain, self._epsilon, stream)


def _gated(product: _Product, gate_up: Tensor) -> Tensor:
    """Return the product of what the gate lets through."""
    coded = product.coded
    if coded is None or coded.taken is None:
        return product(silu_multiply(gate_up))
    codes, scale = silu_quantize(gate_up, coded.taken)
    return coded.of_codes(codes, scale, gate_up.dtype)


def _refuse(config: Any, slots: Slots) -> None:
    """Refuse models that compute otherwise than the steps here."""
    kind = getattr(config, "model_type", "")
    windows = set(getattr(config, "layer_types", None) or ["full_attention"]) != {"full_attention"}
    if kind == "mistral":
        windows = bool(getattr(config, "sliding_window", None))
    rope = getattr(config, "rope_parameters", None) or {}
    dynamic = str(rope.get("rope_type", "default")) in ("dynamic", "longrope")
    if kind not in KINDS or windows or dynamic or config.hidden_act != "silu":
        raise Unsupported(
            f"Models of the kind {kind!r} with these settings have no decode path here.",
            hint="The eager path serves them.",
        )
    if slots.keys.dtype != slots.values.dtype:
        raise Unsupported("Keys and values differ in type.", hint="The eager path serves them.")


def _block(layer: Any, config: Any) -> _Block:
    mixer, net = layer.self_attn, layer.mlp
    named = getattr(mixer, "q_norm", None)
    return _Block(
        qkv=_Product.of(_whole(mixer.q_proj)),
        out=_Product.of(mixer.o_proj),
        gate_up=_Product.of(_whole(net.gate_proj)),
        down=_Product.of(net.down_proj),
        before=layer.input_layernorm.weight,
        between=layer.post_attention_layernorm.weight,
        norms=None if named is None else Norms(named.weight, mixer.k_norm.weight),
        heads=Heads(
            queries=config.num_attention_heads,
            shared=config.num_key_value_heads,
            size=mixer.head_dim,
            scale=float(mixer.scaling),
            epsilon=float(config.rms_norm_eps),
        ),
    )


def _whole(layer: nn.Module) -> Whole:
    """Return the product that ``layer`` is a part of."""
    if not isinstance(layer, Part):
        raise Unsupported(
            "Layers that take the same input are not one product here.",
            hint="The eager path serves them.",
        )
    return layer.whole


def _angles(rotary: Any, table: Tensor, length: int) -> Angles:
    """Return the model's own angles of all positions."""
    positions = torch.arange(length, device=table.device)[None]
    with torch.no_grad():
        cosine, sine = rotary(table[:1], positions)
    return Angles(cosine[0].contiguous(), sine[0].contiguous())


def _scratch(widest: int, heads: Heads, slots: Slots) -> Scratch | None:
    device = slots.keys.device
    return None if device.type == "cpu" else scratch(widest, heads, device)
