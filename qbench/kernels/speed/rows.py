"""Timings of products as values, and the files that hold them. Needs no torch.

A file is JSON lines. A heading says the version, in which setting the rows below it were timed and
what their columns are; a row is a list in the order of those columns. A resumed measurement adds a
heading of its own, and a line that a crash cut short is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from qbench.errors import StoreError

SCHEMA = 1

Part = Literal["whole", "product"]
"""``whole``: 16-bit inputs to 16-bit outputs, the rounding of activations included. ``product``:
from activations that were rounded before, as they are where a fused kernel did it."""
Unit = Literal["bf16", "fp8", "int8"]
"""Which matrix unit multiplies: its rate is the ceiling."""


class Ceilings(Struct, frozen=True, kw_only=True):
    """What a GPU reached in the process that timed the rows; 0: it has no such unit."""

    copy: float
    """Bytes read plus bytes written of a large copy, 10^12 per second."""
    read: float
    """Bytes of a large sum, 10^12 per second."""
    bf16: float
    """Of large products, 10^12 operations per second."""
    fp8: float
    int8: float

    @property
    def bandwidth(self) -> float:
        """The faster of copying and reading, 10^12 bytes per second."""
        return max(self.copy, self.read)

    def rate(self, unit: Unit) -> float:
        """Return the rate of a matrix unit, 10^12 operations per second."""
        return {"bf16": self.bf16, "fp8": self.fp8, "int8": self.int8}[unit]

    @property
    def words(self) -> str:
        """What was reached, for people; what nobody measured is left out."""
        speeds = {"copies": self.copy, "reads": self.read}
        rates = {"bf16": self.bf16, "fp8": self.fp8, "int8": self.int8}
        said = [f"{name} {value:.2f} TB/s" for name, value in speeds.items() if value]
        reached = ", ".join(f"{name} {value:,.0f}" for name, value in rates.items() if value)
        return ", ".join([*said, f"{reached} TFLOP/s"] if reached else said)


class Setting(Struct, frozen=True, kw_only=True):
    """Where, when and with what rows were timed."""

    gpu: str
    """As the driver names it: ``NVIDIA H100 80GB HBM3``."""
    driver: str
    torch: str
    cuda: str
    triton: str
    """Empty where it was not there."""
    vllm: str
    """Empty where it was not there."""
    qbench: str
    date: str
    """ISO 8601, UTC."""
    seed: int
    ceilings: Ceilings


class Row(Struct, frozen=True, kw_only=True):
    """One product, timed: x (m, k) times a weight (n, k) transposed."""

    kernel: str
    """The program that ran, where its contestant tells; else the contestant."""
    format: str
    """Of weights and activations, a preset's name."""
    contestant: str
    """Who multiplied: ``qbench``, ``cublas``, ``scaled_mm row`` and so on."""
    part: Part
    model: str
    layer: str
    n: int
    k: int
    m: int
    median_us: float
    p20_us: float
    p80_us: float
    replays: int
    """Timings that the median is of."""
    bytes: int
    """The fewest that must move: codes, scales, x and the result, each once."""
    flops: int
    """2 m n k."""
    unit: Unit
    error: float
    """Norm of the difference from float64 over the norm of that, with the same quantized weight
    and with inputs that were not rounded."""
    config: str
    """Tile sizes and the like, where the contestant tells."""
    setting: Setting

    @property
    def tb_per_s(self) -> float:
        """10^12 bytes per second."""
        return self.bytes / self.median_us / 1e6

    @property
    def tflop_per_s(self) -> float:
        """10^12 operations per second."""
        return self.flops / self.median_us / 1e6

    @property
    def intensity(self) -> float:
        """Operations per byte."""
        return self.flops / self.bytes

    def floor_us(self, ceilings: Ceilings | None = None) -> float:
        """Return the microseconds below which no program gets: see docs/kernels.md."""
        known = ceilings or self.setting.ceilings
        moved = self.bytes / known.bandwidth / 1e6
        rate = known.rate(self.unit)
        return max(moved, self.flops / rate / 1e6) if rate else moved

    def fraction(self, ceilings: Ceilings | None = None) -> float:
        """Return the floor over the time taken: 1 is the limit."""
        return self.floor_us(ceilings) / self.median_us


