"""All checks in a row: every kernel with every format, type and size that it takes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from itertools import repeat

import msgspec
import torch
from msgspec import Struct

from qbench.errors import EngineError, Unsupported
from qbench.kernels.checking.activations import cases, check_case
from qbench.kernels.checking.kernels import Kernel
from qbench.kernels.checking.products import check_product, drawn
from qbench.kernels.checking.values import Checked, Size
from qbench.kernels.formats import fitted, get_format
from qbench.kernels.schemes import FloatName
from qbench.kernels.speed import ours
from qbench.kernels.speed.work import rounds_inputs

LONGEST = 1 << 15
"""Columns that kernels for activations take."""


class Asked(Struct, frozen=True, kw_only=True):
    """What is to be checked."""

    kernels: tuple[Kernel, ...]
    formats: tuple[str, ...]
    """Of products; empty: all."""
    dtypes: tuple[FloatName, ...]
    sizes: tuple[Size, ...]
    seed: int


def checked(asked: Asked, device: torch.device) -> Iterator[Checked]:
    """Yield what each check found, one after the other; nothing that a kernel raises ends it."""
    for kernel in asked.kernels:
        for size in asked.sizes:
            for dtype in asked.dtypes:
                source = torch.Generator(device=device).manual_seed(asked.seed)
                if kernel.kind == "product":
                    yield from _products(kernel, asked.formats, dtype, size, source)
                elif size.k <= LONGEST:
                    yield from _activations(kernel, dtype, size, source)


def parts(asked: Asked) -> list[Asked]:
    """Return what is asked in pieces of one kernel, size and type, in the order of checks."""
    return [
        msgspec.structs.replace(asked, kernels=(kernel,), sizes=(size,), dtypes=(dtype,))
        for kernel in asked.kernels
        for size in asked.sizes
        for dtype in asked.dtypes
    ]


def checked_part(asked: Asked, device: str) -> list[Checked]:
    """Return what ``checked`` yields: for another process."""
    return list(checked(asked, torch.device(device)))


def in_processes(asked: Asked, device: torch.device, jobs: int) -> Iterator[Checked]:
    """Yield what ``checked`` yields, made by ``jobs`` processes: numbers are the same.

    Raises:
        EngineError: a process ended.

    """
    spawning = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=spawning) as pool:
        try:
            for found in pool.map(checked_part, parts(asked), repeat(str(device))):
                yield from found
        except BrokenProcessPool as error:
            raise EngineError(
                "A process that checked kernels ended by itself.",
                hint="Check in this one, to see where: --jobs 1.",
            ) from error


def _products(
    kernel: Kernel, formats: Sequence[str], dtype: FloatName, size: Size, source: torch.Generator
) -> Iterator[Checked]:
    for name in _distinct(kernel.formats, formats):
        call = partial(_product, kernel.name, name, dtype, size, source)
        yield _tried(call, kernel.name, name, dtype, size)


def _distinct(names: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """Return the wanted formats; else one of those whose products are the same."""
    if wanted:
        return [name for name in names if name in wanted]
    found: dict[tuple[object, ...], str] = {}
    for name in names:
        fmt = get_format(name)
        found.setdefault((fmt.weights, fmt.activations if rounds_inputs(fmt) else None), name)
    return list(found.values())


def _product(
    kernel: str, name: str, dtype: FloatName, size: Size, source: torch.Generator
) -> Checked | None:
    """Check a format's product; inputs come as they are, for what turns them is checked apart."""
    fmt = msgspec.structs.replace(fitted(get_format(name), size.k), rotation=None)
    trial = drawn(kernel, fmt, dtype, size, source)
    interpreted = source.device.type == "cpu"
    rounds = kernel == "multiply_four_bits"
    trial = msgspec.structs.replace(trial, cut=interpreted and dtype == "bfloat16", rounds=rounds)
    return check_product(ours.in_four_bits if rounds else ours.multiplied, trial)


def _activations(
    kernel: Kernel, dtype: FloatName, size: Size, source: torch.Generator
) -> Iterator[Checked]:
    for case in cases(kernel.name, dtype, size, source):
        call = partial(check_case, kernel.name, case, dtype, size)
        yield _tried(call, kernel.name, case.label, dtype, size)


def _tried(
    call: Callable[[], Checked | None], kernel: str, label: str, dtype: FloatName, size: Size
) -> Checked:
    """Return what a check found, or what it raised."""
    unsupported = False
    try:
        found = call()
        if found is not None:
            return found
        failure, unsupported = "no program reads these weights", True
    except Unsupported as error:
        failure, unsupported = error.what, True
    except Exception as error:  # noqa: BLE001 - whatever a kernel raises is its check's result
        failure = str(error).strip().partition("\n")[0] or type(error).__name__
    return Checked(
        kernel=kernel,
        format=label,
        dtype=dtype,
        size=size,
        error=None,
        bound=0.0,
        written=False,
        exact=None,
        repeats=False,
        failure=failure,
        unsupported=unsupported,
    )
