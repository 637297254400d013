"""Seconds of a pass through a model, of a batch of requests, and what they are made of.

A pass with M tokens takes the products of all layers with M rows, the head's product for one row a
sequence, the cache's bytes at the measured bandwidth, the small work's bytes at the same, and an
overhead: launches, norms, sampling, the engine's own CPU. No tensor parallelism.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from msgspec import Struct

from qbench.kernels.layertime.curve import Ceilings, Curve, Seconds
from qbench.kernels.layertime.transformer import Transformer
from qbench.kernels.speed.shapes import Layer

ATTENTION_SHARE = 0.5
"""Of the products' rate that attention over a prompt is taken to reach. FlashAttention-3 (arXiv
2407.08608) reports up to 75 % of an H100's peak; less at short prompts, where it matters least."""

CHUNK = 8192
"""Most prompt tokens of a pass: the default of vLLM's server."""


class Overhead(Struct, frozen=True, kw_only=True):
    """What neither bytes nor operations explain, of an engine on a machine."""

    per_layer: float = 0.0
    """Seconds of each layer in each decoding step; a prompt's long kernels hide their starts."""
    per_cached_byte: float = 0.0
    """Seconds of each byte of keys and values that a step reads, beyond the GPU's bandwidth."""
    per_prompt_token: float = 0.0
    """Seconds of each token of a prompt."""


NO_OVERHEAD = Overhead()


class Spent(Struct, frozen=True, kw_only=True):
    """Seconds and what they are made of; they add up and scale."""

    products: float = 0.0
    head: float = 0.0
    attention: float = 0.0
    small: float = 0.0
    overhead: float = 0.0
    doubt: float = 0.0
    """Standard error of the products and the head, errors of one curve taken as one."""
    extrapolated: float = 0.0
    """Seconds of products whose shape was not measured."""

    @property
    def seconds(self) -> float:
        """All of them."""
        return self.products + self.head + self.attention + self.small + self.overhead

    def __add__(self, other: Spent) -> Spent:
        mine, theirs = (one.as_tuple() for one in (self, other))
        return Spent.of(tuple(a + b for a, b in zip(mine, theirs, strict=True)))

    def times(self, factor: float) -> Spent:
        """Return the same so many times."""
        return Spent.of(tuple(factor * one for one in self.as_tuple()))

    def as_tuple(self) -> tuple[float, ...]:
        """Return the fields in order."""
        return tuple(getattr(self, name) for name in self.__struct_fields__)

    @classmethod
    def of(cls, values: tuple[float, ...]) -> Spent:
        """Make it of the fields in order."""
        return cls(**dict(zip(cls.__struct_fields__, values, strict=True)))


class Traffic(Struct, frozen=True, kw_only=True):
    """Requests that are always ``batch`` at a time."""

    prompt: int
    """Tokens of each request that are to be read."""
    output: int
    """Generated tokens of each."""
    batch: int = 1
    cached: int = 0
    """Tokens of each request that the cache holds already: an agent's history."""

    @property
    def context(self) -> float:
        """Mean tokens in the cache of a sequence while its tokens are generated."""
        return self.cached + self.prompt + self.output / 2

    @property
    def longest(self) -> int:
        """Tokens in the cache of a sequence when its last token is made."""
        return self.cached + self.prompt + self.output


@dataclass(frozen=True, kw_only=True)
class LayerTime:
    """One model in one format on one GPU."""

    model: Transformer
    curve: Curve
    """Of the format's kernels."""
    plain: Curve
    """Of 16-bit products: the head."""
    ceilings: Ceilings
    overhead: Overhead = NO_OVERHEAD
    apart: bool = False
    """Whether the rows leave out that inputs are rounded: its bytes are then added."""

    def decode(self, batch: int, context: float) -> Spent:
        """Return one step in which ``batch`` sequences of ``context`` tokens get a token each."""
        read = batch * context * self.model.cache_bytes
        each = 1 / self.ceilings.read + self.overhead.per_cached_byte
        own = self.overhead.per_layer * self.model.decoder.layers
        step = self._pass(tokens=batch, sequences=batch)
        return step + Spent(attention=read * each, overhead=own)

    def prefill(self, prompt: int, batch: int, cached: int = 0) -> Spent:
        """Return the passes that read ``batch`` prompts, ``CHUNK`` tokens at a time.

        With ``cached`` tokens of each in the cache already, which attention looks at, too.
        """
        total = prompt * batch
        passes = math.ceil(total / CHUNK)
        one = self._pass(tokens=total / passes, sequences=batch / passes)
        rate = ATTENTION_SHARE * self.ceilings.rates["bf16"]
        looked = batch * self.model.attention_flops(prompt, cached) / rate
        own = total * self.overhead.per_prompt_token
        return one.times(passes) + Spent(attention=looked, overhead=own)

    def batch(self, traffic: Traffic) -> Spent:
        """Return a batch of requests from the first prompt to the last token.

        The prompt's pass gives the first token; every other token is a step at the mean context.
        """
        return self.reading(traffic) + self.writing(traffic)

    def reading(self, traffic: Traffic) -> Spent:
        """Return what a batch's prompts take."""
        return self.prefill(traffic.prompt, traffic.batch, traffic.cached)

    def writing(self, traffic: Traffic) -> Spent:
        """Return what a batch's tokens take after the first of each."""
        return self.decode(traffic.batch, traffic.context).times(traffic.output - 1)

    def tokens_per_second(self, traffic: Traffic) -> float:
        """Return generated tokens a second of all sequences together."""
        return traffic.batch * traffic.output / self.batch(traffic).seconds

    def _pass(self, *, tokens: float, sequences: float) -> Spent:
        each = [(one, self._product(one, tokens)) for one in self.model.products]
        head = self.plain.seconds(*_sides(self.model.head), sequences)
        products = sum(one.count * t.value for one, t in each)
        doubt = sum(one.count * t.value * t.error for one, t in each)
        guessed = sum(one.count * t.value for one, t in each if t.extrapolated)
        moved = tokens * self.model.small_bytes + self._rounding(tokens)
        return Spent(
            products=products,
            head=head.value,
            small=moved / self.ceilings.bandwidth,
            doubt=math.hypot(doubt, head.value * head.error),
            extrapolated=guessed + (head.value if head.extrapolated else 0.0),
        )

    def _product(self, one: Layer, tokens: float) -> Seconds:
        return self.curve.seconds(*_sides(one), tokens)

    def _rounding(self, tokens: float) -> float:
        """Return the bytes that rounding inputs adds to the small work."""
        return tokens * self.model.rounding_bytes if self.apart else 0.0


def _sides(one: Layer) -> tuple[int, int]:
    return one.rows, one.columns


def largest_batch(memory: float, weights: float, cache_bytes: float, tokens: int) -> int:
    """Return how many sequences of ``tokens`` fit beside the weights; 0 where none does.

    Args:
        memory: bytes that weights and cache may take.
        weights: bytes.
        cache_bytes: of one token.
        tokens: of each sequence, prompt and reply.

    """
    return max(0, math.floor((memory - weights) / (cache_bytes * tokens)))
