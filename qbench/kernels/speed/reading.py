"""What rows say: per model, how many times as fast as bf16, and how near the limit. No torch.

A model's figure is of its layers together, as a token meets them: the sum of bf16's times over the
sum of the format's, over the layers that both were timed on. Times are compared within one setting
where that has both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

import msgspec
from msgspec import Struct

from qbench.errors import NotFound
from qbench.kernels.formats import FORMATS
from qbench.kernels.speed.rows import Ceilings, Part, Row

BASELINE = ("bf16", "cublas", "whole")
"""Format, contestant and part that others are compared with."""
SPOKEN = (1, 16, 64, 512, 4096)
"""Rows of x that the closing sentence is about, where they were timed."""

FEWEST_BITS = 4
"""Formats below it are shown, and not named the fastest: they usually break a model."""

Key = tuple[str, str, Part]


class Cell(Struct, frozen=True, kw_only=True):
    """Layers of one model at one M."""

    us: float
    """Of one product of each layer."""
    bytes: int
    flops: int
    fraction: float
    """The sum of floors over the sum of times."""
    ratio: float | None
    """Times as fast as bf16 on the same layers; None where that was not timed."""
    layers: tuple[str, ...]


class Line(Struct, frozen=True, kw_only=True):
    """One way to multiply, over M."""

    model: str
    format: str
    contestant: str
    part: Part
    cells: dict[int, Cell]

    @property
    def name(self) -> str:
        """For people: ``fp8, scaled_mm row, product alone``."""
        whole = "" if self.part == "whole" else ", product alone"
        return f"{self.format}, {self.contestant}{whole}"


class Board(Struct, frozen=True, kw_only=True):
    """What a file of rows says."""

    gpu: str
    ceilings: Ceilings
    lines: tuple[Line, ...]
    findings: tuple[str, ...]

    @property
    def models(self) -> tuple[str, ...]:
        """In the order of the rows."""
        return tuple(dict.fromkeys(line.model for line in self.lines))


def newest(rows: Iterable[Row]) -> list[Row]:
    """Keep the last timing of each product on each GPU, in the order of the first."""
    kept: dict[tuple[str | int, ...], Row] = {}
    for row in rows:
        kept[_what(row)] = row
    return list(kept.values())


def _what(row: Row) -> tuple[str | int, ...]:
    return (row.setting.gpu, *key_of(row), row.model, row.layer, row.m)


def key_of(row: Row) -> Key:
    """Return format, contestant and part."""
    return (row.format, row.contestant, row.part)


def raised(rows: Iterable[Row]) -> dict[str, Ceilings]:
    """Return each GPU's ceilings, raised where a row was faster than what was taken for the limit.

    A ceiling is the best that was seen: a vendor's library that is slow with int8 does not make
    others exceed 100 %.
    """
    found: dict[str, Ceilings] = {}
    for row in rows:
        own = row.setting.ceilings
        seen = found.get(row.setting.gpu, own)
        best = {
            name: max(getattr(own, name), getattr(seen, name))
            for name in Ceilings.__struct_fields__
        }
        best[row.unit] = max(best[row.unit], row.tflop_per_s)
        found[row.setting.gpu] = Ceilings(**best)
    return found


def ratios(rows: Sequence[Row]) -> list[float | None]:
    """Return how many times as fast as bf16 each row is; None where that was not timed."""
    baselines = _Baselines(rows)
    found = [baselines.of(row) for row in rows]
    return [
        None if base is None else base.median_us / row.median_us
        for base, row in zip(found, rows, strict=True)
    ]


class _Baselines:
    """The timings of bf16, by setting and, failing that, by GPU."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._same: dict[tuple[str | int, ...], Row] = {}
        self._near: dict[tuple[str | int, ...], Row] = {}
        for row in rows:
            if key_of(row) == BASELINE:
                self._same[(row.setting.gpu, row.setting.date, row.n, row.k, row.m)] = row
                self._near[(row.setting.gpu, row.n, row.k, row.m)] = row

    def of(self, row: Row) -> Row | None:
        same = self._same.get((row.setting.gpu, row.setting.date, row.n, row.k, row.m))
        return same or self._near.get((row.setting.gpu, row.n, row.k, row.m))


def boards(rows: Sequence[Row]) -> list[Board]:
    """Return a board for each GPU in ``rows``."""
    ceilings, baselines = raised(rows), _Baselines(rows)
    by_gpu: dict[str, list[Row]] = {}
    for row in newest(rows):
        by_gpu.setdefault(row.setting.gpu, []).append(row)
    return [_board(gpu, mine, ceilings[gpu], baselines) for gpu, mine in by_gpu.items()]


