"""What vLLM's log says about what really ran, and about why it did not. Pure.

Written against vLLM 0.26 and 0.32; a line that another version words differently makes a fact
unknown, never wrong.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct

_VERSION = re.compile(r"LLM engine \(v([^)\s]+)\)|(?:server|▄█.*) version (\d[\w.+]*)")
_SETTING = {
    name: re.compile(rf"\b{name}='?([^,'\s]+)")
    for name in ("quantization", "dtype", "max_seq_len", "kv_cache_dtype", "tensor_parallel_size")
}
_KERNEL = re.compile(r"(?:Using|Selected) ([A-Za-z0-9_]*(?:Kernel|Experts)[A-Za-z0-9_]*) for (\S+)")
_EXPERTS = re.compile(r"Using '?(\w+)'? (?:(\w+) )?MoE backend")
_ATTENTION = re.compile(r"Using ([A-Z][A-Z0-9_]+) attention backend")
_LOADED = re.compile(r"Model loading took ([\d.]+) GiB")
_TIMES = {
    "weights": (
        r"Model loading took [\d.]+ GiB(?: memory)? and ([\d.]+) s",
        r"Loading weights took ([\d.]+) s",
    ),
    "compile": (
        r"torch\.compile took ([\d.]+) s in total",
        r"\(compilation: ([\d.]+) s",
        r"torch\.compile and initial profiling/warmup run together took ([\d.]+) s",
    ),
    "profile": (r"Initial profiling/warmup run took ([\d.]+) s",),
    "graphs": (r"Graph capturing finished in ([\d.]+) s",),
    "engine": (r"init engine \(profile, create kv cache, warmup model\) took ([\d.]+) s",),
}
_INNER = ("compile", "profile", "graphs")
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
    """It warned that the GPU lacks arithmetic for the format, which is not always so."""
    weights_gib: float | None = None
    times: dict[str, float] = {}
    """Seconds: ``weights`` read, moved and repacked; ``engine`` from there to the first request,
    and within it ``compile``, ``profile`` (the run that finds the KV cache's size) and
    ``graphs``."""
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
        kernels=_kernels(text),
        attention=attention[1] if attention else "",
        weight_only=bool(_WEIGHT_ONLY.search(text)),
        weights_gib=float(loaded[1]) if loaded else None,
        times=_times(text),
        settings=settings,
    )


def _kernels(text: str) -> tuple[tuple[str, str], ...]:
    """Return kernels and what each was chosen for, experts after linear layers."""
    linear = [(name, what.rstrip(".,")) for name, what in _KERNEL.findall(text)]
    experts = [(name, f"{kind} experts".strip()) for name, kind in _EXPERTS.findall(text)]
    return tuple(dict.fromkeys(linear + experts))


def _times(text: str) -> dict[str, float]:
    """Return the longest time told of each phase: workers in parallel tell one each."""
    found = {}
    for name, patterns in _TIMES.items():
        told = next(filter(None, (re.findall(pattern, text) for pattern in patterns)), [])
        if told:
            found[name] = max(float(seconds) for seconds in told)
    return found


def phases(times: dict[str, float], *, process_s: float | None, total_s: float) -> dict[str, float]:
    """Split a start into phases that do not overlap and add up to ``total_s``, in seconds.

    Args:
        times: Of ``LogFacts``.
        process_s: Until weights began to be loaded; None where that was not seen.
        total_s: Until the server was healthy.

    ``cache`` is what remains of the engine's own initialization (KV cache, warm-up), ``rest`` what
    nothing tells. Phases that were not told are not in it.

    """
    found: dict[str, float] = {} if process_s is None else {"process": process_s}
    found |= {name: times[name] for name in ("weights", *_INNER) if name in times}
    if "engine" in times:
        inner = sum(found.get(name, 0.0) for name in _INNER)
        found["cache"] = max(0.0, times["engine"] - inner)
    found["rest"] = max(0.0, total_s - sum(found.values()))
    found["total"] = total_s
    return {name: round(seconds, 2) for name, seconds in found.items()}


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
