"""Nominal peaks and memory of devices: dense 16-bit operations a second, as makers print them.

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


MEMORY = {
    r"h100.*": 80e9,
    r"h200.*": 141e9,
    r"gh200.*": 96e9,
    r"b200.*": 180e9,
    r"(rtx-)?a6000": 48e9,
    r"(a40|l40s).*": 48e9,
    r"l4": 24e9,
    r"a10": 24e9,
    r"(geforce-)?(rtx-)?4090": 24e9,
}
"""Bytes of a device's memory where its name does not say them: the smallest sold as such."""


def memory_of(hardware: str) -> float | None:
    """Return the bytes of a GPU's memory by its name; None for one that is not known.

    The size in the name goes first, in powers of ten: drivers report somewhat more.
    """
    name = _plain(hardware)
    if told := re.search(r"(?<![a-z0-9])(\d+)gb(?![a-z0-9])", name):
        return 1e9 * int(told[1])
    short = name.removeprefix("nvidia-")
    return next((size for pattern, size in MEMORY.items() if re.fullmatch(pattern, short)), None)


def peak_of(hardware: str) -> float | None:
    """Return a device's operations a second by its name; None for others, all CPUs among them."""
    name = _plain(hardware)
    return next((peak for pattern, peak in PEAKS.items() if re.fullmatch(pattern, name)), None)


def _plain(hardware: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", hardware.lower()).strip("-")
