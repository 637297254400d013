"""Where programs that share a tile leave their sums: kept per device and stream, never cleared.

Counters of arrivals must be zero before a program runs, and each program leaves them so. They are
cleared once, when a device is first used; that cannot happen inside the capture of a CUDA graph.
"""

from __future__ import annotations

import torch
from msgspec import Struct
from torch import Tensor

from qbench.errors import Unsupported

COUNTERS = 4096
"""Tiles of a launch that may be shared."""
STREAMS = 64
"""Streams of a device that find their counters cleared."""
PARTS = 4 << 20
"""Sums that a stream has room for: 16 MiB."""


class Workspace(Struct, frozen=True, kw_only=True):
    """Room of one stream."""

    parts: Tensor
    """(PARTS,) of 32 bits, undefined."""
    arrivals: Tensor
    """(COUNTERS,) int32, zeros between launches."""


_counters: dict[torch.device, Tensor] = {}
_rooms: dict[tuple[torch.device, int], Workspace] = {}


def workspace(device: torch.device) -> Workspace:
    """Return the room of the current stream of ``device``.

    Raises:
        Unsupported: a graph is being captured on a device that nothing ran on, or too many streams.

    """
    stream = torch.cuda.current_stream(device).cuda_stream if device.type == "cuda" else 0
    room = _rooms.get((device, stream))
    if room is None:
        room = _rooms[device, stream] = _new(device)
    return room


def _new(device: torch.device) -> Workspace:
    if device not in _counters:
        _clear(device)
    taken = sum(1 for known, _ in _rooms if known == device)
    if taken == STREAMS:
        raise Unsupported(
            f"More than {STREAMS} streams of {device} multiply quantized inputs.",
            hint="Use fewer streams: each keeps a workspace.",
        )
    parts = torch.empty(PARTS, dtype=torch.int32, device=device)
    return Workspace(parts=parts, arrivals=_counters[device][taken])


def _clear(device: torch.device) -> None:
    if device.type == "cuda" and torch.cuda.is_current_stream_capturing():
        raise Unsupported(
            "The first product of a device cannot be captured in a CUDA graph.",
            hint="Run it once before the capture, as warm-up.",
        )
    _counters[device] = torch.zeros(STREAMS, COUNTERS, dtype=torch.int32, device=device)
    if device.type == "cuda":
        torch.cuda.synchronize(device)  # other streams read them
