"""Compile the product of 4-bit floats for GPUs that are not here, and say what it became.

``python -m tests.blackwell``: a process of its own, for Triton reads when a program is defined
whether it is to be interpreted. Prints JSON: the matrix instructions by capability, group and
tokens, the copies ahead, and the loads of scales that are waited for.
"""

from __future__ import annotations

import json
import re
import sys

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from qbench.kernels.gemm.four_bits.launch import ROWS, held, stages
from qbench.kernels.gemm.four_bits.packing import STEP
from qbench.kernels.gemm.four_bits.product import four_bits

TYPES = {
    **dict.fromkeys(("x", "x_scale", "w", "w_scale"), "*u8"),
    **dict.fromkeys(("x_factor", "parts"), "*fp32"),
    "out": "*bf16",
    "arrivals": "*i32",
    "factor": "fp32",
    **dict.fromkeys(("M", "N", "K", "STEPS"), "i32"),
}
ALIGNED = ("x", "x_scale", "x_factor", "w", "w_scale", "out", "parts", "arrivals", "N", "K")
CASES = [
    (capability, group, tokens)
    for capability in (100, 103, 120)
    for group in (32, 16)
    for tokens in (held(1, group), held(500, group))
]


def compiled(capability: int, group: int, tokens: int) -> str:
    """Return the PTX of the program; what Triton puts beside it, it assembles too."""
    constants = {"GROUP": group, "BLOCK_M": tokens, "BLOCK_N": ROWS, "STEP": STEP, "SPLIT": 2}
    constants |= {"EVEN": True, "STAGES": stages(tokens)}
    names = four_bits.arg_names
    source = ASTSource(
        four_bits,
        {name: TYPES.get(name, "constexpr") for name in names},
        {(names.index(name),): value for name, value in constants.items()},
        {(names.index(name),): [["tt.divisibility", 16]] for name in ALIGNED},
    )
    target = GPUTarget("cuda", capability, 32)
    made = triton.compile(source, target=target, options={"num_warps": 4})
    assert made.asm["cubin"]
    return str(made.asm["ptx"])


def main() -> None:
    found = {}
    for case in CASES:
        ptx = compiled(*case)
        products = set(re.findall(r"(?:tcgen05\.mma|mma\.sync|wgmma)\S*", ptx))
        found[" ".join(map(str, case))] = {
            "products": sorted(products),
            "ahead": len(re.findall(r"cp\.async\.c[ag]", ptx)),
            "waited": len(re.findall(r"ld\.global\S*\.b(?:8|16)\b", ptx)),
        }
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
