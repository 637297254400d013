"""What is to be timed, as a command line says it. Needs no torch."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from qbench.kernels.speed.shapes import DECODERS, TOKENS, Layer, get_decoder


class Choice(Struct, frozen=True, kw_only=True):
    """What is to be timed, and where rows go."""

    file: Path
    """Rows are appended to it, and what it holds is not timed again."""
    models: tuple[str, ...] = tuple(DECODERS)
    layers: tuple[str, ...] = ()
    """By name; empty: all."""
    formats: tuple[str, ...] = ()
    """Empty: all that have products."""
    tokens: tuple[int, ...] = TOKENS
    contestants: tuple[str, ...] = ()
    """Empty: all."""
    minutes: float = 30.0
    seed: int = 0
    jobs: int = 1
    """Processes that compile ahead; 1: programs are compiled as they are timed."""
    fresh: bool = False
    """Time again what the file holds."""

    def shapes(self) -> tuple[Layer, ...]:
        """Return the layers, model by model. Raises NotFound."""
        decoders = [get_decoder(name) for name in self.models]
        return tuple(
            layer
            for decoder in decoders
            for layer in decoder.linears
            if not self.layers or layer.layer in self.layers
        )
