"""What a token costs in each format on a GPU, predicted: the values of ``qbench kernels cost``."""

from __future__ import annotations

from msgspec import Struct

from qbench.kernels.layertime.agreement import Compared
from qbench.kernels.layertime.serving import Overhead
from qbench.service.reports.values import SCHEMA, Estimate


class Parts(Struct, frozen=True, kw_only=True):
    """Shares of a batch's seconds; they add up to 1."""

    products: float
    head: float
    attention: float
    small: float
    """Norms, rotation, gates: their bytes."""
    overhead: float
    prefill: float
    """Of the same seconds, those before the first token."""


class Paced(Struct, frozen=True, kw_only=True):
    """One format at one batch size."""

    format: str
    batch: int
    step_ms: float
    """Of a decoding step: what a sequence waits for a token."""
    request_s: float
    """From the prompt to the last token."""
    tokens_per_second: float
    """Generated, of all sequences."""
    dollars: Estimate | None
    """Per million generated tokens, their prompts included; None when the machine is unpriced."""
    input_dollars: float | None
    """Per million prompt tokens, for the seconds before the first token."""
    output_dollars: float | None
    """Per million generated tokens, for the seconds after it."""
    blended_dollars: float | None
    """Per million tokens, prompt and generated ones alike."""
    error: float | None
    """Relative standard error of the seconds; None where nobody measured such an engine."""
    extrapolated: float
    """Share of the seconds that are of shapes without rows."""
    parts: Parts


class FormatCost(Struct, frozen=True, kw_only=True):
    """One format."""

    format: str
    contestant: str
    """Whose kernels."""
    weight_bytes: int
    largest_batch: int | None
    """Sequences of this length that fit beside the weights, 0 where none does; None where the
    GPU's memory is unknown."""
    rows: tuple[Paced, ...]
    """Of the batch sizes that fit."""


class Cheapest(Struct, frozen=True, kw_only=True):
    """A range of batch sizes in which one format is the cheapest."""

    first: int
    last: int
    format: str
    near: tuple[str, ...]
    """Formats that are within the error of it at both of its ends."""


class KernelCost(Struct, frozen=True, kw_only=True):
    """A price list, predicted from kernels' rows."""

    model: str
    gpu: str
    engine: str
    prompt: int
    output: int
    cached: int
    """Tokens of a request's history that the cache holds."""
    memory_bytes: float | None
    """That weights and cache may take; None where the GPU's memory is unknown."""
    per_hour: str
    """Dollars of the machine, exact; empty when unpriced."""
    price: str
    """Whose, and since when."""
    overhead: Overhead
    error: float | None
    """Root mean square of the relative errors against whole engines."""
    formats: tuple[FormatCost, ...]
    cheapest: tuple[Cheapest, ...]
    """From one sequence up; by dollars, which go as seconds do."""
    agreement: tuple[Compared, ...]
    """Predictions beside what was measured end to end on this GPU and engine."""
    measured_on: str
    """Day, versions of the kernels' rows."""
    notes: tuple[str, ...]
    finding: str
    schema: int = SCHEMA
