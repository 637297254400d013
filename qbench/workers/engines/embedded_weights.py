"""Which weights the embedded engine serves for a format: the model's, a named folder's, or made."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from qbench.errors import ConfigError, Unsupported
from qbench.kernels.formats import Format, get_format
from qbench.service.domain import System
from qbench.workers.checkpoints import Checkpoint, resolve
from qbench.workers.engines import Say
from qbench.workers.engines.options import read_options
from qbench.workers.engines.schemes import Scheme, contradiction, read_scheme

ON_LOAD = "rtn"
"""The recipe that needs no checkpoint: codes are rounded to nearest while the model is loaded."""


class EmbeddedOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``System.options`` of this engine."""

    device: str = ""
    """``cpu`` or ``cuda``; empty: cuda where there is one."""
    context: int = 4096
    """Longest prompt and reply together, in tokens."""
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

    @property
    def told(self) -> str:
        """What a row says of them."""
        named = f"{self.scheme.label}, " if self.scheme.method else ""
        return f"{named}{self.checkpoint.origin}"


def find_weights(system: System, options: EmbeddedOptions, say: Say) -> Weights:
    """Find or fetch the weights for ``system``.

    Raises:
        EngineStartError: nowhere to be had.
        Unsupported: they hold another format than the one that was asked for.
        ConfigError: the recipe does not exist here.

    """
    fmt = get_format(system.format)
    if named := options.checkpoint.get(fmt.name):
        return checked(resolve(named, say), fmt)
    found = resolve(system.model, say)
    weights = checked(found, fmt, made_on_load=True)
    refuse_recipe(fmt, options)
    return weights


def refuse_recipe(fmt: Format, options: EmbeddedOptions) -> None:
    """Refuse a recipe that cannot be followed. Raises ConfigError."""
    recipe = options.recipe_of(fmt)
    if fmt.quantized and fmt.name not in options.checkpoint and recipe != ON_LOAD:
        raise ConfigError(
            f"{fmt.name} by {recipe} is not made while a model is loaded.",
            hint=f'Name a folder, -o \'checkpoint={{"{fmt.name}": "…"}}\', or use -o recipe=rtn.',
        )


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
    return Weights(checkpoint=found, scheme=scheme)
