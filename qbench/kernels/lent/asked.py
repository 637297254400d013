"""How a server is asked for lent kernels: variables that name the format it serves."""

from __future__ import annotations

EMULATE = "QBENCH_EMULATE"
"""On a CPU, by emulation."""
KERNELS = "QBENCH_KERNELS"
"""On a GPU, by qbench's own programs."""
