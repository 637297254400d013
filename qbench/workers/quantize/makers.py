"""Which program makes a format by a recipe, what its options are, and what makes no sense."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, get_args

from msgspec import Struct

from qbench.errors import ConfigError, NotFound, Unsupported
from qbench.kernels.formats import Format, Recipe, get_format

MakerName = Literal["llm-compressor", "own"]

VERSIONS: dict[MakerName, int] = {"llm-compressor": 1, "own": 1}
"""Raised when a maker would write something else: what was made before is made again."""

RECIPES: tuple[Recipe, ...] = get_args(Recipe)


def _by(maker: MakerName, recipes: str) -> dict[Recipe, MakerName]:
    return {recipe: maker for recipe in RECIPES if recipe in recipes.split()}


_DATA_FREE = _by("llm-compressor", "rtn mse")
_GPTQ = _by("llm-compressor", "rtn mse gptq")
_ALL_WEIGHTS = _by("llm-compressor", "rtn mse gptq awq")
_ROTATED = _by("own", "rtn gptq")

MAKERS: dict[str, dict[Recipe, MakerName]] = {
    "fp8": _DATA_FREE,
    "fp8-block": _by("llm-compressor", "rtn"),
    "w8a8": _by("llm-compressor", "rtn mse gptq smoothquant+gptq"),
    "w8a16": _GPTQ,
    "w4a16": _ALL_WEIGHTS,
    "w4a16-awq": _ALL_WEIGHTS,
    "w4a8": _ALL_WEIGHTS,
    "w4a8-fp4": _by("llm-compressor", "rtn gptq"),
    "nvfp4": _GPTQ,
    "nvfp4a16": _GPTQ,
    "mxfp4": _by("llm-compressor", "rtn gptq"),
    "mxfp4a16": _by("llm-compressor", "rtn gptq"),
    "mxfp8": _by("llm-compressor", "rtn"),
    "w3a16": _ALL_WEIGHTS,
    "w2a16": _ALL_WEIGHTS,
    "nf4": _by("own", "rtn"),
    "mxfp4-mr": _ROTATED,
    "nvfp4-mr": _ROTATED,
    "int4-mr": _ROTATED,
}
"""The one table. Formats that are not here are a data type or an arithmetic: any unquantized
checkpoint serves them."""

LOW_RANK: dict[Recipe, MakerName] = _by("own", "rtn gptq")
"""With a low-rank correction."""

_GRID = {"grid": 100, "norm": 2.4, "maxshrink": 0.2}
_HESSIAN = {"dampening": 0.01, "block": 128, "act_order": "static"}
OPTIONS: dict[Recipe, dict[str, Any]] = {
    "rtn": {},
    "mse": dict(_GRID),
    "gptq": {**_HESSIAN, "observer": "mse", **_GRID},
    "awq": {"duo_scaling": True, "grid_points": 20},
    "smoothquant+gptq": {"smoothing": 0.8, **_HESSIAN, "observer": "mse", **_GRID},
}
"""Defaults: GPTQ as in arXiv 2411.02355 (MSE-optimal clipping, dampening 0.01) with static
activation order; the search of a clipping that arXiv 2509.23202 uses (100 steps, exponent 2.4)."""


CHOICES: dict[str, tuple[str, ...]] = {
    "observer": ("mse", "minmax"),
    "act_order": ("static", ""),
}
"""What options that are words may be; an empty order: columns as they come."""


class Way(Struct, frozen=True, kw_only=True):
    """How a checkpoint is to be made."""

    fmt: Format
    recipe: Recipe
    maker: MakerName
    options: dict[str, Any]
    needs_data: bool
    """Whether calibration data has a say in the bytes."""


def choose(
    format_name: str,
    recipe: str = "",
    *,
    options: dict[str, Any] | None = None,
    low_rank: int = 0,
    others: Iterable[str] = (),
) -> Way:
    """Choose maker and options of ``format_name`` by ``recipe``, empty: the format's own.

    ``others``: formats that some of its layers are to have instead.

    Raises:
        NotFound: an unknown format, recipe or option.
        Unsupported: a pair that makes no sense; says which recipes fit.
        ConfigError: an option of another kind than its default.

    """
    fmt = get_format(format_name)
    fitting = MAKERS.get(fmt.name)
    if fitting is None:
        raise Unsupported(
            f"{fmt.name} is no quantization: the checkpoint itself is served in it.",
            hint=f"Ask for one of {', '.join(MAKERS)}.",
        )
    if low_rank and fitting is not _ROTATED:
        fitting = {name: maker for name, maker in LOW_RANK.items() if name in fitting}
    name = _recipe(fmt, recipe)
    if name not in fitting:
        raise Unsupported(
            f"The recipe {name} does not fit {fmt.name}"
            + (" with a low-rank correction." if low_rank else "."),
            hint=f"What fits: {', '.join(fitting)}.",
        )
    maker = fitting[name]
    mixed = [_beside(get_format(other), maker) for other in others]
    return Way(
        fmt=fmt,
        recipe=name,
        maker=maker,
        options=_options(name, options or {}),
        needs_data=name not in ("rtn", "mse") or any(map(_calibrates_inputs, (fmt, *mixed))),
    )


def _beside(fmt: Format, maker: MakerName) -> Format:
    """Return a format for some layers of a checkpoint that ``maker`` makes. Raises Unsupported."""
    if fmt.weights is None and fmt.name != "bf16":
        raise Unsupported(
            f"Layers cannot be in {fmt.name}.", hint="Write bf16 to keep them as they are."
        )
    if fmt.weights is not None and maker == "llm-compressor":
        known = [name for name, makers in MAKERS.items() if maker in makers.values()]
        if fmt.name not in known:
            raise Unsupported(
                f"Layers cannot be in {fmt.name} beside formats that llm-compressor makes.",
                hint=f"It makes {', '.join(known)}.",
            )
    return fmt


def _recipe(fmt: Format, recipe: str) -> Recipe:
    name = recipe.strip().lower() or fmt.recipe
    for known in RECIPES:
        if name == known:
            return known
    raise NotFound.among("recipe", recipe, RECIPES)


def _calibrates_inputs(fmt: Format) -> bool:
    """Whether a global scale of inputs is stored: vLLM's NVFP4 kernels want one."""
    return fmt.activations is not None and fmt.activations.two_level


def _options(recipe: Recipe, given: dict[str, Any]) -> dict[str, Any]:
    known = OPTIONS[recipe]
    for name, value in given.items():
        if name not in known:
            raise NotFound.among(f"option of {recipe}", name, known or ("none",))
        if not _like(value, known[name]) or value not in CHOICES.get(name, (value,)):
            words = " or ".join(map(repr, CHOICES.get(name, ())))
            raise ConfigError(
                f"The option {name} of {recipe} cannot be {value!r}.",
                hint=f"It may be {words}." if words else f"Its default is {known[name]!r}.",
            )
    return known | given


def _like(value: Any, default: Any) -> bool:
    """Whether ``value`` is of the default's kind; a whole number may stand for a fraction."""
    if isinstance(default, float):
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, type(default)) and isinstance(value, bool) == isinstance(default, bool)
