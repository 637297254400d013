"""Makes the report of kernels' costs: seconds, tokens a second and dollars, format by format."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property, partial

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from qbench.benchmarks.analysis.efficiency.runtime import t_point
from qbench.errors import ConfigError, NotFound
from qbench.kernels.formats import FORMATS, get_format
from qbench.kernels.layertime.agreement import Agreement, agreement
from qbench.kernels.layertime.endtoend import EndToEnd
from qbench.kernels.layertime.kernels import Kernels, kernels_of, usable
from qbench.kernels.layertime.serving import LayerTime, Spent, Traffic, largest_batch
from qbench.kernels.layertime.transformer import Transformer
from qbench.kernels.sizes import size_of
from qbench.kernels.speed.rows import Row
from qbench.service.money import Commitment, MachinePrice, exact_seconds, machine_cost
from qbench.service.peaks import memory_of
from qbench.service.pricebook import PriceBook
from qbench.service.reports.kernels.known import known_measurements
from qbench.service.reports.kernels.values import Cheapest, FormatCost, KernelCost, Paced, Parts
from qbench.service.reports.kernels.words import finding, notes
from qbench.service.reports.values import Estimate

BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
MEMORY_SHARE = 0.9
"""Of a GPU's memory that weights and cache may take: vLLM's default."""
MILLION = 1_000_000
STEPS = 48
"""Batch sizes, evenly in their logarithm, between which a change of the cheapest is looked for."""


class Wanted(Struct, frozen=True, kw_only=True):
    """What is to be predicted."""

    gpu: str
    """A name or a part of it."""
    engine: str = "embedded"
    """``embedded``, ``vllm``, or whose kernels: ``marlin``."""
    formats: tuple[str, ...] = ()
    """Empty: all that were timed there."""
    batches: tuple[int, ...] = BATCHES
    prompt: int = 512
    output: int = 128
    cached: int = 0
    commitment: Commitment = "on-demand"

    def check(self) -> None:
        """Raise ConfigError for what cannot be served."""
        counts = (self.prompt, self.output, *self.batches)
        if not self.batches or min(counts) < 1 or self.cached < 0:
            raise ConfigError(
                "Batch sizes, prompt and output are numbers of at least 1.",
                hint="For example: --batch 1,64,256 --prompt 512 --output 128.",
            )

    def traffic(self, batch: int) -> Traffic:
        """Return the requests at a batch size."""
        return Traffic(prompt=self.prompt, output=self.output, batch=batch, cached=self.cached)


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """One model on one GPU and engine: seconds and dollars of any traffic, in any timed format."""

    model: Transformer
    kernels: Kernels
    engine: str
    agreed: Agreement
    price: MachinePrice | None = None

    @classmethod
    def of(
        cls,
        model: Transformer,
        wanted: Wanted,
        rows: Sequence[Row],
        book: PriceBook | None = None,
        known: Sequence[EndToEnd] | None = None,
    ) -> Predictor:
        """Read the rows of a GPU. Raises NotFound where there are none.

        Without a book it has no price; ``known``: whole engines, None: all that are known here.
        """
        kernels, now = kernels_of(rows, wanted.gpu), datetime.now(UTC)
        told = known_measurements(kernels) if known is None else known
        return cls(
            model=model,
            kernels=kernels,
            engine=wanted.engine,
            agreed=agreement(kernels, wanted.engine, told),
            price=book.machine_price(kernels.gpu, now, wanted.commitment) if book else None,
        )

    @cached_property
    def memory(self) -> float | None:
        """Bytes that weights and cache may take; None where the GPU's memory is unknown."""
        known = memory_of(self.kernels.gpu)
        return None if known is None else MEMORY_SHARE * known

    def time(self, fmt: str) -> LayerTime:
        """Return the layer time of a format. Raises NotFound where it was not timed."""
        return self.kernels.layer_time(self.model, fmt, self.engine, self.agreed.overhead)

    def weights(self, fmt: str) -> int:
        """Return the bytes of the weights in a format."""
        return size_of(get_format(fmt), self.model.shape, "").load_bytes

    def most(self, fmt: str, tokens: int) -> int | None:
        """Return how many sequences of ``tokens`` fit; None where the memory is unknown."""
        if self.memory is None:
            return None
        return largest_batch(self.memory, self.weights(fmt), self.model.cache_bytes, tokens)

    def error(self, spent: Spent) -> float | None:
        """Return the relative standard error of seconds: of the model, and of fitted curves."""
        if self.agreed.error is None:
            return None
        return math.hypot(self.agreed.error, spent.doubt / spent.seconds)

    def interval(self, value: float, error: float | None) -> Estimate:
        """Return a value that goes as seconds do, with its 95 % interval.

        t over the measurements that the error is of; unbounded without any.
        """
        freedom = sum(row.judged for row in self.agreed.rows)
        if error is None:
            return Estimate(value=value, low=0.0, high=math.inf)
        half = t_point(freedom) * error
        high = value / (1 - half) if half < 1 else math.inf
        return Estimate(value=value, low=value / (1 + half), high=high)

    def dollars(self, seconds: float, tokens: float) -> float | None:
        """Return dollars per million tokens of a machine that makes ``tokens`` in ``seconds``."""
        if self.price is None:
            return None
        per_million = exact_seconds(seconds) * MILLION / Decimal(str(tokens))
        return float(machine_cost(per_million, self.price))


