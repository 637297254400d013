"""One family of layers: from float weights to what a checkpoint stores and an engine multiplies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from msgspec import Struct
from torch import Tensor, nn

from qbench.errors import Unsupported
from qbench.kernels.checkpoints.clipping import Rule, Search, scales_by
from qbench.kernels.checkpoints.gptq import BLOCK, DAMP, gptq
from qbench.kernels.checkpoints.lowrank import LowRank, compensate, compensated
from qbench.kernels.checkpoints.packing import layout_of, pack
from qbench.kernels.formats import Format
from qbench.kernels.linears.linear import Inputs
from qbench.kernels.reference import FLOATS, Quantized, dequantize, find_scales, quantize
from qbench.kernels.rotation import rotate
from qbench.workers.quantize.own_blocks import Seen

TOP = 448.0 * 6.0
"""Largest E4M3 scale times largest E2M1 code: what a global scale maps the peak to."""


class Recipe(Struct, frozen=True, kw_only=True):
    """How codes are found."""

    name: str
    rule: Rule = "peak"
    search: Search = Search()
    damp: float = DAMP
    block: int = BLOCK
    act_order: bool = False
    low_rank: int = 0


def read_recipe(name: str, options: Mapping[str, Any], low_rank: int) -> Recipe:
    """Read a job's recipe and options.

    Raises:
        Unsupported: a recipe of other makers.

    """
    if name not in ("rtn", "mse", "gptq"):
        raise Unsupported(
            f"The recipe {name} is llm-compressor's.", hint="Use rtn, mse or gptq here."
        )
    usual = Search()
    search = Search(
        steps=int(options.get("grid", usual.steps)),
        shrink=float(options.get("maxshrink", usual.shrink)),
        exponent=float(options.get("norm", usual.exponent)),
    )
    searched = name == "mse" or (name == "gptq" and options.get("observer") == "mse")
    return Recipe(
        name=name,
        rule="mse" if searched else "peak",
        search=search,
        damp=float(options.get("dampening", DAMP)),
        block=int(options.get("block", BLOCK)),
        act_order=bool(options.get("act_order")),
        low_rank=low_rank,
    )


class MadeLayer(Struct, frozen=True, kw_only=True):
    """A layer that was quantized."""

    fmt: Format
    quantized: Quantized
    correction: LowRank | None
    input_scale: float | None
    """Global scale of inputs that calibration found, of two-level formats."""
    error: float | None
    """``|(Q - W) X| / |W X|`` over the calibration inputs, W and X rotated; None without any."""
    weight_error: float
    """``|Q - W|^2 / |W|^2``."""

    @property
    def multiplied(self) -> Tensor:
        """What an engine multiplies (out, in), rounded to the storage type."""
        kept = FLOATS[self.fmt.storage]
        if self.correction is None:
            return dequantize(self.quantized, kept)
        return compensated(self.quantized, self.correction, kept)

    @property
    def inputs(self) -> Inputs:
        """What becomes of inputs before they are multiplied."""
        return Inputs(
            scheme=self.fmt.activations, rotation=self.fmt.rotation, global_scale=self.input_scale
        )

    @property
    def tensors(self) -> dict[str, Tensor]:
        """What is stored, by names below the layer's."""
        named = pack(self.quantized, layout_of(self.fmt), storage=self.fmt.storage)
        if self.input_scale is not None:
            named["input_global_scale"] = torch.tensor([self.input_scale])
        if self.correction is not None:
            named["low_rank_left"] = self.correction.left
            named["low_rank_right"] = self.correction.right
        return named


def make_family(
    layers: Mapping[str, nn.Module],
    plan: Mapping[str, Format],
    seen: Mapping[str, Seen],
    recipe: Recipe,
) -> dict[str, MadeLayer]:
    """Quantize layers that run as one: two-level schemes share their global scale.

    Raises:
        Unsupported: the recipe needs calibration, and a layer has seen none.
        ConfigError: see ``kernels.checkpoints.gptq``.

    """
    weights = {name: _rotated(layer, plan[name]) for name, layer in layers.items()}
    shared = None
    if all(_two_level(plan[name]) for name in layers):
        found = [find_scales(weights[name], _weights(plan[name])).global_scale for name in layers]
        shared = torch.stack([one for one in found if one is not None]).amin()
    return {
        name: _make(name, weights[name], plan[name], seen.get(name), recipe, shared)
        for name in layers
    }


def _weights(fmt: Format) -> Any:
    assert fmt.weights is not None
    return fmt.weights


def _two_level(fmt: Format) -> bool:
    return fmt.weights is not None and fmt.weights.two_level


def _rotated(layer: nn.Module, fmt: Format) -> Tensor:
    weight = layer.get_parameter("weight").detach().float()
    return weight if fmt.rotation is None else rotate(weight, fmt.rotation)


def _make(
    name: str,
    weight: Tensor,
    fmt: Format,
    seen: Seen | None,
    recipe: Recipe,
    shared: Tensor | None,
) -> MadeLayer:
    scheme = fmt.weights
    assert scheme is not None
    hessian = seen.hessian.matrix if seen is not None and seen.hessian is not None else None
    scales = scales_by(weight, scheme, recipe.rule, search=recipe.search, global_scale=shared)
    if recipe.name == "gptq":
        if hessian is None:
            raise Unsupported(
                f"GPTQ needs calibration data, and {name} has seen none.",
                hint="Give token lists that pass through this layer, or use the recipe rtn.",
            )
        made = gptq(
            weight,
            hessian,
            scheme,
            scales=scales,
            damp=recipe.damp,
            block=recipe.block,
            act_order=recipe.act_order,
        )
    else:
        made = quantize(weight, scheme, scales=scales)
    correction = None
    if recipe.low_rank:
        correction = compensate(weight, made, recipe.low_rank, storage=fmt.storage)
    return MadeLayer(
        fmt=fmt,
        quantized=made,
        correction=correction,
        input_scale=_input_scale(fmt, seen),
        error=None if hessian is None else output_error(weight, made, correction, hessian),
        weight_error=weight_error(weight, made, correction),
    )


def _input_scale(fmt: Format, seen: Seen | None) -> float | None:
    if fmt.activations is None or not fmt.activations.two_level or seen is None or not seen.peak:
        return None
    return float(torch.tensor(TOP) / torch.tensor(seen.peak))


def _off(weight: Tensor, made: Quantized, correction: LowRank | None) -> Tensor:
    back = dequantize(made, torch.float32)
    return (back if correction is None else back + correction.product) - weight


def output_error(
    weight: Tensor, made: Quantized, correction: LowRank | None, hessian: Tensor
) -> float:
    """Return ``|(Q - W) X| / |W X|``: exact, since ``|A X|^2 = tr(A X X^T A^T)``."""
    off = _off(weight, made, correction)
    wrong = float(((off @ hessian) * off).sum())
    whole = float(((weight @ hessian) * weight).sum())
    return (max(wrong, 0.0) / whole) ** 0.5 if whole > 0 else 0.0


def weight_error(weight: Tensor, made: Quantized, correction: LowRank | None = None) -> float:
    """Return ``|Q - W|^2 / |W|^2``."""
    whole = float(weight.square().sum())
    return float(_off(weight, made, correction).square().sum()) / whole if whole > 0 else 0.0
