"""Measures sensitivity: ``python -m qbench.workers.sensitivity_measure study.json``.

The decoder stays unquantized; each unit is quantized where it stands, the rest of the decoder is
run on from there, and the unit is put back. Everything is multiplied in float32, so that what
differs is the format. Quantized layers are kept as codes (about a byte per weight and format), so
that whole models are checked with the very layers that were measured.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from qbench.errors import ConfigError, QbenchError
from qbench.kernels.formats import Format, get_format
from qbench.kernels.linears.linear import Shared, install
from qbench.kernels.schemes import FLOAT_BITS
from qbench.workers.quantize import own_files
from qbench.workers.quantize.jobs import Job, Told
from qbench.workers.quantize.own import load, one_thread, tell
from qbench.workers.quantize.own_blocks import Sample, Seen, Watch, begin, run_block
from qbench.workers.quantize.own_layers import MadeLayer, Recipe, make_family, read_recipe
from qbench.workers.quantize.own_plan import decoder, families, plan_of
from qbench.workers.sensitivity import (
    Check,
    Choice,
    Report,
    Study,
    Suggestion,
    Unit,
    described,
    rivals,
    suggest,
)

TOP = 512
"""Positions whose distributions are compared at a time: a vocabulary wide each."""


class Model:
    """A loaded model whose decoder can be run on from any block."""

    def __init__(self, study: Study) -> None:
        """Load it and hold it in float32."""
        self.model: PreTrainedModel = load(study.checkpoint, "bfloat16")
        self.prefix, self.blocks = decoder(self.model)
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        nn.Module.to(self.model, device=self.device, dtype=torch.float32)

    def layers_of(self, names: Sequence[str]) -> dict[str, nn.Module]:
        """Return modules by their names."""
        return {name: self.model.get_submodule(name) for name in names}

    @torch.no_grad()
    def onward(
        self, samples: Sequence[Sample], hidden: Sequence[Tensor], start: int
    ) -> list[Tensor]:
        """Run the blocks from ``start`` and return log probabilities (tokens, vocabulary)."""
        found = []
        for sample, state in zip(samples, hidden, strict=True):
            now = state
            for index in range(start, len(self.blocks)):
                now = run_block(self.blocks[index], now, sample.calls[index], self.device)
            found.append(self.head(now))
        return found

    @torch.no_grad()
    def head(self, hidden: Tensor) -> Tensor:
        """Return what the model makes of its last block's output: norm, head, logarithm."""

        def stub(*_: object, **__: object) -> Tensor:
            return hidden

        for block in self.blocks:
            block.forward = stub
        try:
            ids = torch.zeros(hidden.shape[:2], dtype=torch.int64, device=hidden.device)
            logits: Tensor = self.model(input_ids=ids, use_cache=False).logits
        finally:
            for block in self.blocks:
                del block.forward
        return torch.log_softmax(logits[0].float(), dim=-1)

    def states(self, samples: Sequence[Sample]) -> list[list[Tensor]]:
        """Return the hidden states that enter each block, and what leaves the last."""
        found = [[sample.hidden.float() for sample in samples]]
        for index, block in enumerate(self.blocks):
            found.append(
                [
                    run_block(block, state, sample.calls[index], self.device)
                    for sample, state in zip(samples, found[-1], strict=True)
                ]
            )
        return found


def divergence(wanted: Sequence[Tensor], found: Sequence[Tensor]) -> float:
    """Return the mean Kullback-Leibler divergence of log probabilities, in nats per token."""
    total, tokens = 0.0, 0
    for mine, theirs in zip(wanted, found, strict=True):
        for left, right in zip(torch.split(mine, TOP), torch.split(theirs, TOP), strict=True):
            total += float((left.exp() * (left - right)).sum(dtype=torch.float64))
            tokens += len(left)
    return total / tokens if tokens else 0.0