def cost_of(
    model: Transformer,
    wanted: Wanted,
    book: PriceBook,
    rows: Sequence[Row],
    known: Sequence[EndToEnd] | None = None,
) -> KernelCost:
    """Predict what tokens take and cost in each format on a GPU.

    Raises:
        NotFound: nothing was timed on such a GPU, or not in a format that was asked for.
        ConfigError: a count is out of range.

    """
    wanted.check()
    predictor = Predictor.of(model, wanted, rows, book, known)
    formats = wanted.formats or _every(predictor)
    if not formats:
        raise NotFound(
            f"No kernel of {wanted.engine} was timed on {predictor.kernels.gpu}.",
            hint="Name whose kernels: --engine vllm, or time them: qbench kernels speed.",
        )
    costs = tuple(_format_cost(predictor, name, wanted) for name in formats)
    price, newest = predictor.price, _newest(predictor.kernels)
    made = KernelCost(
        model=model.name,
        gpu=predictor.kernels.gpu,
        engine=wanted.engine,
        prompt=wanted.prompt,
        output=wanted.output,
        cached=wanted.cached,
        memory_bytes=predictor.memory,
        per_hour=str(price.per_hour) if price else "",
        price=f"{price.provider}, {price.name}, from {price.valid_from}" if price else "",
        overhead=predictor.agreed.overhead,
        error=predictor.agreed.error,
        formats=costs,
        cheapest=tuple(_cheapest(predictor, costs, wanted)),
        agreement=predictor.agreed.rows,
        measured_on=newest,
        notes=(),
        finding="",
    )
    said = notes(made, predictor.agreed.note, max(wanted.batches))
    return replace(made, notes=said, finding=finding(made))


def _every(predictor: Predictor) -> tuple[str, ...]:
    known = predictor.kernels.formats(predictor.engine)
    return tuple(
        name
        for name in known
        if name in FORMATS and usable(predictor.kernels, name, predictor.engine)
    )


def _newest(kernels: Kernels) -> str:
    one = kernels.newest
    versions = (
        ("torch", one.torch),
        ("CUDA", one.cuda),
        ("triton", one.triton),
        ("vLLM", one.vllm),
    )
    return ", ".join([one.date[:10], *(f"{name} {told}" for name, told in versions if told)])


