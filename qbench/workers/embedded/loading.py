"""A checkpoint in a Format, ready to be served; and what really was made of it."""

from __future__ import annotations

import resource
import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import msgspec
import torch
from msgspec import Struct
from torch import nn
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedTokenizerFast,
)

from qbench.errors import ConfigError, Unsupported
from qbench.kernels.formats import Format, get_format
from qbench.kernels.linears.applying import Coded, Ran, apply_kernels, install_coded
from qbench.kernels.linears.layers import AppliedFormat
from qbench.kernels.linears.linear import Shared, apply_format, install, widen
from qbench.kernels.paths import ComputePath, compute_path, multiplies_in
from qbench.kernels.reference import FLOATS
from qbench.kernels.schemes import FloatName
from qbench.workers.embedded.cache import ATTENTION
from qbench.workers.embedded.stored import Restored, restore
from qbench.workers.embedded.stored_layers import reader_of
from qbench.workers.engines.schemes import Json, contradiction, read_quantization, scheme_of
from qbench.workers.hardware import this_machine


class Loaded(Struct, frozen=True, kw_only=True):
    """A model that can be served."""

    model: nn.Module
    tokenizer: PreTrainedTokenizerFast
    device: str
    cache_dtype: torch.dtype
    """Of keys and values: that in which attention is fast here."""
    effective: str
    kernel: str
    """How products are made."""
    path: ComputePath
    waits: bool
    """Whether layers make the host wait for the device, as emulated ones do."""
    bits_per_weight: float
    weight_bytes: int
    """All weights packed: what a checkpoint of the format takes, or the files really take."""
    length: int
    """Longest context the model was made for."""


class _Ready(Struct, frozen=True, kw_only=True):
    """A model whose layers compute in a format, and what a row says of it."""

    fmt: Format
    model: nn.Module
    effective: str
    bits_per_weight: float
    weight_bytes: int
    ran: Ran | None
    """What multiplies on a GPU; None where numbers are turned back first, and on CPUs."""


def load(folder: Path, format_name: str, *, device: str = "", emulate: bool = False) -> Loaded:
    """Load a causal language model with its linear layers in a Format.

    Weights in 16 bits and more are rounded to nearest here. A checkpoint that is quantized already
    is served as it is, if what it holds is the format. On a CUDA GPU, programs multiply the codes
    of formats that have any; ``emulate`` has numbers multiplied there too.

    Raises:
        NotFound: for an unknown format.
        Unsupported: the checkpoint holds another format, or what nothing here computes.
        ConfigError: it is incomplete.
        OSError, ValueError: transformers cannot read the folder.

    """
    chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
    exact_sums()
    told = read_quantization(folder / "config.json")
    make = partial(_as_stored, told) if told else _rounded
    native = programs_run_on(chosen) and not emulate
    ready = make(folder, get_format(format_name), chosen, native=native)
    fmt, held = ready.fmt, held_in(ready.fmt, chosen)
    return Loaded(
        model=ready.model,
        tokenizer=cast("PreTrainedTokenizerFast", AutoTokenizer.from_pretrained(folder)),
        device=chosen,
        cache_dtype=FLOATS[fmt.arithmetic or held],
        effective=ready.effective,
        kernel=ready.ran.kernel if ready.ran else kernel_of(fmt, fmt.arithmetic or held),
        path=ready.ran.path if ready.ran else _emulated_path(fmt, chosen),
        waits=ready.ran is None,
        bits_per_weight=ready.bits_per_weight,
        weight_bytes=ready.weight_bytes,
        length=int(getattr(ready.model.config, "max_position_embeddings", 4096)),
    )


def programs_run_on(device: str) -> bool:
    """Whether Triton's programs run there: on GPUs that multiply bfloat16."""
    if not device.startswith("cuda") or find_spec("triton") is None:
        return False
    return torch.cuda.get_device_capability(device) >= (8, 0)


def _emulated_path(fmt: Format, device: str) -> ComputePath:
    return compute_path(fmt, this_machine(gpu=device != "cpu").architecture, emulated=True)


def _rounded(folder: Path, fmt: Format, device: str, *, native: bool) -> _Ready:
    """Load 16-bit weights and round them to nearest."""
    model = _whole(folder, fmt).to(device)  # before codes are made: a GPU makes the same sooner
    applied, ran = _applied(model, fmt, device, native=native)
    return _Ready(
        fmt=fmt,
        model=model,
        effective=f"{applied.effective}, rtn" if fmt.quantized else applied.effective,
        bits_per_weight=applied.bits_per_weight,
        weight_bytes=applied.weight_bytes_packed,
        ran=ran,
    )


def _applied(
    model: nn.Module, fmt: Format, device: str, *, native: bool
) -> tuple[AppliedFormat, Ran | None]:
    """Have programs multiply, or emulate where there is none for the format."""
    if native and fmt.arithmetic is None:
        try:
            return apply_kernels(model, fmt)
        except Unsupported as lacking:
            _say_emulated(fmt, lacking)
    return apply_format(model, fmt, multiply_in=held_in(fmt, device)), None


