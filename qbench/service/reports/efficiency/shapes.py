"""Shapes of models by name, for costs that are counted rather than measured."""

from __future__ import annotations

from typing import Any

from qbench.benchmarks.analysis.scaling.kinetics import Decoder
from qbench.kernels.layertime.transformer import Transformer, transformer_of
from qbench.kernels.sizes import shape_of

_KEYS = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "vocab_size",
    "tie_word_embeddings",
)
CONFIGS: dict[str, tuple[int, int, int, int, int, int, int, bool]] = {
    "SmolLM2-135M": (576, 1536, 30, 9, 3, 64, 49152, True),
    "SmolLM2-360M": (960, 2560, 32, 15, 5, 64, 49152, True),
    "SmolLM2-1.7B": (2048, 8192, 24, 32, 32, 64, 49152, True),
    "Qwen3-0.6B": (1024, 3072, 28, 16, 8, 128, 151936, True),
    "Qwen3-1.7B": (2048, 6144, 28, 16, 8, 128, 151936, True),
    "Qwen3-4B": (2560, 9728, 36, 32, 8, 128, 151936, True),
    "Qwen3-8B": (4096, 12288, 36, 32, 8, 128, 151936, False),
    "Qwen3-14B": (5120, 17408, 40, 40, 8, 128, 151936, False),
    "Qwen3-32B": (5120, 25600, 64, 64, 8, 128, 151936, False),
    "Llama-3.1-8B": (4096, 14336, 32, 32, 8, 128, 128256, False),
    "Llama-3.1-70B": (8192, 28672, 80, 64, 8, 128, 128256, False),
    "Llama-3.2-1B": (2048, 8192, 16, 32, 8, 64, 128256, True),
    "Llama-3.2-3B": (3072, 8192, 28, 24, 8, 128, 128256, True),
}
"""The numbers of each model's ``config.json``, in the order of ``_KEYS``."""


def decoder_of(model: str) -> Decoder | None:
    """Return the shape of a model by its Hub id or folder; None where it is not known."""
    found = _known(model)
    if found is None:
        return None
    config = _config(found)
    return Decoder(
        parameters=shape_of(config, found).parameters,
        layers=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
        kv_heads=config["num_key_value_heads"],
        head_dim=config["head_dim"],
    )


def transformer_named(model: str) -> Transformer | None:
    """Return what an engine runs for a model by its id or folder; None where it is not known."""
    found = _known(model)
    return None if found is None else transformer_of(_config(found), found)


def config_named(model: str) -> dict[str, Any] | None:
    """Return the numbers of a known model's ``config.json``; None where it is not known."""
    found = _known(model)
    return None if found is None else _config(found)


def _known(model: str) -> str | None:
    name = model.rstrip("/").rsplit("/", 1)[-1].lower()
    known = sorted(CONFIGS, key=len, reverse=True)
    return next((one for one in known if _is(name, one.lower())), None)


def _config(known: str) -> dict[str, Any]:
    return dict(zip(_KEYS, CONFIGS[known], strict=True))


def _is(name: str, known: str) -> bool:
    """Whether a name is that model or a tuning of it: ``Qwen3-8B-FP8``, not ``Qwen3-80B``."""
    return (
        name == known or name.startswith((f"{known}-", f"meta-{known}-")) or name == f"meta-{known}"
    )