COLUMNS = tuple(name for name in Row.__struct_fields__ if name != "setting")


class Heading(Struct, frozen=True, kw_only=True):
    """What stands above rows."""

    schema: int = SCHEMA
    setting: Setting
    columns: tuple[str, ...] = COLUMNS


class RowFile:
    """A file that rows are added to as they are timed: what is there is never lost."""

    def __init__(self, path: Path, setting: Setting) -> None:
        self._path = path
        self._setting = setting
        self._headed = False

    def add(self, rows: Iterable[Row]) -> None:
        """Append rows of the setting. Raises StoreError where the file cannot be written."""
        lines = [msgspec.json.encode([getattr(row, name) for name in COLUMNS]) for row in rows]
        if not self._headed:
            lines.insert(0, msgspec.json.encode(Heading(setting=self._setting)))
        try:
            with self._path.open("ab") as file:
                start = b"" if file.tell() == 0 else _ended(self._path)
                file.write(start + b"\n".join(lines) + b"\n")
        except OSError as error:
            raise StoreError(
                f"Cannot write {self._path}: {error.strerror}.",
                hint="Name a file in a folder of yours with --rows.",
            ) from None
        self._headed = True


def _ended(path: Path) -> bytes:
    """Return the line end that a crash may have left out."""
    with path.open("rb") as file:
        file.seek(-1, 2)
        return b"" if file.read(1) == b"\n" else b"\n"


def written(rows: Sequence[Row]) -> bytes:
    """Return rows as the bytes of a file, a heading above each run of one setting."""
    lines: list[bytes] = []
    setting: Setting | None = None
    for row in rows:
        if row.setting != setting:
            setting = row.setting
            lines.append(msgspec.json.encode(Heading(setting=setting)))
        lines.append(msgspec.json.encode([getattr(row, name) for name in COLUMNS]))
    return b"".join(line + b"\n" for line in lines)


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a file, in its order. Raises StoreError where it is none of ours."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StoreError(
            f"Cannot read {path}: {error.strerror}.",
            hint="Name a file that `qbench kernels speed --rows FILE` wrote.",
        ) from None
    return rows_in(content, str(path))


def rows_in(content: bytes, name: str) -> list[Row]:
    """Return the rows in the bytes of a file called ``name``. Raises StoreError."""
    return list(_rows(content.splitlines(), name))


def _rows(lines: Sequence[bytes], name: str) -> Iterator[Row]:
    heading: Heading | None = None
    for number, line in enumerate(lines, start=1):
        try:
            told = msgspec.json.decode(line)
            if isinstance(told, dict):
                heading = _heading(told)
            elif heading is not None:
                yield _row(told, heading)
            else:
                raise msgspec.ValidationError("rows without a heading")
        except (msgspec.DecodeError, ValueError) as error:
            if isinstance(error, msgspec.ValidationError) or number == 1:
                raise _refused(name, number, error) from None


def _heading(told: dict[str, Any]) -> Heading:
    version = told.get("schema")
    if version != SCHEMA:
        raise msgspec.ValidationError(f"its schema is {version!r}, and this reads {SCHEMA}")
    return msgspec.convert(told, Heading)


def _row(told: object, heading: Heading) -> Row:
    values = msgspec.convert(told, list[Any])
    if len(values) != len(heading.columns):
        raise msgspec.ValidationError("a row has not as many values as its heading has columns")
    named = dict(zip(heading.columns, values, strict=True))
    return msgspec.convert({**named, "setting": heading.setting}, Row)


def _refused(name: str, line: int, error: Exception) -> StoreError:
    return StoreError(
        f"{name} holds no timings of kernels: line {line}: {error}.",
        hint="Name a file that `qbench kernels speed --rows FILE` of this version wrote.",
    )


def measured() -> list[Row]:
    """Return the rows that come with qbench, file by file; see docs/kernels.md."""
    room = resources.files("qbench.kernels.speed") / "measured"
    files = sorted((f for f in room.iterdir() if f.name.endswith(".json")), key=lambda f: f.name)
    return [row for file in files for row in rows_in(file.read_bytes(), file.name)]
