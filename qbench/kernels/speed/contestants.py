"""All who may take part, by name: qbench, torch's own, and vLLM's where it is there."""

from __future__ import annotations

from collections.abc import Sequence

from qbench.errors import NotFound
from qbench.kernels.speed import ours, vendor, vllm_contestants
from qbench.kernels.speed.contestant import Contestant

CONTESTANTS = (*vendor.CONTESTANTS, *ours.CONTESTANTS, *vllm_contestants.CONTESTANTS)
"""In the order in which they are timed and shown; the baseline first."""


def chosen(names: Sequence[str]) -> tuple[Contestant, ...]:
    """Return those called by ``names`` and the baseline, or all. Raises NotFound."""
    known = {one.name for one in CONTESTANTS}
    for name in names:
        if name not in known:
            raise NotFound.among("contestant", name, known)
    wanted = {*names, CONTESTANTS[0].name} if names else known
    return tuple(one for one in CONTESTANTS if one.name in wanted)
