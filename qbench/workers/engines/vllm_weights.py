"""What vLLM is to load so that a system runs in its format, or why it cannot."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from msgspec import Struct

from qbench.errors import ConfigError, NotFound, Unsupported
from qbench.service.domain import System
from qbench.workers.engines.schemes import ROTATED, contradiction, find_config, read_scheme
from qbench.workers.engines.vllm_environment import VllmEnvironment
from qbench.workers.quantize.cache import cached_checkpoint, can_make

DTYPES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}
"""Formats that are a data type: any unquantized checkpoint serves them."""

Origin = Literal["model", "named", "cached", "made while loading", "to be made"]


class Place(Struct, frozen=True, kw_only=True):
    """Where it is to run."""

    architecture: str
    """``sm_90``, or a CPU with its flags."""
    environment: VllmEnvironment
    tensor_parallel: int = 1

    @property
    def capability(self) -> int | None:
        """Compute capability, 90 for ``sm_90``; None for a CPU."""
        found = re.search(r"\bsm_(\d+)", self.architecture)
        return int(found[1]) if found else None


class Weights(Struct, frozen=True, kw_only=True):
    """What to load, and what becomes of it."""

    source: str
    """Folder or Hub id."""
    origin: Origin
    arguments: tuple[str, ...]
    """Of ``vllm serve``."""
    said_as: tuple[str, ...] = ()
    """What vLLM's log may call the quantization; empty: any, if the format has codes."""
    effective: str = ""
    """What is made while loading; empty where the checkpoint says it."""


class _OnTheFly(Struct, frozen=True, kw_only=True):
    """A quantization that vLLM makes of unquantized weights."""

    flag: str
    effective: str
    since: int
    """Least compute capability."""
    before: int = 999
    on_cpu: bool = False
    module: str = ""
    """Needed in vLLM's environment."""


ON_THE_FLY: dict[str, tuple[_OnTheFly, ...]] = {
    "fp8": (
        _OnTheFly(flag="fp8_per_channel", effective="a scale per channel", since=89, on_cpu=True),
        _OnTheFly(flag="fp8_per_tensor", effective="a scale per tensor", since=75, before=89),
    ),
    "fp8-block": (_OnTheFly(flag="fp8_per_block", effective="blocks of 128", since=89),),
    "mxfp8": (_OnTheFly(flag="mxfp8", effective="groups of 32", since=80),),
    "nf4": (
        _OnTheFly(
            flag="bitsandbytes",
            effective="blocks of 64, their scales quantized again",
            since=75,
            module="bitsandbytes",
        ),
    ),
}
"""By format, from ``vllm/config/quantization.py`` of 0.26 and 0.32; bitsandbytes left with 0.32.

``int8_per_channel_weight_only`` and ``nvfp4_per_token`` are not here: they quantize experts alone
and leave linear layers as they are.
"""


def cached(model: str, format_name: str, recipe: str) -> Path | None:
    """Return the checkpoint that ``qbench quantize`` made of ``model``; None without one."""
    try:
        return cached_checkpoint(model, format_name, recipe)
    except (NotFound, Unsupported):  # nothing makes this format
        return None


class Wanted(Struct, frozen=True, kw_only=True):
    """What the options say of weights."""

    checkpoint: dict[str, str] = {}
    """Folder or Hub id by format."""
    recipe: str | dict[str, str] = ""
    """How a cached checkpoint was made: for all formats, or by format; empty: the format's own."""
    dtype: str = ""
    """Of activations, for quantized formats; empty: the checkpoint's."""

    def recipe_of(self, format_name: str) -> str:
        """Return the recipe chosen for a format; empty: its own."""
        if isinstance(self.recipe, str):
            return self.recipe
        return self.recipe.get(format_name, "")


