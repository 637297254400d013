"""Makes a checkpoint with llm-compressor: ``python -I llmc_maker.py job.json``.

Run by a Python that has llm-compressor; it knows no qbench. The job is ``jobs.Job`` as JSON, the
lines it prints are ``jobs.Told``. Recipes are those of arXiv 2411.02355 (GPTQ with MSE-optimal
clipping; SmoothQuant and GPTQ) and arXiv 2306.00978 (AWQ).
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from compressed_tensors.offload import set_onload_device
from llmcompressor import oneshot
from llmcompressor.modeling.moe.linearize import load_quantizable_moe
from llmcompressor.modifiers import Modifier
from llmcompressor.modifiers.gptq import GPTQModifier
from llmcompressor.modifiers.quantization import QuantizationModifier
from llmcompressor.modifiers.transform.awq import AWQModifier
from llmcompressor.modifiers.transform.smoothquant import SmoothQuantModifier
from llmcompressor.pipelines.cache import IntermediatesCache
from llmcompressor.utils.dev import get_main_device
from torch import nn
from torch.utils._pytree import tree_map
from torch.utils.data import DataLoader
from transformers import AutoModelForCausalLM, PreTrainedModel

Json = dict[str, Any]
ROUTER = re.compile(r"(^|\.)(gate|router|shared_expert_gate)$")
"""Layers that choose experts: tiny, and vLLM keeps them."""
FUSED = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))
"""Layers that vLLM multiplies as one, which therefore need one format."""


class Refused(Exception):
    """The job cannot be done; the message is the reason."""


def tell(**told: Any) -> None:
    """Print a line of progress, past what libraries print."""
    sys.__stdout__.write(json.dumps(told) + "\n")  # type: ignore[union-attr]
    sys.__stdout__.flush()  # type: ignore[union-attr]


def load(job: Json) -> PreTrainedModel:
    """Load the source in the job's storage type; refuse one with NaN or infinity in it."""
    kept = getattr(torch, job["storage"])
    with load_quantizable_moe():
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(job["checkpoint"], dtype=kept)
    model.eval()
    check_finite(model, "the checkpoint has")
    return model


def check_finite(model: nn.Module, who: str) -> None:
    """Refuse parameters with NaN or infinity in them."""
    for name, parameter in model.named_parameters():
        if parameter.is_floating_point() and not bool(torch.isfinite(parameter.float()).all()):
            raise Refused(f"{who} NaN or infinity in {name}")


def linears(model: PreTrainedModel) -> dict[str, nn.Linear]:
    """Return the layers to be quantized by name: all linear ones but the head and routers."""
    head = model.get_output_embeddings()
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and module is not head and not ROUTER.search(name)
    }


def format_of(name: str, job: Json) -> str:
    """Return the format of a layer: of the first pattern that is found in its name."""
    for pattern, chosen in job["layers"].items():
        if re.search(pattern, name):
            return str(chosen)
    return str(job["format"])


def plan(model: PreTrainedModel, job: Json) -> tuple[dict[str, Json], list[str]]:
    """Return config groups and the layers to leave alone.

    Layers of one format and one number of columns are a group. A group names its layers by the
    ends of their names where these are in no other group, else one by one.
    """
    layers = linears(model)
    formats = {name: format_of(name, job) for name in layers}
    _check_fused(formats)
    members: dict[tuple[str, str], list[str]] = {}
    left = []
    for name, layer in layers.items():
        chosen, columns = formats[name], str(layer.in_features)
        if chosen in ("bf16", "fp16", "fp32"):
            left.append(name)
        elif columns not in job["schemes"].get(chosen, {}):
            raise Refused(f"{chosen} has no group size that divides {name} with {columns} columns")
        else:
            members.setdefault((chosen, columns), []).append(name)
    if not members:
        raise Refused("no layer is left to be quantized")
    groups = {
        f"group_{number}": job["schemes"][chosen][columns]
        | {"targets": _targets(names, [n for n in layers if n not in names])}
        for number, ((chosen, columns), names) in enumerate(members.items())
    }
    kept = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    return groups, [name for name in kept if name not in layers] + left


