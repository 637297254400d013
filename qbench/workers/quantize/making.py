"""From a wish to a checkpoint: find it, or make it in a scratch folder and put it in place."""

from __future__ import annotations

import errno
import re
import shutil
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from qbench.errors import ConfigError, QuantizationFailed, Unsupported
from qbench.kernels.formats import get_format
from qbench.service.catalogue import MODELS
from qbench.workers.checkpoints import Checkpoint, Say, digest, resolve
from qbench.workers.hardware import this_machine
from qbench.workers.quantize import cache
from qbench.workers.quantize.cache import MANIFEST, Entry, Manifest
from qbench.workers.quantize.calibration import Tokens, check_source, ready_tokens
from qbench.workers.quantize.environment import VARIABLE, Tool, find_tool
from qbench.workers.quantize.identity import (
    TOKENIZER_FILES,
    Identity,
    Progress,
    Wish,
    identify,
    refuse_quantized,
)
from qbench.workers.quantize.jobs import Job
from qbench.workers.quantize.layouts import columns, measure, schemes, tensors
from qbench.workers.quantize.locks import locked
from qbench.workers.quantize.makers import Way
from qbench.workers.quantize.note import write_note
from qbench.workers.quantize.running import run_maker

SCRIPT = Path(__file__).parent / "llmc_maker.py"
SCRATCH = ".making-"


class Made(Struct, frozen=True, kw_only=True):
    """A quantized checkpoint that is ready to be served."""

    path: str
    label: str
    """For people: ``w4a16 by gptq (llm-compressor 0.14.0.1)``."""
    recipe: str
    fingerprint: str


def silent(step: int, of: int, what: str) -> None:
    """Tell nobody of progress."""
    del step, of, what


def ensure(
    model: str,
    format_name: str,
    *,
    recipe: str = "",
    say: Say,
    wish: Wish | None = None,
    stop: threading.Event | None = None,
) -> Made:
    """Return the checkpoint of ``model`` in a format, made if it is not there yet.

    Several processes may ask for the same: one makes it, the others wait and share it. Another
    thread may set ``stop``; see ``locks.in_thread``.

    Raises:
        NotFound: an unknown format, recipe, option, suite or file.
        Unsupported: a pair that makes no sense, or a source that is quantized already.
        EngineStartError: the source cannot be had.
        QuantizationFailed: no llm-compressor, no room, or the maker failed; says why.

    """
    entry = ensure_entry(
        model, format_name, recipe=recipe, wish=wish or Wish(), watch=Watch(say, stop=stop)
    )
    told = entry.manifest
    return Made(path=entry.path, label=told.label, recipe=told.recipe, fingerprint=told.fingerprint)


class Watch(Struct, frozen=True):
    """Who is told of a making, and who may end it."""

    say: Say
    progress: Progress = silent
    stop: threading.Event | None = None


def ensure_entry(model: str, format_name: str, *, recipe: str, wish: Wish, watch: Watch) -> Entry:
    """Do as ``ensure`` does and return all that is known of the checkpoint."""
    way = cache.choose_way(format_name, recipe, wish)
    check_layers(wish)
    check_source(wish.calibration)
    if found := cache.find(model, way, wish):
        return found
    source = resolve(model, watch.say)
    refuse_quantized(source, model)
    tool = find_tool()
    if tool is None and way.maker == "llm-compressor":
        raise QuantizationFailed(
            "There is no llm-compressor here, which makes this format.",
            hint=f"Run `qbench doctor --fix`, or set {VARIABLE} to a Python that has it.",
        )
    tokens = ready_tokens(Path(source.path), wish.calibration, tool, watch.say)
    identity = identify(source, way, wish, tokens.digest, tool)
    place = cache.place(model, identity)
    making = _Making(model, source, way, wish, tokens, tool, identity)
    with locked(
        place.with_name(f".{place.name}.lock"),
        lambda: watch.say(f"another process is making {place.name}; waiting for it"),
        watch.stop,
    ):
        return cache.whole(place) or _make(making, place, watch)


def check_layers(wish: Wish) -> None:
    """Refuse patterns that are none."""
    for pattern in wish.layers:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ConfigError(
                f"{pattern!r} is no regular expression: {error}.",
                hint="Layers are named by what stands in their name, like 'layers\\.0\\.'.",
            ) from error


class _Making(Struct, frozen=True):
    """Everything a making needs."""

    model: str
    source: Checkpoint
    way: Way
    wish: Wish
    tokens: Tokens
    tool: Tool | None
    identity: Identity

    @property
    def label(self) -> str:
        """For people."""
        version = self.identity.versions.get("llmcompressor", "")
        by = f"llm-compressor {version}" if version else "qbench"
        extra = f", rank {self.wish.low_rank} correction" if self.wish.low_rank else ""
        mixed = ", mixed" if self.wish.layers else ""
        return f"{self.way.fmt.name} by {self.way.recipe}{extra}{mixed} ({by})"


