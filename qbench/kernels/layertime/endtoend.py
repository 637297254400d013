"""Tokens a second that were measured with a whole engine: what predictions are held against."""

from __future__ import annotations

from importlib import resources
from typing import Any

import msgspec
from msgspec import Struct

from qbench.errors import StoreError
from qbench.kernels.layertime.serving import Traffic
from qbench.kernels.layertime.transformer import Transformer, transformer_of


class Served(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One format at one number of streams."""

    format: str
    kernel: str
    """The contestant whose rows are the engine's kernels: ``cublas``, ``machete``."""
    streams: int
    """Requests in flight."""
    tokens_per_second: float
    """Generated, of all streams together; median."""
    low: float | None = None
    high: float | None = None
    """Smallest and largest of the runs."""
    step_s: float | None = None
    """Seconds of one decoding step of all streams at their last context, timed by itself."""
    runs: int = 1
    doubt: str = ""
    """Why nothing is judged by it; empty: it is."""


class EndToEnd(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Measurements of one model on one GPU and engine, of requests of one shape."""

    gpu: str
    """As the driver names it."""
    engine: str
    """``vllm`` or ``embedded``."""
    engine_version: str
    model: str
    config: dict[str, Any]
    """The numbers of its ``config.json``."""
    prompt: int
    output: int
    """Tokens of every request."""
    date: str
    source: str
    """How it was measured, and where it stands."""
    rows: tuple[Served, ...]

    @property
    def transformer(self) -> Transformer:
        """The model."""
        return transformer_of(self.config, self.model)

    def traffic(self, row: Served) -> Traffic:
        """Return the requests of a row."""
        return Traffic(prompt=self.prompt, output=self.output, batch=row.streams)


def measured() -> tuple[EndToEnd, ...]:
    """Return the measurements that come with qbench, by file. Raises StoreError for a bad one."""
    room = resources.files("qbench.kernels.layertime") / "measured"
    files = sorted((f for f in room.iterdir() if f.name.endswith(".json")), key=lambda f: f.name)
    return tuple(read(file.read_bytes(), file.name) for file in files)


def read(content: bytes, name: str) -> EndToEnd:
    """Read the bytes of a file called ``name``. Raises StoreError where it is none of ours."""
    try:
        return msgspec.json.decode(content, type=EndToEnd)
    except msgspec.DecodeError as error:
        raise StoreError(
            f"{name} holds no end-to-end measurements: {error}.",
            hint="docs/layer-time.md shows such a file.",
        ) from None
