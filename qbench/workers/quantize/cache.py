"""Quantized checkpoints that were made before: found by what they are, checked, listed.

A checkpoint is a folder ``<cache>/quantized/MODEL/FORMAT-RECIPE-FINGERPRINT`` with a manifest.
It appears by one rename when it is whole; a lock beside it lets one process make it while others
wait.
"""

from __future__ import annotations

import re
import shutil
from datetime import datetime
from functools import lru_cache
from pathlib import Path

import msgspec
from msgspec import Struct

from qbench.errors import QbenchError
from qbench.workers.checkpoints import cache_folder, digest, here
from qbench.workers.quantize.calibration import find_tokens
from qbench.workers.quantize.environment import find_tool
from qbench.workers.quantize.identity import Identity, Wish, identify, refuse_quantized
from qbench.workers.quantize.layouts import Size
from qbench.workers.quantize.makers import Way, choose

MANIFEST = "qbench-quantized.json"


class Manifest(Struct, frozen=True, kw_only=True):
    """What stands beside quantized weights."""

    model: str
    origin: str
    """Where the source came from: ``hub revision 12fd25f``."""
    license: str
    """Of the source, as far as it is told; the made weights are under it too."""
    format: str
    recipe: str
    label: str
    fingerprint: str
    identity: Identity
    calibration: str
    """For people; empty without data."""
    made_at: datetime
    seconds: float
    """That the maker took."""
    hardware: str
    size: Size
    errors: dict[str, float]
    """Of each decoder layer's output on held-out text; empty where it was not measured."""
    files: dict[str, str]
    """SHA-256 by name, of all files but this one."""

    @property
    def mean_error(self) -> float | None:
        """Mean over decoder layers; None where it was not measured."""
        return sum(self.errors.values()) / len(self.errors) if self.errors else None

    @property
    def worst(self) -> tuple[str, float] | None:
        """The layer with the largest error, and that error."""
        return max(self.errors.items(), key=lambda one: one[1]) if self.errors else None


class Entry(Struct, frozen=True, kw_only=True):
    """One folder of the cache."""

    path: str
    manifest: Manifest


def root() -> Path:
    """Return where quantized checkpoints are kept."""
    return cache_folder() / "quantized"


def shelf(model: str) -> Path:
    """Return the folder for all checkpoints made of ``model``."""
    name = Path(model).expanduser().resolve().name if Path(model).is_dir() else model
    return root() / "models" / re.sub(r"[^A-Za-z0-9._-]+", "--", name)


def place(model: str, identity: Identity) -> Path:
    """Return where the checkpoint with this identity stands, made or not."""
    name = f"{identity.format.name}-{identity.recipe}-{identity.fingerprint}"
    return shelf(model) / name


def cached_checkpoint(
    model: str, format_name: str, recipe: str = "", wish: Wish | None = None
) -> Path | None:
    """Return the folder of a checkpoint made before, None where there is none; makes nothing.

    ``recipe`` empty: the format's own. Without llm-compressor here, one made with any version of
    it counts, the newest first.

    Raises:
        NotFound, Unsupported: as ``makers.choose``.

    """
    found = find(model, choose_way(format_name, recipe, wish or Wish()), wish or Wish())
    return Path(found.path) if found else None


def can_make(model: str, format_name: str, recipe: str = "") -> str:
    """Say why a checkpoint cannot be made here; empty where it can, as far as one can tell."""
    try:
        way = choose(format_name, recipe)
        if (source := here(model)) is not None:
            refuse_quantized(source, model)
    except QbenchError as error:
        return str(error)
    if way.maker == "llm-compressor" and find_tool() is None:
        return "There is no llm-compressor here: run `qbench doctor --fix`."
    return ""


def choose_way(format_name: str, recipe: str, wish: Wish) -> Way:
    """Choose the maker for a wish. Raises as ``makers.choose``."""
    others = wish.layers.values()
    return choose(format_name, recipe, options=wish.options, low_rank=wish.low_rank, others=others)


def find(model: str, way: Way, wish: Wish) -> Entry | None:
    """Return the whole entry that is what ``way`` and ``wish`` would make; None without one."""
    source = here(model)
    if source is None:
        return None
    tokens = ""
    if way.needs_data:
        try:
            kept = find_tokens(Path(source.path), wish.calibration)
        except OSError:
            kept = None
        if kept is None:
            return None
        tokens = kept.digest
    tool = find_tool()
    identity = identify(source, way, wish, tokens, tool)
    exact = place(model, identity)
    if way.maker == "own" or tool is not None:
        return whole(exact)
    alike = shelf(model).glob(f"{identity.format.name}-{identity.recipe}-{identity.core}-*")
    entries = [entry for folder in alike if (entry := whole(folder))]
    return max(entries, key=lambda entry: entry.manifest.made_at, default=None)


def read(folder: Path) -> Entry | None:
    """Return an entry without checking its files; None for what is none."""
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.MsgspecError, QbenchError):
        return None
    return Entry(path=str(folder), manifest=manifest)


def whole(folder: Path) -> Entry | None:
    """Return an entry of which every file has its checksum; None for any other.

    Within a process a file is read again when its size or its time is another.
    """
    entry = read(folder)
    if entry is None:
        return None
    try:
        same = all(_sum(folder / name) == told for name, told in entry.manifest.files.items())
    except OSError:
        return None
    return entry if same else None


def _sum(file: Path) -> str:
    looks = file.stat()
    return _digest(file, looks.st_size, looks.st_mtime_ns, looks.st_ino)


@lru_cache(maxsize=4096)
def _digest(file: Path, size: int, changed: int, node: int) -> str:
    """Return the SHA-256 of a file that looks like this."""
    del size, changed, node
    return digest(file)


def entries() -> list[Entry]:
    """Return all entries, unchecked, by model and name."""
    found = (read(file.parent) for file in sorted(root().glob(f"models/*/*/{MANIFEST}")))
    return [entry for entry in found if entry is not None]


def discard(folder: Path) -> bool:
    """Remove a folder; say whether there was one."""
    if not folder.exists():
        return False
    shutil.rmtree(folder)
    return True