def by_layer(rows: Iterable[Row]) -> list[Row]:
    """Return rows that name their layer where they named their model: a board of layers."""
    return [msgspec.structs.replace(row, model=f"{row.model} {row.layer}") for row in rows]


def of_model(board: Board, model: str) -> Board:
    """Return a board of one model, the first where none is named. Raises NotFound."""
    wanted = model or board.models[0]
    if wanted not in board.models:
        raise NotFound.among("model in these rows", model, board.models)
    return msgspec.structs.replace(
        board, lines=tuple(line for line in board.lines if line.model == wanted)
    )


def _board(gpu: str, rows: Sequence[Row], ceilings: Ceilings, baselines: _Baselines) -> Board:
    lines = tuple(_lines([row for row in rows if _inner(row)], ceilings, baselines))
    return Board(gpu=gpu, ceilings=ceilings, lines=lines, findings=tuple(findings(lines)))


def _inner(row: Row) -> bool:
    """Leave the output head out, which formats do not quantize."""
    return row.layer != "lm_head"


def _lines(rows: Sequence[Row], ceilings: Ceilings, baselines: _Baselines) -> Iterable[Line]:
    models = list(dict.fromkeys(row.model for row in rows))
    keys = list(dict.fromkeys(key_of(row) for row in rows))

    def order(row: Row) -> tuple[int, int, int]:
        return (models.index(row.model), keys.index(key_of(row)), row.m)

    for (model, key), mine in groupby(
        sorted(rows, key=order), lambda row: (row.model, key_of(row))
    ):
        cells = {
            m: _cell(list(few), ceilings, baselines) for m, few in groupby(mine, lambda row: row.m)
        }
        yield Line(model=model, format=key[0], contestant=key[1], part=key[2], cells=cells)


def _cell(rows: Sequence[Row], ceilings: Ceilings, baselines: _Baselines) -> Cell:
    us = sum(row.median_us for row in rows)
    found = [(row, base) for row in rows if (base := baselines.of(row)) is not None]
    ours = sum(row.median_us for row, _ in found)
    return Cell(
        us=us,
        bytes=sum(row.bytes for row in rows),
        flops=sum(row.flops for row in rows),
        fraction=sum(row.floor_us(ceilings) for row in rows) / us,
        ratio=sum(base.median_us for _, base in found) / ours if found else None,
        layers=tuple(row.layer for row in rows),
    )


def findings(lines: Sequence[Line]) -> Iterable[str]:
    """Say for each model which format is fastest at which M, from x in 16 bits."""
    whole = [line for line in lines if line.part == "whole"]
    for model, found in groupby(whole, lambda line: line.model):
        mine = [line for line in found if _usable(line.format)]
        said = [text for m in SPOKEN if (text := _winner(mine, m))]
        if said:
            yield f"{model}, fastest of {FEWEST_BITS} bits or more: {'; '.join(said)} of the limit."


def _usable(name: str) -> bool:
    fmt = FORMATS.get(name)
    return fmt is None or fmt.bits_per_weight() >= FEWEST_BITS


def _winner(lines: Sequence[Line], m: int) -> str:
    """Say which line is fastest at ``m`` on the layers that most were timed on."""
    there = [line for line in lines if m in line.cells]
    most = max((len(line.cells[m].layers) for line in there), default=0)
    fair = [line for line in there if len(line.cells[m].layers) == most]
    if not fair:
        return ""
    best = min(fair, key=lambda line: line.cells[m].us)
    cell = best.cells[m]
    ratio = "" if cell.ratio is None else f" at {cell.ratio:.2f} × bf16"
    return f"M = {m}: {best.format} by {best.contestant}{ratio}, {100 * cell.fraction:.0f} %"


def derived(row: Row, ratio: float | None, ceilings: Mapping[str, Ceilings]) -> dict[str, object]:
    """Return a row as files for other programs hold it: its own numbers and what follows."""
    own = msgspec.structs.asdict(row)
    setting = msgspec.structs.asdict(own.pop("setting"))
    limits = msgspec.structs.asdict(setting.pop("ceilings"))
    return {
        **own,
        "tb_per_s": row.tb_per_s,
        "tflop_per_s": row.tflop_per_s,
        "intensity": row.intensity,
        "floor_us": row.floor_us(ceilings[row.setting.gpu]),
        "fraction": row.fraction(ceilings[row.setting.gpu]),
        "times_bf16": ratio,
        **setting,
        **{f"ceiling_{name}": value for name, value in limits.items()},
    }
