"""The timed rows of one GPU as curves: which kernels a format has there, and in which engine."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

import numpy as np
from msgspec import Struct

from qbench.errors import NotFound, Unsupported
from qbench.kernels.formats import Format, get_format
from qbench.kernels.layertime.curve import Ceilings, Curve, Timings, Work
from qbench.kernels.layertime.serving import NO_OVERHEAD, LayerTime, Overhead
from qbench.kernels.layertime.transformer import Transformer
from qbench.kernels.speed.rows import Row, Setting, Unit

PLAIN = "bf16"
"""The format whose kernels multiply the head, and on which an overhead is calibrated."""
SHARED = "cublas"
"""Whose products in 16 bits every engine uses."""

ENGINES: dict[str, tuple[str, ...]] = {
    "embedded": ("qbench", SHARED),
    "vllm": (
        "machete",
        "cutlass product",
        "cutlass scaled_mm",
        "cutlass w4a8",
        "marlin",
        SHARED,
    ),
}
"""Whose kernels an engine multiplies with, the preferred first. Formats that vLLM serves with
kernels of qbench's, or falls back for to weights alone, are left out."""

UNITS: tuple[Unit, ...] = ("bf16", "fp8", "int8")
TERA = 1e12
MICRO = 1e-6


class Taken(Struct, frozen=True, kw_only=True):
    """Kernels of a format that were chosen."""

    format: str
    contestant: str
    curve: Curve
    apart: bool
    """The rows leave out the rounding of inputs: engines fuse it with the norm or gate before."""


class Kernels:
    """What products take on one GPU, from its rows."""

    def __init__(self, rows: Sequence[Row]) -> None:
        """Take rows of one GPU, of any number of measurements; the newest of a product counts.

        Products in bfloat16 are those that were timed beside an engine's kernels, if any were:
        from one day to another a GPU's clock differs by more than engines do.
        """
        self.gpu = rows[0].setting.gpu
        self._rows = rows
        self._known: dict[tuple[str, str, frozenset[str]], Taken] = {}

    @cached_property
    def newest(self) -> Setting:
        """Of the newest measurement."""
        return max(self._rows, key=lambda row: row.setting.date).setting

    def ceilings(self, engine: str) -> Ceilings:
        """What the GPU reached in the newest measurement of an engine's kernels."""
        own = set(ENGINES.get(engine, (engine,))) - {SHARED}
        mine = [row for row in self._rows if row.contestant in own] or self._rows
        known = max(mine, key=lambda row: row.setting.date).setting.ceilings
        rates = {unit: TERA * known.rate(unit) for unit in UNITS if known.rate(unit)}
        read = known.read or known.copy
        return Ceilings(bandwidth=TERA * known.bandwidth, read=TERA * read, rates=rates)

    @cached_property
    def contestants(self) -> Mapping[str, frozenset[str]]:
        """Format to who has rows in it."""
        found: dict[str, set[str]] = {}
        for row in self._rows:
            found.setdefault(row.format, set()).add(row.contestant)
        return {name: frozenset(who) for name, who in found.items()}

    def formats(self, engine: str) -> tuple[str, ...]:
        """Return the formats that an engine's kernels were timed in, plain first."""
        told = ENGINES.get(engine, (engine,))
        found = {name for name, who in self.contestants.items() if who & set(told)}
        return tuple(sorted(found, key=lambda name: (name != PLAIN, name)))

    def taken(self, fmt: str, engine: str, kernel: str = "") -> Taken:
        """Return the kernels that an engine multiplies a format with.

        Args:
            fmt: a preset.
            engine: one of ``ENGINES``, or a contestant's own name.
            kernel: the contestant that it is known to have used.

        Raises:
            NotFound: none of the engine's kernels was timed in the format here.

        """
        who = self.contestants.get(fmt, frozenset())
        told = ENGINES.get(engine, (engine, SHARED) if fmt == PLAIN else (engine,))
        chosen = next((name for name in ((kernel,) if kernel else told) if name in who), None)
        if chosen is None:
            raise NotFound(
                f"No kernel of {kernel or engine} was timed in {fmt} on {self.gpu}.",
                hint=f"Timed: {', '.join(sorted(who)) or 'none'}. More: qbench kernels speed.",
            )
        beside = self._beside(told) if fmt == PLAIN else frozenset()
        if (fmt, chosen, beside) not in self._known:
            ceilings = self.ceilings(engine)
            self._known[fmt, chosen, beside] = self._curve(fmt, chosen, beside, ceilings)
        return self._known[fmt, chosen, beside]

    def _beside(self, told: Sequence[str]) -> frozenset[str]:
        """Return the dates of the measurements in which an engine's own kernels were timed."""
        own = set(told) - {SHARED}
        dates = {row.setting.date for row in self._rows if row.contestant in own}
        plain = {row.setting.date for row in self._rows if row.format == PLAIN}
        return frozenset(dates & plain)

    def layer_time(
        self,
        model: Transformer,
        fmt: str,
        engine: str,
        overhead: Overhead = NO_OVERHEAD,
        kernel: str = "",
    ) -> LayerTime:
        """Return the layer time of a model in a format. Raises NotFound as ``taken``."""
        taken = self.taken(fmt, engine, kernel)
        return LayerTime(
            model=model,
            curve=taken.curve,
            plain=self.taken(PLAIN, engine).curve,
            ceilings=self.ceilings(engine),
            overhead=overhead,
            apart=taken.apart,
        )

    def _curve(self, fmt: str, contestant: str, dates: frozenset[str], ceilings: Ceilings) -> Taken:
        mine = [
            row
            for row in self._rows
            if (row.format, row.contestant) == (fmt, contestant)
            and (not dates or row.setting.date in dates)
        ]
        form = get_format(fmt)
        fused = [row for row in mine if row.part == "product"] if _fuses(form) else []
        return Taken(
            format=fmt,
            contestant=contestant,
            curve=Curve(
                timings(fused or [row for row in mine if row.part == "whole"] or mine),
                Work(fmt=form, ceilings=ceilings, unit=mine[0].unit),
                f"{contestant} {fmt} on {self.gpu}",
            ),
            apart=bool(fused),
        )


