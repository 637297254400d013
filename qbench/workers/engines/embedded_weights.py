"""Which weights the embedded engine serves for a format: the model's, a named folder's, or made."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from qbench.errors import Unsupported
from qbench.kernels.formats import Format, get_format
from qbench.service.domain import System
from qbench.workers.checkpoints import Checkpoint, resolve
from qbench.workers.engines import Say
from qbench.workers.engines.options import read_options
from qbench.workers.engines.schemes import Scheme, contradiction, find_config, read_scheme
from qbench.workers.quantize import ensure
from qbench.workers.quantize.cache import MANIFEST, Manifest, can_make

ON_LOAD = "rtn"
"""The recipe that needs no checkpoint: codes are rounded to nearest while the model is loaded."""


class EmbeddedOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``System.options`` of this engine."""

    device: str = ""
    """``cpu`` or ``cuda``; empty: cuda where there is one."""
    context: int = 4096
    """Longest prompt and reply together, in tokens."""
    emulate: bool = False
    """Multiply numbers, not codes, on a GPU too."""
    eager: bool = False
    """No CUDA graphs."""
    threads: int = 0
    """CPU threads; 0: as many as decode soonest, measured at the start."""
    checkpoint: dict[str, str] = {}
    """Folder or Hub id of quantized weights, by format."""
    recipe: str | dict[str, str] = {}
    """How weights are made where no checkpoint is named: for all formats, or by format."""

    @classmethod
    def of(cls, system: System) -> EmbeddedOptions:
        """Read a system's options. Raises ConfigError."""
        return read_options(system, cls)

    def recipe_of(self, fmt: Format) -> str:
        """Return the recipe of a format: the one that was chosen, else the format's own."""
        if isinstance(self.recipe, str):
            return self.recipe
        return self.recipe.get(fmt.name, fmt.recipe)


class Weights(Struct, frozen=True, kw_only=True):
    """Weights that will be served."""

    checkpoint: Checkpoint
    scheme: Scheme
    """What their config says; unquantized where codes are made while loading."""
    made: str = ""
    """How `qbench quantize` made them, calibration included; empty where it did not."""

    @property
    def told(self) -> str:
        """What a row says of them."""
        parts = (self.scheme.label if self.scheme.method else "", self.checkpoint.origin, self.made)
        return ", ".join(part for part in parts if part)


def find_weights(system: System, options: EmbeddedOptions, say: Say) -> Weights:
    """Find, fetch or make the weights for ``system``.

    Named for the format; the model itself, where codes are made while loading or where it is in the
    format already; else made by the recipe, once, and kept.

    Raises:
        EngineStartError: nowhere to be had.
        Unsupported: they hold another format than the one that was asked for.
        QuantizationFailed: they could not be made.

    """
    fmt = get_format(system.format)
    if named := options.checkpoint.get(fmt.name):
        return checked(resolve(named, say), fmt)
    source = resolve(system.model, say)
    weights = checked(source, fmt, made_on_load=True)
    recipe = options.recipe_of(fmt)
    if weights.scheme.method or not fmt.quantized or recipe == ON_LOAD:
        return weights
    made = ensure(system.model, fmt.name, recipe=recipe, say=say)
    origin = f"made from {source.origin}"
    found = Checkpoint(path=made.path, origin=origin, revision=made.fingerprint)
    return checked(found, fmt)


def refuse_weights(system: System, options: EmbeddedOptions) -> str:
    """Say why the weights of a system cannot be had, as far as one can tell; empty otherwise."""
    fmt = get_format(system.format)
    recipe = options.recipe_of(fmt)
    if not fmt.quantized or fmt.name in options.checkpoint or recipe == ON_LOAD:
        return ""
    config = find_config(system.model)
    scheme = read_scheme(config) if config else None
    if scheme is not None and scheme.method:
        return ""  # it is served as it is, or refused by what it holds
    if why := can_make(system.model, fmt.name, recipe):
        return f"{fmt.name} by {recipe}: {why} Or round while loading: -o recipe={ON_LOAD}."
    return ""


def checked(found: Checkpoint, fmt: Format, *, made_on_load: bool = False) -> Weights:
    """Return the weights if they are in ``fmt``, or can be brought into it.

    Raises:
        Unsupported: they hold something else, or nobody can tell what.

    """
    scheme = read_scheme(Path(found.path) / "config.json")
    if scheme is None:
        raise Unsupported(
            f"{found.path}: nobody can tell how these weights are quantized.",
            hint="See quantization_config in its config.json; serve it with --engine vllm.",
        )
    unquantized = not scheme.method
    said = "" if unquantized and made_on_load else contradiction(fmt.name, scheme)
    if said:
        raise Unsupported(
            f"{found.path}: {said}.",
            hint="Ask for the format that it holds, or name another -o checkpoint.",
        )
    return Weights(checkpoint=found, scheme=scheme, made=how_made(Path(found.path)))


def how_made(folder: Path) -> str:
    """Say how `qbench quantize` made a folder: ``gptq, 128 x 512 tokens of …``; else empty."""
    try:
        told = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.MsgspecError):
        return ""
    return f"{told.recipe}, {told.calibration}" if told.calibration else told.recipe
