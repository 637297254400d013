"""What a product must do at least: bytes that move, operations, the unit. Needs no torch.

The model of bytes, each read or written once (docs/kernels.md): the weight's codes and scales as
its format packs them; x in 16 bits (``whole``), or its codes and scales (``product``); the result
in 16 bits. What a program moves beyond that (partial sums, codes of activations between two
programs) is its own doing and not counted.
"""

from __future__ import annotations

from qbench.kernels.formats import Format, fitted
from qbench.kernels.speed.rows import Part, Unit


def rounds_inputs(fmt: Format) -> bool:
    """Tell whether activations become 8-bit codes, which a matrix unit multiplies as they are."""
    return fmt.activations is not None and fmt.activations.element_bits == 8


def unit_of(fmt: Format) -> Unit:
    """Return the fastest matrix unit that can multiply a format's codes as they are."""
    if fmt.activations is None or not rounds_inputs(fmt):
        return "bf16"
    return "int8" if fmt.activations.element == "int8" else "fp8"


def operations(n: int, k: int, m: int) -> int:
    """Return multiplications and additions of x (m, k) times a weight (n, k)."""
    return 2 * n * k * m


def bytes_moved(fmt: Format, n: int, k: int, m: int, part: Part = "whole") -> int:
    """Return the fewest bytes of a product. Raises Unsupported where groups do not fit ``k``."""
    made = fitted(fmt, k)
    weight = (made.packed_bits(n, k) + 7) // 8
    return weight + inputs_bytes(made, k, m, part) + 2 * m * n


def inputs_bytes(fmt: Format, k: int, m: int, part: Part) -> int:
    """Return the bytes in which x (m, k) is read."""
    if part == "whole" or fmt.activations is None or not rounds_inputs(fmt):
        return 2 * m * k
    return (fmt.activations.packed_bits(m, k) + 7) // 8
