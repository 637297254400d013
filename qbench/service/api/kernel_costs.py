"""What a token costs in each format on a GPU, predicted from rows of kernels."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from qbench.errors import ConfigError, NotFound
from qbench.kernels.formats import get_format
from qbench.service.api.answers import answer, says
from qbench.service.api.deps import PricesDep, Reader
from qbench.service.reports.efficiency.shapes import CONFIGS, transformer_named
from qbench.service.reports.kernels.known import known_rows
from qbench.service.reports.kernels.report import BATCHES, Wanted, cost_of
from qbench.service.reports.kernels.values import KernelCost

router = APIRouter(prefix="/v1/kernels", tags=["catalogue"])

MOST_BATCHES = 32
MOST_BATCH = 65_536
MOST_TOKENS = 1_000_000
Named = Annotated[str, Query(max_length=200)]
Tokens = Annotated[int, Query(ge=1, le=MOST_TOKENS)]


@router.get(
    "/cost",
    responses=says(KernelCost, 404),
    response_class=Response,
    summary="Predicted tokens a second and dollars by format and batch size",
)
def cost(
    prices: PricesDep,
    _: Reader,
    model: Named = "Llama-3.1-8B",
    gpu: Named = "h100",
    formats: Annotated[str, Query(max_length=400, description="Empty: all timed ones.")] = "",
    batch: Annotated[str, Query(max_length=400, description="`1,64,256`.")] = "",
    prompt: Tokens = 512,
    output: Tokens = 128,
    context: Annotated[int, Query(ge=0, le=MOST_TOKENS, description="Cached tokens.")] = 0,
    engine: Named = "embedded",
) -> Response:
    """Predict from the kernels' rows that the server knows; nothing is served for it."""
    known = transformer_named(model)
    if known is None:
        raise NotFound.among("model with a known shape", model, CONFIGS)
    wanted = Wanted(
        gpu=gpu,
        engine=engine,
        formats=tuple(get_format(name).name for name in _words(formats)),
        batches=_counts(batch),
        prompt=prompt,
        output=output,
        cached=context,
    )
    return answer(cost_of(known, wanted, prices, known_rows()))


def _words(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _counts(text: str) -> tuple[int, ...]:
    """Read batch sizes. Raises ConfigError."""
    parts = _words(text)
    counts = sorted({int(part) for part in parts if part.isascii() and part.isdigit()})
    readable = len(parts) <= MOST_BATCHES and all(p.isascii() and p.isdigit() for p in parts)
    if not readable or (counts and not 1 <= counts[0] <= counts[-1] <= MOST_BATCH):
        raise ConfigError(
            "Cannot read the batch sizes.",
            hint=f"Write at most {MOST_BATCHES} numbers up to {MOST_BATCH:,}, like 1,64,256.",
        )
    return tuple(counts) or BATCHES
