"""What makes two quantized checkpoints the same: everything that has a say in their bytes."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from qbench.errors import ConfigError, Unsupported
from qbench.kernels.formats import Format, get_format
from qbench.service.domain import fingerprint
from qbench.workers.checkpoints import Checkpoint, cache_folder, digest
from qbench.workers.engines.schemes import find_config, read_scheme
from qbench.workers.quantize.calibration import Calibration
from qbench.workers.quantize.environment import Tool
from qbench.workers.quantize.makers import VERSIONS, MakerName, Way

TOKENIZER_FILES = (
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template*",
    "generation_config.json",
    "vocab.*",
    "merges.txt",
    "*.model",
)
"""What a made checkpoint takes over from its source as it is."""


class Wish(Struct, frozen=True, kw_only=True):
    """What a user may say of the making, beside format and recipe."""

    calibration: Calibration = Calibration()
    layers: dict[str, str] = {}
    """Regular expression -> format, for layers that are to be in another one; ``bf16`` keeps."""
    low_rank: int = 0
    options: dict[str, Any] = {}
    """Of the recipe; see ``qbench.workers.quantize.makers.OPTIONS``."""
    seed: int = 0


class Identity(Struct, frozen=True, kw_only=True):
    """All that has a say in the bytes of a quantized checkpoint."""

    weights: str
    """Commit or SHA-256 of the source."""
    format: Format
    recipe: str
    options: dict[str, Any]
    layers: dict[str, Format]
    low_rank: int
    seed: int
    calibration: str
    """SHA-256 of the calibration tokens; empty for recipes without data."""
    maker: MakerName
    maker_version: int
    versions: dict[str, str]
    """Of the libraries that do the arithmetic."""

    @property
    def core(self) -> str:
        """Digest of all but the library versions, 12 hex digits."""
        return fingerprint(replace(self, versions={}))

    @property
    def fingerprint(self) -> str:
        """Digest of everything: ``core`` and the versions', joined by a dash."""
        return f"{self.core}-{fingerprint(self.versions)[:8]}"


def identify(source: Checkpoint, way: Way, wish: Wish, tokens: str, tool: Tool | None) -> Identity:
    """Put together what makes a checkpoint of ``source``.

    ``tokens``: SHA-256 of the calibration tokens. Without a ``tool`` versions are empty.
    """
    return Identity(
        weights=weights_digest(source),
        format=_value(way.fmt),
        recipe=way.recipe,
        options=way.options,
        layers={pattern: _value(get_format(name)) for pattern, name in wish.layers.items()},
        low_rank=wish.low_rank,
        seed=wish.seed,
        calibration=tokens if way.needs_data else "",
        maker=way.maker,
        maker_version=VERSIONS[way.maker],
        versions=versions(way.maker, tool),
    )


def _value(fmt: Format) -> Format:
    """Return a format without the words that explain it."""
    return replace(fmt, about="", paper="", recipe="rtn")


def versions(maker: MakerName, tool: Tool | None) -> dict[str, str]:
    """Return the versions of the libraries that ``maker`` computes with."""
    if maker == "llm-compressor":
        return tool.versions if tool else {}
    names = ("torch", "transformers", "safetensors")
    return {name: _version(name) for name in names}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


class _Known(Struct):
    """A digest and what the files looked like when it was taken."""

    stamps: dict[str, tuple[int, int]]
    digest: str


def weights_digest(source: Checkpoint) -> str:
    """Identify the weights: by commit for the hub's, else by what stands in the files.

    Reading many gigabytes takes a while, so the digest is kept until a size or a time changes.
    """
    if not source.origin.startswith("folder "):
        return source.revision
    folder = Path(source.path)
    files = sorted(
        file
        for pattern in ("*.json", "*.safetensors", *TOKENIZER_FILES)
        for file in folder.glob(pattern)
        if file.is_file()
    )
    files = list(dict.fromkeys(files))
    stamps = {file.name: (file.stat().st_size, file.stat().st_mtime_ns) for file in files}
    note = cache_folder() / "quantized" / "digests" / f"{fingerprint(str(folder))}.json"
    if (known := _read(note)) and known.stamps == stamps:
        return known.digest
    parts = "".join(f"{file.name} {digest(file)}\n" for file in files)
    found = hashlib.sha256(parts.encode()).hexdigest()
    note.parent.mkdir(parents=True, exist_ok=True)
    write_whole(note, msgspec.json.encode(_Known(stamps=stamps, digest=found)))
    return found


def _read(note: Path) -> _Known | None:
    try:
        return msgspec.json.decode(note.read_bytes(), type=_Known)
    except (OSError, msgspec.MsgspecError):
        return None


def write_whole(file: Path, content: bytes) -> None:
    """Write a file so that nobody ever sees half of it."""
    scratch = file.with_name(f".{file.name}.{id(content):x}")
    scratch.write_bytes(content)
    scratch.replace(file)


def refuse_quantized(source: Checkpoint, model: str) -> None:
    """Refuse a source that is quantized already, or of a kind nobody can tell.

    Raises:
        Unsupported: names what it is.
        ConfigError: there is no readable config.json.

    """
    config = find_config(source.path)
    if config is None:
        raise ConfigError(f"{model} has no config.json.", hint="Name a Hugging Face checkpoint.")
    scheme = read_scheme(config)
    if scheme is not None and not scheme.method:
        return
    what = scheme.label if scheme else "quantized in a way that qbench does not know"
    raise Unsupported(
        f"{model} is {what} already: what is rounded twice is neither format.",
        hint="Name the unquantized checkpoint that it was made from.",
    )


Progress = Callable[[int, int, str], None]
"""Takes step, number of steps and what is being done."""