class Measuring:
    """One study of one model."""

    def __init__(self, study: Study) -> None:
        """Load the model and let it read the tokens."""
        self.study = study
        self.recipe: Recipe = read_recipe(study.recipe, {}, 0)
        self.model = Model(study)
        self.plans = {name: self._plan(name) for name in [study.format, *study.others]}
        self.made: dict[str, dict[str, MadeLayer]] = {name: {} for name in self.plans}
        rows = own_files.read_rows(study.tokens)
        if not rows:
            raise ConfigError("There are no tokens to measure on.", hint="Give a longer text.")
        self.tokens = sum(map(len, rows))
        self.samples = begin(self.model.model, self.model.blocks, rows)
        self.states = self.model.states(self.samples)
        self.wanted = [self.model.head(state) for state in self.states[-1]]

    def _plan(self, name: str) -> dict[str, Format]:
        if get_format(name).weights is None:
            return {}
        job = Job(checkpoint=self.study.checkpoint, out="", format=name, recipe=self.study.recipe)
        return plan_of(self.model.model, job)

    def units(self) -> list[Unit]:
        """Measure every unit in every format."""
        found = []
        wanted = self.plans[self.study.format]
        for index in range(len(self.model.blocks)):
            prefix = f"{self.model.prefix}.{index}"
            tell(Told(step=index, of=len(self.model.blocks) + 1, what=prefix))
            names = [name for name in wanted if name.startswith(f"{prefix}.")]
            seen = self._seen(index, names)
            found += [self._unit(index, family, seen) for family in families(names)]
        return found

    def _seen(self, index: int, names: Sequence[str]) -> dict[str, dict[str, Seen]]:
        """Return by format what the layers of a block see."""
        layers, found = self.model.layers_of(names), {}
        for title, plan in self.plans.items():
            if not plan:
                continue
            watch = Watch(layers, plan, hessians=True)
            for sample, state in zip(self.samples, self.states[index], strict=True):
                block = self.model.blocks[index]
                run_block(block, state, sample.calls[index], self.model.device)
            watch.end()
            found[title] = watch.seen
        return found

    def _unit(
        self, index: int, names: Sequence[str], seen: Mapping[str, Mapping[str, Seen]]
    ) -> Unit:
        layers = self.model.layers_of(names)
        weights = sum(layer.get_parameter("weight").numel() for layer in layers.values())
        choices = [
            self._choice(index, title, layers, seen.get(title, {}))
            if plan
            else Choice(
                format=title,
                bits=weights * FLOAT_BITS["bfloat16"],
                error=0.0,
                output_error=0.0,
                weight_error=0.0,
            )
            for title, plan in self.plans.items()
        ]
        return Unit(names=list(names), weights=weights, choices=choices)

    def _choice(
        self, index: int, title: str, layers: Mapping[str, nn.Module], seen: Mapping[str, Seen]
    ) -> Choice:
        plan = self.plans[title]
        with one_thread():
            made = make_family(layers, plan, seen, self.recipe)
        self.made[title] |= made
        sizes = {name: layer.get_parameter("weight").shape for name, layer in layers.items()}
        output = _joined(made, lambda layer: layer.error or 0.0)
        error = output**2
        if self.study.measure == "kl":
            error = max(0.0, self._alone(index, layers, made))
        return Choice(
            format=title,
            bits=sum(plan[name].packed_bits(*sizes[name]) for name in layers),
            error=error,
            output_error=output,
            weight_error=_joined(made, lambda layer: layer.weight_error**0.5) ** 2,
        )

    def _alone(
        self, index: int, layers: Mapping[str, nn.Module], made: Mapping[str, MadeLayer]
    ) -> float:
        """Return the divergence with only these layers quantized."""
        self._install(made)
        found = self.model.onward(self.samples, self.states[index], index)
        self._put_back(layers)
        return divergence(self.wanted, found)

    def _install(self, made: Mapping[str, MadeLayer]) -> None:
        shared = Shared()
        for name, layer in made.items():
            install(self.model.model, name, layer.multiplied.float(), layer.inputs, shared)

    def _put_back(self, layers: Mapping[str, nn.Module]) -> None:
        for name, layer in layers.items():
            self.model.model.set_submodule(name, layer)

    def checks(self, units: Sequence[Unit], choices: Mapping[str, Sequence[str]]) -> list[Check]:
        """Measure whole models in mixed formats on the probe."""
        rows = own_files.read_rows(self.study.probe)
        samples = begin(self.model.model, self.model.blocks, rows)
        states = [sample.hidden.float() for sample in samples]
        wanted = self.model.onward(samples, states, 0)
        kept = self.model.layers_of([name for unit in units for name in unit.names])
        found = []
        for number, (title, formats) in enumerate(choices.items()):
            tell(Told(step=number, of=len(choices), what=f"checking: {title}"))
            for unit, name in zip(units, formats, strict=True):
                if self.plans[name]:
                    self._install({one: self.made[name][one] for one in unit.names})
            error = divergence(wanted, self.model.onward(samples, states, 0))
            self._put_back(kept)
            found.append(_check(self.study, title, described(units, formats), error))
        return found


def _check(study: Study, title: str, cost: Suggestion, error: float) -> Check:
    return Check(
        name=title,
        bits_per_weight=cost.bits_per_weight,
        error=error,
        predicted=cost.error if study.measure == "kl" else None,
    )


def _joined(made: Mapping[str, MadeLayer], of: Callable[[MadeLayer], float]) -> float:
    """Return the root mean square over a unit's layers."""
    return math.sqrt(sum(of(layer) ** 2 for layer in made.values()) / len(made))


def run(study: Study) -> Report:
    """Measure, choose and check."""
    began = time.monotonic()
    torch.manual_seed(study.seed)
    tell(Told(step=0, of=1, what="loading"))
    measuring = Measuring(study)
    units = measuring.units()
    found = suggest(units, study.budget)
    checks: list[Check] = []
    if study.checks >= 0:
        choices: dict[str, Sequence[str]] = {
            study.format: [study.format] * len(units),
            "suggested": found.formats,
        }
        checks = measuring.checks(units, choices | rivals(units, found, study.checks, study.seed))
    return Report(
        format=study.format,
        measure=study.measure,
        recipe=study.recipe,
        tokens=measuring.tokens,
        units=units,
        suggestion=found,
        checks=checks,
        seconds=time.monotonic() - began,
    )


def main(path: str) -> int:
    """Measure what the file says; the last line of stderr is the reason where it fails."""
    sys.stdout = sys.stderr  # what libraries print is no progress
    study = msgspec.json.decode(Path(path).read_bytes(), type=Study)
    try:
        report = run(study)
    except QbenchError as error:
        sys.stderr.write(f"\n{error}\n")
        return error.exit_code
    Path(study.out).write_bytes(msgspec.json.encode(report))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