def _format_cost(predictor: Predictor, fmt: str, wanted: Wanted) -> FormatCost:
    time = predictor.time(fmt)
    most = predictor.most(fmt, wanted.traffic(1).longest)
    fitting = [one for one in wanted.batches if most is None or one <= most]
    return FormatCost(
        format=fmt,
        contestant=predictor.kernels.taken(fmt, wanted.engine).contestant,
        weight_bytes=predictor.weights(fmt),
        largest_batch=most,
        rows=tuple(_paced(predictor, time, fmt, wanted.traffic(one)) for one in fitting),
    )


def _paced(predictor: Predictor, time: LayerTime, fmt: str, traffic: Traffic) -> Paced:
    reading, writing = time.reading(traffic), time.writing(traffic)
    spent, made = reading + writing, traffic.batch * traffic.output
    read, error = traffic.batch * traffic.prompt, predictor.error(spent)
    whole = predictor.dollars(spent.seconds, made)
    return Paced(
        format=fmt,
        batch=traffic.batch,
        step_ms=1e3 * time.decode(traffic.batch, traffic.context).seconds,
        request_s=spent.seconds,
        tokens_per_second=made / spent.seconds,
        dollars=None if whole is None else predictor.interval(whole, error),
        input_dollars=predictor.dollars(reading.seconds, read),
        output_dollars=predictor.dollars(writing.seconds, made),
        blended_dollars=predictor.dollars(spent.seconds, made + read),
        error=error,
        extrapolated=spent.extrapolated / spent.seconds,
        parts=_parts(spent, reading),
    )


def _parts(spent: Spent, reading: Spent) -> Parts:
    whole = spent.seconds
    return Parts(
        products=spent.products / whole,
        head=spent.head / whole,
        attention=spent.attention / whole,
        small=spent.small / whole,
        overhead=spent.overhead / whole,
        prefill=reading.seconds / whole,
    )


def _cheapest(predictor: Predictor, costs: Sequence[FormatCost], wanted: Wanted) -> list[Cheapest]:
    """Say which format makes most tokens a second at which batch sizes that fit."""
    last = max((_last(one, wanted) for one in costs), default=0)
    if last < 1:
        return []
    rates = partial(_rates, predictor, costs, wanted)
    starts = _changes(lambda batch: max(rates(batch).items(), key=lambda one: one[1])[0], last)
    ends = [*(start - 1 for start, _ in starts[1:]), last]
    return [
        Cheapest(
            first=start,
            last=end,
            format=name,
            near=_near(name, (rates(start), rates(end)), predictor.agreed.error),
        )
        for (start, name), end in zip(starts, ends, strict=True)
    ]


def _rates(
    predictor: Predictor, costs: Sequence[FormatCost], wanted: Wanted, batch: int
) -> dict[str, float]:
    return {
        one.format: predictor.time(one.format).tokens_per_second(wanted.traffic(batch))
        for one in costs
        if batch <= _last(one, wanted)
    }


def _last(one: FormatCost, wanted: Wanted) -> int:
    """Return the largest batch of a format that is looked at."""
    most = max(wanted.batches)
    return most if one.largest_batch is None else min(most, one.largest_batch)


def _changes(best: Callable[[int], str], last: int) -> list[tuple[int, str]]:
    """Return from which size on which format is best; changes are found by halving.

    There may be several from one size looked at to the next: a format's last batch that fits.
    """
    found = [(1, best(1))]
    for high in sorted({int(one) for one in np.geomspace(1, last, STEPS).round()}):
        while best(high) != found[-1][1]:
            start = _first(best, found[-1][0], high, found[-1][1])
            found.append((start, best(start)))
    return found


def _first(best: Callable[[int], str], low: int, high: int, old: str) -> int:
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if best(middle) == old else (low, middle)
    return high


def _near(name: str, ends: Sequence[dict[str, float]], error: float | None) -> tuple[str, ...]:
    """Return the formats that the model's error parts from the best at neither end."""
    close = [
        {one for one, rate in rates.items() if rate * (1 + (error or 0.0)) >= rates[name]}
        for rates in ends
    ]
    return tuple(sorted(set.intersection(*close) - {name}))
