"""Profiles: how long a system takes for a grid of token counts, measured once and kept in files.

A file holds every timing, so that each number is computed anew from them; the fit beside them is
for people. It is known by what was served, on what, by which version: the same measured again
replaces it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct

from qbench.benchmarks.analysis.efficiency.runtime import Grid, denoised_grid
from qbench.errors import NotFound, StoreError
from qbench.service.database import default_file
from qbench.service.domain import ComputePath, Endpoint, System, fingerprint

FOLDER = "QBENCH_PROFILES"
"""Environment variable with the folder of profiles; unset: ``profiles`` beside the database."""


class Timed(Struct, frozen=True, kw_only=True):
    """One request, alone on the engine."""

    prompt: int
    """Tokens, as the engine counted them."""
    output: int
    seconds: float
    """Send to the last byte of the reply."""


class Busy(Struct, frozen=True, kw_only=True):
    """Many requests of one shape, always ``streams`` of them in flight."""

    streams: int
    prompt: int
    output: int
    queries: int
    seconds: float
    """Of all of them together."""


class Consumption(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Memory and power while the grid was measured; None where unknown, and why."""

    memory_mean: float | None = None
    """Bytes, time average."""
    memory_peak: float | None = None
    memory_total: float | None = None
    watts: float | None = None
    """Time average over all devices."""
    samples: int = 0
    unknown: dict[str, str] = {}
    """``memory`` or ``power`` to the reason."""


class Summary(Struct, frozen=True, kw_only=True):
    """What the fit was when the profile was made."""

    prompts: tuple[int, ...]
    first: tuple[float, ...]
    """F(p), seconds."""
    per_token: float
    """g, seconds."""
    r_squared: float
    worst_residual: float
    """Relative."""
    context_change: float | None
    """Relative change of a token's time from the shortest to the longest prompt; None: unknown."""


class Prediction(Struct, frozen=True, kw_only=True):
    """Of a profile that nobody measured."""

    source: str
    """What predicted it."""
    error: float
    """Relative, root mean square against whole engines."""
    rows: int
    """Measurements that the error is of."""


class Profile(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A measured grid and what stands behind it."""

    id: str
    model: str
    format: str
    engine: str
    engine_key: str
    engine_version: str
    hardware: str
    devices: int
    architecture: str
    effective: str
    kernel: str
    path: ComputePath
    checkpoint: str
    made_at: datetime
    version: str
    """qbench's."""
    load_s: float
    timings: tuple[Timed, ...]
    fit: Summary
    denoised: bool = False
    """The fit is of the fastest repeat of each point; else of all of them."""
    busy: tuple[Busy, ...] = ()
    consumption: Consumption = Consumption()
    session: str = ""
    """Shared by profiles whose requests took turns."""
    discarded: tuple[str, ...] = ()
    """Requests that did not have the tokens asked for, and how."""
    weight_bytes: float | None = None
    parameters: float | None = None
    hidden: int | None = None
    """Size of the model's hidden state; with ``layers`` it gives the operations."""
    layers: int | None = None
    predicted: Prediction | None = None
    """None: it was measured."""

    @property
    def label(self) -> str:
        """For people: ``SmolLM2-135M-Instruct w4a16``."""
        name = f"{self.model.rstrip('/').rsplit('/', 1)[-1]} {self.format}"
        return f"PREDICTED {name}" if self.predicted else name

    @property
    def ref(self) -> str:
        """For command lines: ``MODEL@FORMAT``."""
        return f"{self.model}@{self.format}"

    @property
    def grid(self) -> Grid:
        """The timings that are fitted, as columns."""
        return grid_of(self.timings, denoised=self.denoised)


def grid_of(timings: Iterable[Timed], *, denoised: bool = False) -> Grid:
    """Return timings as columns; with ``denoised`` the fastest repeat of each point alone."""
    rows = [(one.prompt, one.output, one.seconds) for one in timings]
    prompt, output, seconds = np.array(rows, dtype=np.float64).reshape(-1, 3).T
    found = Grid(prompt=prompt, output=output, seconds=seconds)
    return denoised_grid(found) if denoised else found


def profile_id(system: System, endpoint: Endpoint) -> str:
    """Return the digest of what is served, on what, by which version."""
    return fingerprint(
        (system.engine_key, endpoint.hardware, endpoint.devices, endpoint.engine_version)
    )


def weight_bytes(endpoint: Endpoint) -> float | None:
    """Return the size of the weights as an engine tells it; None where it does not."""
    if endpoint.details.get("weight_bytes"):
        return float(endpoint.details["weight_bytes"])
    gib = endpoint.details.get("weights_gib")
    return float(gib) * 1024**3 if gib else None


def folder() -> Path:
    """Return where profiles are kept."""
    chosen = os.environ.get(FOLDER)
    return Path(chosen).expanduser() if chosen else default_file().parent / "profiles"


def save(profile: Profile) -> Path:
    """Write a profile whole or not at all; return its file. Raises StoreError."""
    file = folder() / f"{profile.id}.json"
    text = msgspec.json.format(msgspec.json.encode(profile), indent=1)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=file.parent, delete=False) as part:
            part.write(text)
            part.flush()
            os.fsync(part.fileno())
        Path(part.name).replace(file)
    except OSError as error:
        raise StoreError(
            f"Cannot write the profile {file}: {error.strerror}.",
            hint=f"Name a folder of yours with {FOLDER}.",
        ) from None
    return file


def stored() -> tuple[Profile, ...]:
    """Return all profiles, the newest first; files that cannot be read are left out."""
    found = [_read(file) for file in folder().glob("*.json")]
    return tuple(sorted((one for one in found if one), key=lambda one: one.made_at, reverse=True))


def _read(file: Path) -> Profile | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=Profile)
    except (OSError, msgspec.MsgspecError):
        return None


def find(ref: str, profiles: Sequence[Profile]) -> Profile:
    """Find a profile by format, label, ``MODEL@FORMAT`` or the beginning of its id.

    The newest where one name has several.

    Raises:
        NotFound: none fits; lists them.

    """
    wanted = ref.lower()
    for one in profiles:
        names = {one.format, one.label, one.ref, f"{one.label.replace(' ', '@')}"}
        if wanted in {name.lower() for name in names} or one.id.startswith(wanted):
            return one
    if not profiles:
        raise NotFound(f"There is no profile {ref!r}.", hint="Measure one: qbench profile MODEL.")
    raise NotFound.among("profile", ref, (f"{one.ref} ({one.id})" for one in profiles))


def fitting(
    system: System, endpoint: Endpoint | None, profiles: Iterable[Profile]
) -> Profile | None:
    """Return the profile of the very same engine on the same machine; None without one.

    One of another version of the engine is taken where there is none of its own.
    """
    if endpoint is None:
        return None
    same = [
        one
        for one in profiles
        if one.engine_key == system.engine_key
        and (one.hardware, one.devices) == (endpoint.hardware, endpoint.devices)
    ]
    exact = [one for one in same if one.engine_version == endpoint.engine_version]
    return next(iter(exact or same), None)
