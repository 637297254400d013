"""One new token of every sequence in plain torch: the CPU's way, and the truth for programs."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from qbench.kernels.decode.layout import Angles, Heads, Norms


def attend(
    qkv: Tensor,
    memory: tuple[Tensor, Tensor],
    places: tuple[Tensor, Tensor],
    angles: Angles,
    heads: Heads,
    norms: Norms | None = None,
) -> Tensor:
    """Turn, write and attend; see ``attention.attend``."""
    (keys, values), (slots, positions) = memory, places
    live = positions >= 0
    out = qkv.new_zeros(qkv.shape[0], heads.queries * heads.size)
    slots, positions = slots[live], positions[live]
    query = turn(qkv[live], memory, (slots, positions), angles, heads, norms)
    found = [
        _alone(query[row], keys[slot, :, : end + 1], values[slot, :, : end + 1], heads.scale)
        for row, (slot, end) in enumerate(zip(slots.tolist(), positions.tolist(), strict=True))
    ]
    if found:
        out[live] = torch.stack(found).flatten(1).to(qkv.dtype)
    return out


def turn(
    qkv: Tensor,
    memory: tuple[Tensor, Tensor],
    places: tuple[Tensor, Tensor],
    angles: Angles,
    heads: Heads,
    norms: Norms | None = None,
) -> Tensor:
    """Turn and write; see ``attention.turn``."""
    (keys, values), (slots, positions) = memory, (places[0].long(), places[1].long())
    sizes = [heads.queries, heads.shared, heads.shared]
    query, key, value = torch.split(qkv.view(-1, sum(sizes), heads.size), sizes, dim=1)
    if norms is not None:
        query = rms_norm(query, norms.query, heads.epsilon)
        key = rms_norm(key, norms.key, heads.epsilon)
    keys[slots, :, positions] = turned(key, angles, positions).to(keys.dtype)
    values[slots, :, positions] = value.to(values.dtype)
    return turned(query, angles, positions).to(keys.dtype)


def _alone(query: Tensor, keys: Tensor, values: Tensor, scale: float) -> Tensor:
    """Attend one token (heads, size) over (key-value heads, length, size)."""
    found = F.scaled_dot_product_attention(
        query[None, :, None], keys[None], values[None], scale=scale, enable_gqa=True
    )
    return found[0, :, 0]


def turned(values: Tensor, angles: Angles, positions: Tensor) -> Tensor:
    """Return (tokens, heads, size) turned by rotary embedding, rounded where transformers does."""
    cosine, sine = angles.cosine[positions][:, None], angles.sine[positions][:, None]
    low, high = values.chunk(2, dim=-1)
    return values * cosine + torch.cat([-high, low], dim=-1) * sine


def rms_norm(values: Tensor, gain: Tensor, epsilon: float) -> Tensor:
    """Return ``values`` over the root of their mean square, times ``gain``."""
    wide = values.float()
    wide = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + epsilon)
    return gain * wide.to(values.dtype)


def norm(
    values: Tensor, gain: Tensor, epsilon: float, residual: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Add ``residual`` where there is one; return the normed sum and the sum itself."""
    total = values if residual is None else residual + values
    return rms_norm(total, gain, epsilon), total


def silu_multiply(gate_up: Tensor) -> Tensor:
    """Return SiLU of the first half of the columns times the second half."""
    gate, up = gate_up.chunk(2, dim=-1)
    return F.silu(gate) * up


def take_likeliest(logits: Tensor, ids: Tensor, positions: Tensor) -> Tensor:
    """Find and advance; see ``pointwise.take_likeliest``."""
    found = logits.argmax(-1).to(torch.int32)
    ids.copy_(found)
    positions.add_((positions >= 0).to(torch.int32))
    return found