def _check_fused(formats: dict[str, str]) -> None:
    for name, chosen in formats.items():
        parent, _, end = name.rpartition(".")
        for family in FUSED:
            others = {formats.get(f"{parent}.{other}", chosen) for other in family}
            if end in family and len(others) > 1:
                raise Refused(
                    f"{', '.join(family)} of {parent} are multiplied as one and need one format, "
                    f"not {' and '.join(sorted(others))}"
                )


def _targets(names: list[str], others: list[str]) -> list[str]:
    ends = sorted({name.rpartition(".")[2] for name in names})
    taken = {name.rpartition(".")[2] for name in others}
    if taken.isdisjoint(ends):
        return [rf"re:.*\.{re.escape(end)}$" for end in ends]
    return names


def modifiers(job: Json, groups: dict[str, Json], left: list[str]) -> list[Modifier]:
    """Return the recipe as llm-compressor's modifiers."""
    recipe, options = job["recipe"], job["options"]
    clipped = recipe == "mse" or options.get("observer") == "mse"
    if clipped:
        for group in groups.values():
            _clip(group["weights"], options)
    shape = {"config_groups": groups, "ignore": left}
    found: list[Modifier] = []
    if recipe == "smoothquant+gptq":
        found.append(SmoothQuantModifier(smoothing_strength=options["smoothing"], ignore=left))
    if recipe == "awq":
        scaling, points = options["duo_scaling"], options["grid_points"]
        found.append(AWQModifier(duo_scaling=scaling, n_grid=points))
    if recipe.endswith("gptq"):
        order = options["act_order"] or None
        damping, block = options["dampening"], options["block"]
        gptq = GPTQModifier(dampening_frac=damping, block_size=block, actorder=order, **shape)
        return [*found, gptq]
    return [*found, QuantizationModifier(**shape)]


def _clip(weights: Json, options: Json) -> None:
    """Search the peak that makes the least error, where scales are free numbers."""
    if weights.get("scale_dtype") == "torch.uint8":
        return  # powers of two leave the search nothing to choose from
    weights["observer"] = "memoryless_mse"
    weights["observer_kwargs"] = {name: options[name] for name in ("grid", "norm", "maxshrink")}


def leave_memory_unpinned() -> None:
    """Let AWQ run on a CPU: llm-compressor 0.14 pins memory for an accelerator without asking."""

    def nothing(*_: Any) -> None:
        pass

    if not torch.accelerator.is_available():
        IntermediatesCache.pin_memory = nothing


def rows(path: str) -> list[list[int]]:
    """Read a token file."""
    return [json.loads(line) for line in Path(path).read_text().splitlines() if line]


def _batch(tokens: list[int]) -> dict[str, torch.Tensor]:
    ids = torch.tensor([tokens])
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def decoder(model: nn.Module) -> dict[str, nn.Module]:
    """Return the decoder's layers by name: the longest list of modules."""
    lists = [(name, m) for name, m in model.named_modules() if isinstance(m, nn.ModuleList)]
    name, found = max(lists, key=lambda one: sum(p.numel() for p in one[1].parameters()))
    return {f"{name}.{number}": layer for number, layer in enumerate(found)}


