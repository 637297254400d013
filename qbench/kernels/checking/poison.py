"""Memory that holds NaN until it is written, so that what is left out shows."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils import deterministic


@contextmanager
def poisoned() -> Iterator[None]:
    """Fill whatever is allocated within with NaN, integers with their largest number.

    torch does so itself for whoever wants deterministic algorithms; nothing else than the kernel
    that is checked should be called within, for it then might choose another.
    """
    wanted = torch.are_deterministic_algorithms_enabled()
    warned = torch.is_deterministic_algorithms_warn_only_enabled()
    memory: Any = deterministic  # a module whose attribute is a property
    filled = memory.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    memory.fill_uninitialized_memory = True
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*[Dd]eterministic")  # of cuBLAS, inside
            yield
    finally:
        torch.use_deterministic_algorithms(wanted, warn_only=warned)
        memory.fill_uninitialized_memory = filled
