"""Attention over memory that is reserved once: of one new token, and what prompts need before it.

Nothing here waits for the device or depends on lengths the host would have to know, so a step can
be captured in a CUDA graph and replayed while sequences grow.
"""

from __future__ import annotations

from torch import Tensor

from qbench.kernels.decode import plain
from qbench.kernels.decode.layout import Angles, Heads, Norms, Scratch
from qbench.kernels.decode.ways import program


def attend(  # noqa: PLR0913, PLR0917 - memory, places and what the layer is
    qkv: Tensor,
    memory: tuple[Tensor, Tensor],
    places: tuple[Tensor, Tensor],
    angles: Angles,
    heads: Heads,
    norms: Norms | None = None,
    spare: Scratch | None = None,
) -> Tensor:
    """Turn queries and keys, write keys and values, and attend each sequence's own.

    Args:
        qkv: (batch, queries + keys + values of all heads).
        memory: keys and values of this layer, (slots, key-value heads, length, size) each; row b
            is written at its slot and position.
        places: slots and positions (batch,), int32 on the device; a position below zero marks a
            row of filling, whose output is zero.
        angles: rotary embedding.
        heads: their shapes.
        norms: of queries and keys, where the model has them.
        spare: scratch memory; needed on a GPU.

    Returns:
        (batch, query heads x size).

    """
    if spare is None or not qkv.is_cuda:
        return plain.attend(qkv, memory, places, angles, heads, norms)
    found: Tensor = program("attend")(qkv, memory, places, angles, heads, norms, spare)
    return found


def turn(
    qkv: Tensor,
    memory: tuple[Tensor, Tensor],
    places: tuple[Tensor, Tensor],
    angles: Angles,
    heads: Heads,
    norms: Norms | None = None,
) -> Tensor:
    """Turn queries and keys of any tokens, and write keys and values at their places.

    Arguments as ``attend``'s, without filling. Returns queries (tokens, query heads, size) in the
    memory's type.
    """
    if not qkv.is_cuda:
        return plain.turn(qkv, memory, places, angles, heads, norms)
    found: Tensor = program("turn")(qkv, memory, places, angles, heads, norms)
    return found
