"""Nominal peaks of devices: dense 16-bit operations a second, as their makers print them.

From the makers' data sheets by memory, bf16 (fp16 where there is none), without sparsity: good for
a share of peak, and ``--peak-tflops`` goes before it. Names are those that drivers report.
"""

from __future__ import annotations

import re

PEAKS = {
    r"(nvidia-)?h100-(80gb-)?pcie.*": 756e12,
    r"(nvidia-)?(h100|h200).*": 989e12,
    r"(nvidia-)?a100.*": 312e12,
    r"(nvidia-|tesla-)*v100.*": 125e12,
    r"(nvidia-)?(rtx-)?a6000": 154.8e12,
    r"(nvidia-)?l40s.*": 362e12,
    r"(nvidia-)?l4(-.*)?": 121e12,
    r"(nvidia-)?(geforce-)?(rtx-)?4090": 165.2e12,
}


def peak_of(hardware: str) -> float | None:
    """Return a device's operations a second by its name; None for others, all CPUs among them."""
    name = re.sub(r"[^a-z0-9]+", "-", hardware.lower()).strip("-")
    return next((peak for pattern, peak in PEAKS.items() if re.fullmatch(pattern, name)), None)
