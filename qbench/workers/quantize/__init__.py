"""Makes quantized checkpoints and keeps them: ``ensure`` finds one or makes it. Needs no torch."""

from __future__ import annotations

from qbench.workers.quantize.calibration import Calibration
from qbench.workers.quantize.identity import Progress, Wish
from qbench.workers.quantize.making import Made, ensure

__all__ = ["Calibration", "Made", "Progress", "Wish", "ensure"]