def _fuses(fmt: Format) -> bool:
    """Whether engines round a format's inputs in the norm or gate before: 8 bits, by token."""
    given = fmt.activations
    return given is not None and given.strategy == "token" and fmt.rotation is None


def timings(rows: Iterable[Row]) -> Timings:
    """Return rows as columns; of a product that was timed often, the newest and fastest."""
    newest: dict[tuple[int, int, int], Row] = {}
    for row in sorted(rows, key=lambda row: (row.setting.date, -row.median_us)):
        newest[row.n, row.k, row.m] = row
    told = [(row.n, row.k, row.m, MICRO * row.median_us, _spread(row)) for row in newest.values()]
    n, k, m, seconds, spread = np.array(told, dtype=np.float64).reshape(-1, 5).T
    return Timings(rows=n, columns=k, tokens=m, seconds=seconds, spread=spread)


def _spread(row: Row) -> float:
    """Half of what lies between the 20th and the 80th percentile, relative."""
    return (row.p80_us - row.p20_us) / 2 / row.median_us


def kernels_of(rows: Iterable[Row], gpu: str) -> Kernels:
    """Return the rows of a GPU by its name or a part of it: ``h100``.

    Raises:
        NotFound: no row is of such a GPU; names the command that measures.

    """
    every = list(rows)
    known = sorted({row.setting.gpu for row in every})
    chosen = next((name for name in known if is_gpu(gpu, name)), None)
    if chosen is None:
        raise NotFound(
            f"No kernel was timed on {gpu!r}.",
            hint=f"Rows are of: {', '.join(known) or 'no GPU'}. Time them there with "
            "`qbench kernels speed --rows FILE`, and name that file with --rows.",
        )
    return Kernels([row for row in every if row.setting.gpu == chosen])


def is_gpu(wanted: str, name: str) -> bool:
    """Return whether a driver's name means the GPU wanted: ``h100`` is ``NVIDIA H100 80GB HBM3``.

    Words of the wanted name must all be words of the other; ``sxm`` is told by ``hbm3``.
    """
    asked, known = _words(wanted), _words(name)
    if "hbm3" in known:
        known |= {"sxm", "sxm5"}
    return bool(asked) and asked <= known


def _words(name: str) -> set[str]:
    return set(filter(None, re.split(r"[^a-z0-9]+", name.lower()))) - {"nvidia"}


def usable(kernels: Kernels, fmt: str, engine: str) -> bool:
    """Return whether an engine's kernels were timed in a format and in 16 bits."""
    try:
        kernels.taken(fmt, engine)
        kernels.taken(PLAIN, engine)
    except (NotFound, Unsupported):
        return False
    return True
