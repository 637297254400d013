"""Count the machine instructions that a weight costs in the decoding loop, without a GPU.

    python scripts/count_instructions.py

Compiles the program for few rows of inputs for Hopper with the assembler that Triton brings, and
prints JSON: by kernel, instructions of the loop per weight, all threads' over all weights.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from qbench.kernels.gemm.weight_only.narrow import narrow
from qbench.kernels.gemm.weight_only.packing import Layout, layout_of
from qbench.kernels.schemes import Scheme

SCHEMES = {
    "int4/128": Scheme(element="int4", strategy="group", group=128),
    "mxfp4/32": Scheme(element="e2m1", strategy="group", group=32, scale_dtype="e8m0"),
    "nvfp4/16": Scheme(element="e2m1", strategy="group", group=16, scale_dtype="e4m3"),
}
TALL, WARPS, STAGES = 64, 4, 3
TYPES = {
    **dict.fromkeys(("x_ptr", "out_ptr"), "*bf16"),
    **dict.fromkeys(("codes_ptr", "high_ptr", "scale_ptr", "zero_ptr", "arrived_ptr"), "*i32"),
    "parts_ptr": "*fp32",
    "factor": "fp32",
    **dict.fromkeys(("M", "N", "K", "ROWS", "CHUNKS"), "i32"),
}
UNALIGNED = ("M", "CHUNKS", "factor")
INSTRUCTION = re.compile(r"/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\d\s+)?([A-Z][\w.]*)[^;]*;")
LABEL, BACK = re.compile(r"^\s*(\.L_x_\d+):"), re.compile(r"BRA.*\(?(\.L_x_\d+)\)?")


def compiled(layout: Layout) -> bytes:
    """Return the machine code of a layout's program for up to eight rows of inputs."""
    constants = {"KIND": layout.kind, "WORDS": layout.words, "SLICES": layout.slices}
    constants |= {"GROUPS": layout.groups, "TALL": TALL, "BLOCK_M": 8, "SHARES": 1, "SPLIT": 2}
    constants |= {"STAGES": STAGES, "AHEAD": 2, "EARLY": True, "EVEN": True}
    names = narrow.arg_names
    source = ASTSource(
        narrow,
        {name: TYPES.get(name, "constexpr") for name in names},
        {(names.index(name),): value for name, value in constants.items()},
        {
            (names.index(name),): [["tt.divisibility", 16]]
            for name in TYPES
            if name not in UNALIGNED
        },
    )
    options = {"num_warps": WARPS, "num_stages": STAGES, "launch_pdl": True}
    made = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)
    return bytes(made.asm["cubin"])


def loop(code: bytes) -> int:
    """Return the instructions of the longest loop."""
    tool = Path(triton.__file__).parent / "backends/nvidia/bin/nvdisasm"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(code)
        file.flush()
        command = [tool, "-c", file.name]
        told = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - Triton's own
    count, labels, longest = 0, dict[str, int](), 0
    for line in told.stdout.splitlines():
        if named := LABEL.match(line):
            labels[named[1]] = count
        if INSTRUCTION.search(line):
            count += 1
            back = BACK.search(line)
            if back and back[1] in labels:
                longest = max(longest, count - labels[back[1]])
    return longest


def main() -> None:
    """Print instructions per weight by kernel."""
    found = {}
    for kernel, scheme in SCHEMES.items():
        layout = layout_of(scheme)
        weights = TALL * layout.columns / (32 * WARPS)
        found[kernel] = round(loop(compiled(layout)) / weights, 2)
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