def _make(making: _Making, place: Path, watch: Watch) -> Entry:
    """Make a checkpoint in a scratch folder and rename it into place. The lock is held."""
    _clear(place, watch.say)
    _check_room(making, place)
    watch.say(f"making {making.label} of {making.model}")
    scratch = Path(tempfile.mkdtemp(prefix=f"{SCRATCH}{place.name}-", dir=place.parent))
    try:
        out = scratch / "made"
        out.mkdir()
        began = time.monotonic()
        errors = run_maker(_command(making, scratch, out), watch.progress, watch.stop)
        manifest = _finish(making, out, errors, time.monotonic() - began)
        out.rename(place)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise _no_room(place.parent) from error
        raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return Entry(path=str(place), manifest=manifest)


def _clear(place: Path, say: Say) -> None:
    """Remove what a killed process left, and an entry whose checksums are wrong."""
    for left in place.parent.glob(f"{SCRATCH}{place.name}-*"):
        shutil.rmtree(left, ignore_errors=True)
    if cache.discard(place):
        say(f"{place.name} is damaged and is made again")


def _check_room(making: _Making, place: Path) -> None:
    """Refuse to begin what cannot end: the source's size bounds what is written."""
    needed = sum(file.stat().st_size for file in Path(making.source.path).glob("*.safetensors"))
    if shutil.disk_usage(place.parent).free < needed:
        raise _no_room(place.parent)


def _no_room(folder: Path) -> QuantizationFailed:
    free = shutil.disk_usage(folder).free / 1e9
    return QuantizationFailed(
        f"The disk of {folder} is too full: {free:.1f} GB are free.",
        hint="Make room, or set QBENCH_CACHE to a folder on a larger disk.",
    )


def _command(making: _Making, scratch: Path, out: Path) -> list[str]:
    """Write the job and return the command that does it."""
    job = _job(making, out)
    file = scratch / "job.json"
    file.write_bytes(msgspec.json.encode(job))
    if making.way.maker == "own":
        return [sys.executable, "-m", "qbench.workers.quantize.own", str(file)]
    assert making.tool is not None
    return [making.tool.python, "-I", str(SCRIPT), str(file)]


def _job(making: _Making, out: Path) -> Job:
    source, way, wish = Path(making.source.path), making.way, making.wish
    widths = columns(tensors(source).values())
    names = {way.fmt.name, *wish.layers.values()}
    told = {name: schemes(get_format(name), widths) for name in names if get_format(name).weights}
    if not told[way.fmt.name] and way.maker == "llm-compressor":
        raise Unsupported(
            f"{way.fmt.name} fits no layer of {making.model}: its columns are "
            f"{', '.join(map(str, sorted(widths)))}.",
            hint="Use a format with one scale per channel, for example w8a16 or fp8.",
        )
    return Job(
        checkpoint=making.source.path,
        out=str(out),
        format=way.fmt.name,
        recipe=way.recipe,
        storage=way.fmt.storage,
        calibration=making.tokens.path if way.needs_data else "",
        probe=making.tokens.probe,
        seed=wish.seed,
        layers=wish.layers,
        low_rank=wish.low_rank,
        options=way.options,
        schemes=told if way.maker == "llm-compressor" else {},
    )


def _finish(making: _Making, out: Path, told: dict[str, float | None], seconds: float) -> Manifest:
    """Check what was written, add what stands beside it, and describe it.

    Raises:
        QuantizationFailed: nothing was quantized, or an error is no number.

    """
    source = Path(making.source.path)
    for pattern in TOKENIZER_FILES:
        for file in source.glob(pattern):
            shutil.copyfile(file, out / file.name)
    size = measure(source, out)
    errors = {name: error for name, error in told.items() if error is not None}
    if not size.quantized or len(errors) < len(told):
        raise QuantizationFailed(
            f"{making.model} in {making.way.fmt.name} came out "
            + ("with NaN or infinity in its layers." if size.quantized else "unquantized."),
            hint="The checkpoint is damaged, or is of a kind that the maker does not know.",
        )
    manifest = Manifest(
        model=making.model,
        origin=making.source.origin,
        license=license_of(making.model, source),
        format=making.way.fmt.name,
        recipe=making.way.recipe,
        label=making.label,
        fingerprint=making.identity.fingerprint,
        identity=making.identity,
        calibration=making.wish.calibration.about if making.way.needs_data else "",
        made_at=datetime.now(UTC),
        seconds=seconds,
        hardware=this_machine().name,
        size=size,
        errors=errors,
        files={},
    )
    write_note(out, manifest)
    files = {
        str(file.relative_to(out)): digest(file)
        for file in sorted(out.rglob("*"))
        if file.is_file()
    }
    manifest = replace(manifest, files=files)
    (out / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))
    return manifest


def license_of(model: str, source: Path) -> str:
    """Say under what licence the source is, from the catalogue or its own card."""
    if model in MODELS:
        return MODELS[model].license
    card = source / "README.md"
    if card.is_file():
        found = re.search(r"^license:\s*(\S+)", card.read_text(errors="replace"), re.MULTILINE)
        if found:
            return found[1]
    return "not told by the source: see where it came from"
