"""Makes a checkpoint with our own kernels: ``python -m qbench.workers.quantize.own job.json``.

For what llm-compressor lacks: rotated formats (MR-GPTQ, arXiv 2509.23202), NF4, low-rank
corrections (arXiv 2307.09782); and RTN, MSE clipping and GPTQ for every other scheme. The job is
``jobs.Job``, the lines it prints are ``jobs.Told``.

The decoder is made block by block in float32. Each block sees what the quantized blocks before it
give: inputs rotated and rounded as the format says. Hessians are those of the rotated inputs
before they are rounded.
"""

from __future__ import annotations

import contextlib
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
import torch
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedModel

from qbench.errors import QbenchError
from qbench.kernels.checkpoints.packing_config import quantization_config, rotation_name
from qbench.kernels.formats import Format
from qbench.kernels.linears.linear import Shared, install
from qbench.kernels.reference import FLOATS
from qbench.kernels.rotation import hadamard
from qbench.workers.quantize import own_files
from qbench.workers.quantize.jobs import Job, Told
from qbench.workers.quantize.own_blocks import Sample, Watch, begin, run_block, step
from qbench.workers.quantize.own_layers import MadeLayer, Recipe, make_family, read_recipe
from qbench.workers.quantize.own_plan import decoder, families, plan_of


def tell(told: Told) -> None:
    """Print a line of progress, past what libraries print."""
    assert sys.__stdout__ is not None
    sys.__stdout__.write(msgspec.json.encode(told).decode() + "\n")
    sys.__stdout__.flush()


def load(folder: str, storage: str) -> PreTrainedModel:
    """Load a causal language model in ``storage`` on the CPU. Raises ConfigError on NaN."""
    dtype = FLOATS[storage]  # type: ignore[index] # checked by the lookup
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()
    for name, parameter in model.named_parameters():
        own_files.finite(name, parameter)
    return model


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread: sweeps are many small steps, in which threads wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Maker:
    """One model on its way through the recipe."""

    def __init__(self, model: PreTrainedModel, plan: Mapping[str, Format], recipe: Recipe) -> None:
        """Take a loaded model, the format of each layer, and how codes are found."""
        self.model, self.plan, self.recipe = model, plan, recipe
        self.prefix, self.blocks = decoder(model)
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.made: dict[str, MadeLayer] = {}
        self.errors: dict[str, float | None] = {}

    def run(self, calibration: Sequence[list[int]], probe: Sequence[list[int]]) -> None:
        """Make every block."""
        learning = begin(self.model, self.blocks, calibration)
        testing = begin(self.model, self.blocks, probe)
        for index in range(len(self.blocks)):
            name = f"{self.prefix}.{index}"
            tell(Told(step=index, of=len(self.blocks) + 1, what=name))
            self._block(name, index, learning, testing)

    def _block(
        self, name: str, index: int, learning: Sequence[Sample], testing: Sequence[Sample]
    ) -> None:
        """Watch a block, quantize it, and move the samples on; it is let go afterwards."""
        block = self.blocks[index].to(self.device, torch.float32)
        plain = [
            run_block(block, one.hidden, one.calls[index], self.device).cpu() for one in testing
        ]
        self._quantize(name, block, index, learning)
        if learning and index + 1 < len(self.blocks):
            step(block, index, learning, self.device)
        wrong = added = 0.0
        for sample, wanted in zip(testing, plain, strict=True):
            made = run_block(block, sample.hidden, sample.calls[index], self.device).cpu()
            wrong += float((made - wanted).square().sum())
            added += float((wanted - sample.hidden.float().cpu()).square().sum())
            sample.hidden = wanted.to(sample.hidden)
        if added:
            self.errors[name] = (wrong / added) ** 0.5
        self.blocks[index] = nn.Identity()

    def _quantize(
        self, name: str, block: nn.Module, index: int, learning: Sequence[Sample]
    ) -> None:
        layers = {
            full: self.model.get_submodule(full)
            for full in self.plan
            if full.startswith(f"{name}.")
        }
        watch = Watch(layers, self.plan, hessians=True)
        for sample in learning:
            run_block(block, sample.hidden, sample.calls[index], self.device)
        watch.end()
        shared = Shared()
        for family in families(layers):
            members = {full: layers[full] for full in family}
            with one_thread():
                found = make_family(members, self.plan, watch.seen, self.recipe)
            for full, made in found.items():
                install(self.model, full, made.multiplied.float(), made.inputs, shared)
                self.made[full] = made


def make(job: Job) -> Maker:
    """Do the job; return what is known of each layer."""
    torch.manual_seed(job.seed)
    torch.use_deterministic_algorithms(mode=True, warn_only=True)
    tell(Told(step=0, of=1, what="loading"))
    model = load(job.checkpoint, job.storage)
    plan = plan_of(model, job)
    own_files.check_names(Path(job.checkpoint), plan)
    every = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    config = quantization_config(plan, every, low_rank=job.low_rank)
    maker = Maker(model, plan, read_recipe(job.recipe, job.options, job.low_rank))
    maker.run(own_files.read_rows(job.calibration), own_files.read_rows(job.probe))
    tell(Told(step=len(maker.blocks), of=len(maker.blocks) + 1, what="saving"))
    stored = {name: dict(made.tensors) for name, made in maker.made.items()}
    for name, block in first_rotated(plan).items():
        entries = hadamard(block, torch.float32).sign().to(model.dtype)
        stored[name][f"{rotation_name(block)}_input.weight"] = entries
    first = next(iter(plan.values()))
    own_files.write(Path(job.checkpoint), Path(job.out), stored, first.storage, config)
    tell(Told(errors=maker.errors))
    return maker


def first_rotated(plan: Mapping[str, Format]) -> dict[str, int]:
    """Return the first layer of each rotation: it stores the matrix, as readers share one."""
    found: dict[int, str] = {}
    for name, fmt in plan.items():
        if fmt.rotation is not None:
            found.setdefault(fmt.rotation, name)
    return {name: block for block, name in found.items()}


def main(path: str) -> int:
    """Make what the file says; the last line of stderr is the reason where it fails."""
    sys.stdout = sys.stderr  # what libraries print is no progress
    try:
        job = msgspec.json.decode(Path(path).read_bytes(), type=Job)
        make(job)
    except QbenchError as error:
        sys.stderr.write(f"\n{error}\n")
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the reason
        traceback.print_exc()
        said = " ".join(str(error).split())[:400]
        sys.stderr.write(f"\n{type(error).__name__}: {said}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