@contextlib.contextmanager
def announced(model: nn.Module) -> Iterator[None]:
    """Tell of each decoder layer when data first passes through it."""
    layers, seen, handles = decoder(model), set(), []

    def hook(name: str, number: int) -> Any:
        def tell_once(*_: Any) -> None:
            if name not in seen:
                seen.add(name)
                tell(step=number, of=len(layers) + 1, what=name)

        return tell_once

    for number, (name, layer) in enumerate(layers.items()):
        handles.append(layer.register_forward_pre_hook(hook(name, number)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


Seen = dict[str, list[tuple[Any, Any, torch.Tensor]]]


def to(device: torch.device | str, values: Any) -> Any:
    """Move all tensors among ``values`` to a device."""
    return tree_map(lambda one: one.to(device) if isinstance(one, torch.Tensor) else one, values)


@torch.no_grad()
def watch(model: nn.Module, probe: list[list[int]]) -> Seen:
    """Run held-out text and keep what goes into each decoder layer and what comes out."""
    seen: Seen = {}
    handles = []
    set_onload_device(model, get_main_device())

    def hook(name: str) -> Any:
        def keep(_: nn.Module, args: Any, kwargs: Any, out: Any) -> None:
            seen.setdefault(name, []).append(to("cpu", (args, kwargs, _hidden(out))))

        return keep

    for name, layer in decoder(model).items():
        handles.append(layer.register_forward_hook(hook(name), with_kwargs=True))
    for tokens in probe:
        model(**to(get_main_device(), _batch(tokens)), use_cache=False)
    for handle in handles:
        handle.remove()
    return seen


def _hidden(out: Any) -> torch.Tensor:
    hidden: torch.Tensor = out[0] if isinstance(out, tuple) else out
    return hidden


@torch.no_grad()
def errors(model: nn.Module, seen: Seen) -> dict[str, float | None]:
    """Return by how much each layer's output is off, relative to what the layer adds."""
    found: dict[str, float | None] = {}
    for name, layer in decoder(model).items():
        wrong = added = 0.0
        for args, kwargs, out in seen.get(name, ()):
            given = args[0] if args else kwargs["hidden_states"]
            args_there, kwargs_there = to(get_main_device(), (args, kwargs))
            made = _hidden(layer(*args_there, **kwargs_there)).cpu()
            wrong += float((made.float() - out.float()).square().sum())
            added += float((out.float() - given.float()).square().sum())
        if added != 0:  # NaN is no zero
            error = (wrong / added) ** 0.5
            found[name] = error if math.isfinite(error) else None
    return found


@contextlib.contextmanager
def unless_it_fails(what: str) -> Iterator[None]:
    """Go on when measuring fails, for want of memory say: errors are then unknown."""
    try:
        yield
    except RuntimeError:
        traceback.print_exc()
        sys.stderr.write(f"{what} failed; their errors are unknown\n")


def make(job: Json) -> None:
    """Do the job."""
    torch.manual_seed(job["seed"])
    torch.use_deterministic_algorithms(mode=True, warn_only=True)
    leave_memory_unpinned()
    tell(step=0, of=1, what="loading")
    model = load(job)
    groups, left = plan(model, job)
    seen: Seen = {}
    with unless_it_fails("watching the layers"):
        seen = watch(model, rows(job["probe"]))
    batches = [_batch(tokens) for tokens in rows(job["calibration"])] if job["calibration"] else []
    loader: Any = DataLoader(batches, batch_size=None, shuffle=False) if batches else None  # type: ignore[arg-type] # a list will do
    if not batches:
        tell(step=0, of=1, what="quantizing")
    with announced(model):
        oneshot(
            model=model,
            recipe=modifiers(job, groups, left),
            dataset=loader,
            tokenizer=job["checkpoint"],
            num_calibration_samples=len(batches),
            pipeline="sequential" if batches else "datafree",
        )
    told: dict[str, float | None] = {}
    with unless_it_fails("measuring the layers"):
        told = errors(model, seen)
    check_finite(model, "the result has")
    tell(step=1, of=1, what="saving")
    model.save_pretrained(job["out"], save_compressed=True)
    tell(errors=told)


def main(path: str) -> int:
    """Make what the file says; the last line of stderr is the reason where it fails."""
    job = json.loads(Path(path).read_text())
    sys.stdout = sys.stderr  # what libraries print is no progress
    try:
        make(job)
    except Refused as refused:
        sys.stderr.write(f"\n{refused}\n")
        return 2
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the reason
        traceback.print_exc()
        said = " ".join(str(error).split())[:400] or type(error).__name__
        sys.stderr.write(f"\n{type(error).__name__}: {said}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
