"""What a maker is told and what it tells: the contract between qbench and who quantizes.

A maker is a program that is run as ``PROGRAM job.json``. It reads a ``Job``, writes weights and
``config.json`` into the job's ``out`` folder, prints JSON lines (``Told``) on stdout and ends 0.
When it ends otherwise, the last line of stderr is the reason. Nothing else on stdout counts.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct


class Job(Struct, frozen=True, kw_only=True):
    """One checkpoint to be made; written as ``job.json``."""

    checkpoint: str
    """Folder of the source, in Hugging Face layout."""
    out: str
    """Folder to be written; it exists and is empty."""
    format: str
    recipe: str
    storage: str = "bfloat16"
    """Type of everything that is not quantized."""
    calibration: str = ""
    """File of JSON lines, each a list of token ids; empty for recipes without data."""
    probe: str = ""
    """Likewise: held-out text on which the error of each decoder layer is measured."""
    seed: int = 0
    layers: dict[str, str] = {}
    """Regular expression, searched for in a layer's name -> format, ``bf16`` keeps; first wins."""
    low_rank: int = 0
    """Rank of a correction of the error that is kept beside each layer; 0: none."""
    options: dict[str, Any] = {}
    """Of the recipe, all of them, defaults included."""
    schemes: dict[str, dict[str, dict[str, Any]]] = {}
    """Format -> columns of a layer -> its scheme in the words of compressed-tensors. A format
    that does not fit some number of columns has no entry for it."""


class Told(Struct, frozen=True, kw_only=True):
    """One line of a maker's stdout."""

    step: int = 0
    of: int = 0
    what: str = ""
    """What is being done: ``model.layers.3``."""
    errors: dict[str, float | None] = {}
    """Once, at the end: error of each decoder layer's output on ``probe``, given the unquantized
    model's input: ``|quantized(h) - layer(h)| / |layer(h) - h|``, Frobenius norms. None: NaN
    or infinity."""
