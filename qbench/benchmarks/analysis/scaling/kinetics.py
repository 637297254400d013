"""What an attempt costs a GPU: arithmetic and memory access in one unit, eFLOPs.

Kinetics (arXiv 2506.05333): bytes read are turned into operations at the machine's ratio of the
two. As there, only generation counts: prompts are processed for nothing and weights are read for
a batch so large that a reply's share is nothing. Keys and values are 16-bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qbench.benchmarks.analysis.sums import Floats

TERA = 1e12


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A GPU."""

    name: str
    teraflops: float
    terabytes_per_s: float

    @property
    def intensity(self) -> float:
        """Operations in the time in which one byte is read."""
        return self.teraflops / self.terabytes_per_s

    def seconds(self, work: Floats) -> Floats:
        """Return seconds for TeFLOPs at full speed."""
        return np.asarray(work / self.teraflops)


MACHINES = {
    one.name: one
    for one in (
        Machine(name="b200", teraflops=4500, terabytes_per_s=8),
        Machine(name="h100", teraflops=989.4, terabytes_per_s=3.35),
    )
}
"""``b200`` as in the paper's code; ``h100``: SXM, dense bf16, by its data sheet."""


@dataclass(frozen=True, kw_only=True)
class Decoder:
    """A decoder-only transformer."""

    parameters: float
    layers: int
    heads: int
    kv_heads: int
    head_dim: int

    @property
    def width(self) -> int:
        """head_dim x layers: numbers that one head keeps of a token."""
        return self.head_dim * self.layers


@dataclass(frozen=True, kw_only=True)
class Sparsity:
    """Attention to the best ``budget`` tokens, found by looking at one in ``block``."""

    budget: int
    block: int = 0
    """0: finding them costs nothing."""


@dataclass(frozen=True, kw_only=True)
class Replies:
    """Several replies to one prompt, made together; any number of prompts."""

    prompt: Floats
    """Tokens."""
    reply: Floats
    """Tokens of each reply."""
    trials: int = 1
    """Replies to a prompt."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """TeFLOPs."""

    compute: Floats
    memory: Floats
    """Bytes of keys and values, in operations."""

    @property
    def total(self) -> Floats:
        """Both."""
        return np.asarray(self.compute + self.memory)


def attended(prompt: Floats, reply: Floats, budget: float = np.inf) -> Floats:
    """Return the tokens that all steps look at: min(budget, prompt + t) over t = 1..reply."""
    growing = np.clip(budget - prompt, 0, reply)
    return np.asarray(
        np.where(growing > 0, growing * prompt + growing * (growing + 1) / 2, 0.0)
        + np.where(reply > growing, (reply - growing) * _finite(budget), 0.0)
    )


def attended_midway(prompt: Floats, reply: Floats, budget: float = np.inf) -> Floats:
    """Return the closed form of the paper's code: each step half a token before its end.

    (2 prompt + reply) reply / 2, and with a budget B reply - max(0, B - prompt)^2 / 2. The code has
    a plus in one of two places, which overstates.
    """
    growing = np.clip(budget - prompt, 0, reply)
    return np.asarray(growing * prompt + growing**2 / 2 + (reply - growing) * _finite(budget))


def _finite(budget: float) -> float:
    return budget if np.isfinite(budget) else 0.0


def work(
    model: Decoder,
    made: Replies,
    *,
    machine: Machine = MACHINES["b200"],
    sparsity: Sparsity | None = None,
    exact: bool = True,
) -> Work:
    """Return what replies cost.

    Compute: 2 P per token and 4 H d per token looked at. Memory: 4 bytes per number kept of a
    token looked at, keys and values; the trials share what is read of the prompt, unless
    attention is sparse: then each chooses its own.

    Args:
        model: its shape.
        made: lengths in tokens.
        machine: whose intensity turns bytes into operations.
        sparsity: None for full attention.
        exact: sum over whole tokens; False for the paper's closed form, half a token less a step.

    """
    count = attended if exact else attended_midway
    seen = count(made.prompt, made.reply, sparsity.budget if sparsity else np.inf)
    shared = 0.0 if sparsity else (made.trials - 1) * made.prompt * made.reply
    looked = seen * made.trials
    compute = (
        2 * model.parameters * made.reply * made.trials + 4 * looked * model.heads * model.width
    )
    read = 4 * (looked - shared) * model.kv_heads * model.width
    if sparsity and sparsity.block:
        found = count(made.prompt, made.reply) / sparsity.block * made.trials
        compute = compute + 2 * found * model.heads * model.width
        read = read + 2 * found * model.kv_heads * model.width
    return Work(
        compute=np.asarray(compute / TERA), memory=np.asarray(read * machine.intensity / TERA)
    )