def _say_emulated(fmt: Format, lacking: Unsupported) -> None:
    sys.stderr.write(f"{fmt.name} is emulated: {lacking}\n")


def _as_stored(told: Json, folder: Path, fmt: Format, device: str, *, native: bool) -> _Ready:
    """Turn the layers of a quantized checkpoint back, and round inputs as its config says."""
    scheme = scheme_of({"quantization_config": told})
    if scheme is None:
        raise Unsupported(
            f"{folder}: nobody can tell how these weights are quantized.",
            hint="See quantization_config in its config.json; serve it with --engine vllm.",
        )
    if said := contradiction(fmt.name, scheme):
        raise Unsupported(f"{folder}: {said}.", hint="Ask for the format that it holds.")
    config = AutoConfig.from_pretrained(folder)
    fmt = msgspec.structs.replace(fmt, storage=_storage(config))
    restored = restore(folder, reader_of(told), FLOATS[fmt.storage], keep_codes=native)
    if hasattr(config, "quantization_config"):
        del config.quantization_config  # what is left is an ordinary model
    kind = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    model = _whole(None, fmt, kind, config=config, state_dict=restored.state).to(device)
    ran = _from_codes(model, restored, fmt) if native else None
    if ran is None:
        _from_numbers(model, restored, fmt, device)
    return _Ready(
        fmt=fmt,
        model=model,
        effective=scheme.label,
        bits_per_weight=restored.bits_per_weight,
        weight_bytes=restored.weight_bytes,
        ran=ran,
    )


def _from_codes(model: nn.Module, restored: Restored, fmt: Format) -> Ran | None:
    """Have programs multiply stored codes; None where a layer has none that they read."""
    if restored.coded.keys() != restored.inputs.keys():
        return None
    pairs = restored.coded.items()
    coded = {name: Coded(quantized=one, inputs=restored.inputs[name]) for name, one in pairs}
    try:
        return install_coded(model, coded, fmt)
    except Unsupported as lacking:
        _say_emulated(fmt, lacking)
        return None


def _from_numbers(model: nn.Module, restored: Restored, fmt: Format, device: str) -> None:
    """Emulate: multiply weights that were turned back."""
    shared = Shared()
    for name, inputs in restored.inputs.items():
        install(model, name, model.get_submodule(name).get_parameter("weight"), inputs, shared)
    if held_in(fmt, device) != fmt.storage:
        widen(model, FLOATS[held_in(fmt, device)])


def _storage(config: PretrainedConfig) -> FloatName:
    """Return the checkpoint's own 16-bit type: another one would round its scales."""
    named = str(getattr(config, "dtype", "")).removeprefix("torch.")
    return next((name for name in FLOATS if name == named), "bfloat16")


def _whole(
    folder: Path | None, fmt: Format, kind: Any = AutoModelForCausalLM, **more: Any
) -> nn.Module:
    """Load a model that gets all its parameters: transformers draws missing ones at random."""
    model, info = kind.from_pretrained(
        folder,
        dtype=FLOATS[fmt.storage],
        attn_implementation=ATTENTION,
        output_loading_info=True,
        **more,
    )
    missing = [*sorted(info["missing_keys"]), *(info.get("mismatched_keys") or ())]
    if missing:
        raise ConfigError(
            f"The checkpoint lacks parameters of its model: {', '.join(map(str, missing[:3]))}.",
            hint="It is incomplete or damaged; download or make it again.",
        )
    found: nn.Module = model
    return found.eval()


def held_in(fmt: Format, device: str) -> FloatName:
    """Return the type in which linear weights are held: float32 on CPUs without 16-bit products."""
    if device != "cpu" or fmt.arithmetic is not None:  # LayerCast keeps weights narrow anywhere
        return fmt.storage
    return multiplies_in(fmt, this_machine(gpu=False).architecture)


def exact_sums() -> None:
    """Have GPUs add in float32 and multiply float32 as float32: no TF32, no 16-bit partial sums."""
    torch.set_float32_matmul_precision("highest")
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False


def kernel_of(fmt: Format, product: FloatName) -> str:
    """Say how products are made, for the row."""
    made = f"{fmt.storage} matmul"
    if fmt.arithmetic is not None:
        made = f"{fmt.storage} weights cast to {fmt.arithmetic} for each {fmt.arithmetic} matmul"
    elif product != fmt.storage:
        made = f"{fmt.storage} values multiplied in {product}, rounded once"
    return f"dequantize, then {made}" if fmt.weights else made


def peak_memory(device: str = "cpu") -> int:
    """Return the most bytes this process has held: of its own memory, or of the GPU's."""
    if device != "cpu":
        return int(torch.cuda.max_memory_allocated())
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
