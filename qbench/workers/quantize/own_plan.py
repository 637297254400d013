"""Which layer of a model gets which format, and which layers belong together."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from msgspec.structs import replace
from torch import nn
from transformers import PreTrainedModel

from qbench.errors import Unsupported
from qbench.kernels.formats import Format, fitted, get_format
from qbench.kernels.linears.layers import FOREIGN_SHARE
from qbench.kernels.schemes import FloatName
from qbench.workers.quantize.jobs import Job

ROUTER = re.compile(r"(^|\.)(gate|router|shared_expert_gate)$")
"""Layers that choose experts: tiny, and vLLM keeps them."""
FUSED = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))
"""Layers that vLLM multiplies as one: one format, one global scale."""


def linears(model: PreTrainedModel) -> dict[str, nn.Linear]:
    """Return the layers that can be quantized: all linear ones but the head and routers."""
    head = model.get_output_embeddings()
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and module is not head and not ROUTER.search(name)
    }


def decoder(model: nn.Module) -> tuple[str, nn.ModuleList]:
    """Return the list of decoder blocks and its name: the one with the most parameters.

    Raises:
        Unsupported: the model has no list of blocks.

    """
    lists = [(name, m) for name, m in model.named_modules() if isinstance(m, nn.ModuleList)]
    if not lists:
        raise Unsupported(
            "This model has no list of decoder blocks.",
            hint="Quantize it with llm-compressor's recipes, or serve it in bf16.",
        )
    return max(lists, key=lambda one: sum(p.numel() for p in one[1].parameters()))


def plan_of(model: PreTrainedModel, job: Job) -> dict[str, Format]:
    """Return the fitted format of each layer that is to be quantized.

    Raises:
        Unsupported: layers that run as one differ; a format that fits no group; matrices that are
            no linear layers; linear layers outside the decoder's blocks; nothing left to do.

    """
    layers = linears(model)
    named = {name: _format_of(name, job) for name in layers}
    check_fused({name: fmt.name for name, fmt in named.items()})
    plan = {
        name: _stored(fitted(fmt, layers[name].in_features), job.storage)
        for name, fmt in named.items()
        if fmt.weights is not None
    }
    _refuse_others(model, plan, layers)
    return plan


def _format_of(name: str, job: Job) -> Format:
    for pattern, chosen in job.layers.items():
        if re.search(pattern, name):
            return get_format(chosen)
    return get_format(job.format)


def _stored(fmt: Format, storage: str) -> Format:
    """Return ``fmt`` with 16-bit scales in the type of the rest, as checkpoints have them."""
    names: dict[str, FloatName] = {
        "bfloat16": "bfloat16",
        "float16": "float16",
        "float32": "float32",
    }
    kept, scheme = names[storage], fmt.weights
    if scheme is not None and scheme.scale_dtype == "bfloat16":
        scheme = replace(scheme, scale_dtype=kept)
    return replace(fmt, storage=kept, weights=scheme)


def families(names: Iterable[str]) -> list[list[str]]:
    """Return layers in lists of those that run as one, in their order."""
    found: dict[tuple[str, int], list[str]] = {}
    for at, name in enumerate(names):
        parent, _, end = name.rpartition(".")
        number = next((n for n, family in enumerate(FUSED) if end in family), -1 - at)
        found.setdefault((parent, number), []).append(name)
    return list(found.values())


def check_fused(formats: Mapping[str, str]) -> None:
    """Refuse layers that vLLM multiplies as one and that are to be in different formats."""
    for family in families(formats):
        chosen = sorted({formats[name] for name in family})
        if len(chosen) > 1:
            raise Unsupported(
                f"{' and '.join(family)} are multiplied as one and need one format, "
                f"not {' and '.join(chosen)}.",
                hint="Name them in one pattern: '[qkv]_proj' or '(gate|up)_proj'.",
            )


def _refuse_others(
    model: nn.Module, plan: Mapping[str, Format], layers: Mapping[str, nn.Linear]
) -> None:
    if not plan:
        raise Unsupported("No layer is left to be quantized.", hint="Keep fewer layers in 16 bits.")
    prefix, _ = decoder(model)
    outside = [name for name in plan if not name.startswith(f"{prefix}.")]
    if outside:
        raise Unsupported(
            f"{outside[0]} is not in the decoder's blocks ({prefix}).",
            hint=f"Keep it in 16 bits: --layers FILE with '{outside[0]}: bf16'.",
        )
    foreign = [
        f"{name}.{own}"
        for name, module in model.named_modules()
        if not isinstance(module, (nn.Linear, nn.Embedding, nn.Conv1d, nn.Conv2d, nn.Conv3d))
        for own, parameter in module.named_parameters(recurse=False)
        if parameter.ndim > 1
        and parameter.numel() > FOREIGN_SHARE * sum(one.weight.numel() for one in layers.values())
    ]
    if foreign:
        raise Unsupported(
            f"{foreign[0]} is a matrix outside linear layers and would stay in 16 bits.",
            hint="Models with fused experts are quantized by llm-compressor's recipes.",
        )
