"""What makers say of their devices: board power and dense 16-bit operations a second.

Nominal values from the makers' data sheets, per device; a measured or given value goes before
them. Names are the price book's.
"""

from __future__ import annotations

import re

from msgspec import Struct


class Sheet(Struct, frozen=True):
    """One kind of device."""

    pattern: str
    """Of its normalised name."""
    watts: float
    """Board power limit."""
    peak: float
    """Dense bf16 (fp16 where there is no bf16) operations a second."""


SHEETS = (
    Sheet(r"(nvidia-)?h100-pcie.*|(nvidia-)?h100-80gb-pcie", 350, 756e12),
    Sheet(r"(nvidia-)?h100.*", 700, 989e12),
    Sheet(r"(nvidia-)?h200.*", 700, 989e12),
    Sheet(r"(nvidia-)?b200.*", 1000, 2250e12),
    Sheet(r"(nvidia-)?a100-.*pcie.*", 300, 312e12),
    Sheet(r"(nvidia-)?a100.*", 400, 312e12),
    Sheet(r"(nvidia-|tesla-)*v100.*", 300, 125e12),
    Sheet(r"(nvidia-)?(rtx-)?a6000", 300, 154.8e12),
    Sheet(r"(nvidia-)?l40s.*", 350, 362e12),
    Sheet(r"(nvidia-)?l4(-.*)?", 72, 121e12),
    Sheet(r"(nvidia-)?(geforce-)?(rtx-)?4090", 450, 165.2e12),
)


def sheet_of(hardware: str) -> Sheet | None:
    """Return what is known of a device by its name; None for others, all CPUs among them."""
    name = re.sub(r"[^a-z0-9]+", "-", hardware.lower()).strip("-")
    return next((one for one in SHEETS if re.fullmatch(one.pattern, name)), None)
