"""What reports predict from: rows of kernels and whole engines, qbench's own and the user's."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from statistics import median

from qbench.kernels.layertime.endtoend import EndToEnd, Served
from qbench.kernels.layertime.endtoend import measured as served
from qbench.kernels.layertime.kernels import Kernels, is_gpu, usable
from qbench.kernels.speed.rows import Row, measured, read_rows
from qbench.service.profiles import Busy, Profile, Timed, stored
from qbench.service.reports.efficiency.shapes import config_named

USER_ROWS = "QBENCH_KERNEL_ROWS"
"""Environment variable with a file of `qbench kernels speed --rows FILE`, or a folder of them."""


def known_rows() -> tuple[Row, ...]:
    """Return all rows, ours first. Raises StoreError where a file of the user's is none."""
    own = os.environ.get(USER_ROWS, "")
    return (*_shipped(), *_of(own)) if own else _shipped()


@lru_cache(maxsize=1)
def _shipped() -> tuple[Row, ...]:
    return tuple(measured())


def _of(place: str) -> tuple[Row, ...]:
    path = Path(place).expanduser()
    files = sorted(path.glob("*.json*")) if path.is_dir() else [path]
    return tuple(row for file in files for row in read_rows(file))


def known_measurements(kernels: Kernels) -> tuple[EndToEnd, ...]:
    """Return what was measured with whole engines on a GPU: ours, and the profiles kept here."""
    return (*served(), *(one for kept in stored() for one in _profiled(kept, kernels)))


def _profiled(profile: Profile, kernels: Kernels) -> Iterator[EndToEnd]:
    """Yield a profile's requests of more than one token, a measurement for each pair of lengths."""
    config = config_named(profile.model)
    usual = profile.devices == 1 and profile.path != "emulated"
    if config is None or not usual or not is_gpu(profile.hardware, kernels.gpu):
        return
    if not usable(kernels, profile.format, profile.engine):
        return
    kernel = kernels.taken(profile.format, profile.engine).contestant
    every: list[Timed | Busy] = [one for one in profile.timings if one.output > 1]
    every += profile.busy
    for prompt, output in sorted({(one.prompt, one.output) for one in every}):
        yield EndToEnd(
            gpu=kernels.gpu,
            engine=profile.engine,
            engine_version=profile.engine_version,
            model=profile.model.rstrip("/").rsplit("/", 1)[-1],
            config=config,
            prompt=prompt,
            output=output,
            date=f"{profile.made_at:%Y-%m-%d}",
            source=f"profile {profile.id}",
            rows=tuple(_rates(profile.format, kernel, (prompt, output), every)),
        )


def _rates(
    fmt: str, kernel: str, lengths: tuple[int, int], every: Iterable[Timed | Busy]
) -> Iterator[Served]:
    """Yield the median tokens a second of each number of streams at some lengths."""
    rates: dict[int, list[float]] = {}
    for one in every:
        if (one.prompt, one.output) == lengths:
            streams, queries = (one.streams, one.queries) if isinstance(one, Busy) else (1, 1)
            rates.setdefault(streams, []).append(queries * one.output / one.seconds)
    for streams, told in sorted(rates.items()):
        yield Served(
            format=fmt,
            kernel=kernel,
            streams=streams,
            tokens_per_second=median(told),
            low=min(told),
            high=max(told),
            runs=len(told),
        )