def weights(system: System, wanted: Wanted, place: Place) -> Weights:
    """Find the weights of a system's format.

    Named, cached, the model itself, made while loading, to be made by ``qbench quantize``: the
    first that can be.

    Args:
        system: what is to be served.
        wanted: what the options say.
        place: where it is to run.

    Raises:
        ConfigError: the format needs a checkpoint, and there is none.
        Unsupported: vLLM cannot serve the format on this machine.

    """
    refuse_place(system.format, place)
    named, dtype = wanted.checkpoint.get(system.format, ""), wanted.dtype
    recipe = wanted.recipe_of(system.format)
    if system.format in DTYPES:
        return _cast(system, named, dtype)
    arguments = ("--dtype", dtype or "auto")
    if named:
        return Weights(source=named, origin="named", arguments=arguments)
    if made := cached(system.model, system.format, recipe):
        return Weights(source=str(made), origin="cached", arguments=arguments)
    if _holds(system.model, system.format):
        return Weights(source=system.model, origin="model", arguments=arguments)
    if recipe in ("", "rtn") and (loading := _made_while_loading(system, dtype, place)):
        return loading
    if why := _cannot_make(system.model, system.format, recipe):
        by = f" by {recipe}" if recipe else ""
        raise ConfigError(
            f"There is no {system.format} checkpoint of {system.model}{by}."
            f"{_why_not(system.format, place)} {why}",
            hint=how_to_get(system.model, system.format, recipe),
        )
    return Weights(source=system.model, origin="to be made", arguments=arguments)


def _cannot_make(model: str, format_name: str, recipe: str) -> str:
    """Say why ``qbench quantize`` cannot make it here for vLLM; empty where it can."""
    if format_name == "nf4":
        return "compressed-tensors has no NF4, so that nothing could be made for vLLM."
    return can_make(model, format_name, recipe)


def _cast(system: System, named: str, dtype: str) -> Weights:
    if dtype:
        raise ConfigError(
            f"{system.format} is a data type already.",
            hint=f"Leave -o dtype={dtype} out, or ask for that format.",
        )
    return Weights(
        source=named or system.model,
        origin="named" if named else "model",
        arguments=("--dtype", DTYPES[system.format]),
        said_as=("None",),
    )


def _holds(model: str, format_name: str) -> bool:
    """Whether the model's own checkpoint is quantized, and to this format."""
    config = find_config(model)
    scheme = read_scheme(config) if config else None
    return bool(scheme and scheme.method and not contradiction(format_name, scheme))


def _made_while_loading(system: System, dtype: str, place: Place) -> Weights | None:
    ways = ON_THE_FLY.get(system.format, ())
    way = next((way for way in ways if _can_make(way, place)), None)
    if way is None:
        return None
    return Weights(
        source=system.model,
        origin="made while loading",
        arguments=("--dtype", dtype or "bfloat16", "--quantization", way.flag),
        said_as=(way.flag, "online"),
        effective=f"{system.format}, {way.effective}, made while loading",
    )


def _can_make(way: _OnTheFly, place: Place) -> bool:
    method = f"vllm/model_executor/layers/quantization/{way.module}"
    if way.module and not (place.environment.has(way.module) and place.environment.has(method)):
        return False
    if place.capability is None:
        return way.on_cpu
    return way.since <= place.capability < way.before


def _why_not(name: str, place: Place) -> str:
    """Say why vLLM does not make a format while loading; empty where it never does."""
    ways = ON_THE_FLY.get(name, ())
    if not ways:
        return ""
    if modules := [way.module for way in ways if way.module]:
        return f" vLLM would make {name} with {modules[0]}, which is not in its environment."
    if place.capability is None:
        return f" vLLM cannot make {name} while loading on a CPU."
    return f" vLLM makes {name} while loading from sm_{min(way.since for way in ways)} on."


def how_to_get(model: str, format_name: str, recipe: str = "") -> str:
    """Say how to come by a checkpoint."""
    by = f" --recipe {recipe}" if recipe else ""
    return (
        f"Make it with `qbench quantize {model} --format {format_name}{by}`, or name one: "
        f'-o \'checkpoint={{"{format_name}": "FOLDER_OR_HUB_ID"}}\'.'
    )


def refuse_place(format_name: str, place: Place) -> None:
    """Raise Unsupported when vLLM cannot compute a format here, whatever the checkpoint."""
    if format_name == "layercast":
        raise Unsupported(
            "vLLM has no layercast: it multiplies 16-bit weights in 16 bits.",
            hint="Serve it with --engine embedded, or compare bf16 with fp32.",
        )
    if not format_name.endswith(ROTATED):
        return
    if place.tensor_parallel > 1:
        raise Unsupported(
            f"vLLM rotates the inputs of {format_name} on one GPU only.",
            hint="Leave -o tensor_parallel out.",
        )
