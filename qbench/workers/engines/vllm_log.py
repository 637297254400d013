"""What vLLM's log says about what really ran, and about why it did not. Pure.

Written against vLLM 0.26; a line that a later version words differently makes a fact unknown,
never wrong.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct

from qbench.service.domain import ComputePath

_VERSION = re.compile(r"LLM engine \(v([^)\s]+)\)|(?:server|▄█.*) version (\d[\w.+]*)")
_SETTING = {
    name: re.compile(rf"\b{name}='?([^,'\s]+)")
    for name in ("quantization", "dtype", "max_seq_len", "kv_cache_dtype", "tensor_parallel_size")
}
_KERNEL = re.compile(r"(?:Using|Selected) ([A-Za-z0-9_]*(?:Kernel|Experts)[A-Za-z0-9_]*) for (\S+)")
_ATTENTION = re.compile(r"Using ([A-Z][A-Z0-9_]+) attention backend")
_LOADED = re.compile(r"Model loading took ([\d.]+) GiB")
_WEIGHT_ONLY = re.compile(r"does not have native support for FP[48] computation")
_ERROR = re.compile(r"(\b[\w.]*(?:Error|Exception)): (.+)")
_ECHOES = ("Engine core initialization failed", "WorkerProc initialization failed")

HINTS = (
    ("out of memory", "Free the GPU's memory, or lower -o gpu_memory or -o max_model_len."),
    ("less than desired GPU memory", "Free the GPU's memory, or lower -o gpu_memory."),
    ("No available memory for the cache", "Raise -o gpu_memory or lower -o max_model_len."),
    ("KV cache is needed", "Lower -o max_model_len, or raise -o gpu_memory."),
    ("gated repo", "Accept the model's licence on the Hub and set HF_TOKEN."),
    ("is not a local folder", "Check the model's name."),
    ("invalid tool call parser", "Name one that this version has with -o tool_call_parser."),
)


class LogFacts(Struct, frozen=True, kw_only=True):
    """What a started vLLM said of itself; None and empty where it said nothing."""

    version: str = ""
    quantization: str | None = None
    """``None`` (the word) for an unquantized model, or the name of a method."""
    kernels: tuple[tuple[str, str], ...] = ()
    """Pairs of kernel and the scheme or layer it was chosen for, in order of appearance."""
    attention: str = ""
    weight_only: bool = False
    """It warned that activations stay 16-bit for want of hardware."""
    weights_gib: float | None = None
    settings: dict[str, str] = {}

    @property
    def kernel(self) -> str:
        """The kernels' names, joined."""
        return ", ".join(dict.fromkeys(name for name, _ in self.kernels))


def read_log(text: str) -> LogFacts:
    """Read the log of a start."""
    config = next((line for line in text.splitlines() if "LLM engine (v" in line), "")
    settings = {
        name: found[1] for name, pattern in _SETTING.items() if (found := pattern.search(config))
    }
    version = _VERSION.search(text)
    attention = _ATTENTION.search(text)
    loaded = _LOADED.search(text)
    return LogFacts(
        version=next(filter(None, version.groups()), "") if version else "",
        quantization=settings.pop("quantization", None),
        kernels=tuple(
            dict.fromkeys((name, what.rstrip(".,")) for name, what in _KERNEL.findall(text))
        ),
        attention=attention[1] if attention else "",
        weight_only=bool(_WEIGHT_ONLY.search(text)),
        weights_gib=float(loaded[1]) if loaded else None,
        settings=settings,
    )


def compute_path(facts: LogFacts, *, activation_bits: int | None) -> ComputePath:
    """Judge whether what ran is what the format means.

    Args:
        facts: From the log.
        activation_bits: What the format multiplies with; None for 16 bits and more.

    Marlin's kernels multiply 16-bit activations: for a format with narrower ones they are a
    fallback. The worst of several kernels counts.

    """
    names = [name for name, _ in facts.kernels]
    if any("Emulation" in name for name in names):
        return "emulated"
    narrow = activation_bits is not None
    if narrow and (facts.weight_only or any("Marlin" in name for name in names)):
        return "weight-only fallback"
    if facts.quantization == "None" and not narrow:
        return "native"
    return "native" if names else "unknown"


def root_cause(lines: Sequence[str]) -> str:
    """Return the exception behind a failed start and what to do, as far as the log tells.

    vLLM's last exception only says that the engine's process failed; the reason stands before it.
    """
    found = [match for line in lines if (match := _ERROR.search(line))]
    causes = [match for match in found if not any(echo in match[2] for echo in _ECHOES)]
    if not causes:
        return ""
    said = f"{causes[-1][1]}: {causes[-1][2][:300].strip()}"
    text = "\n".join(lines)
    hint = next((hint for part, hint in HINTS if part.lower() in text.lower()), "")
    return f"{said} {hint}".strip()
