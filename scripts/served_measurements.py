"""Turn what ``bench_embedded_gpu.py`` measured into a file that the layer time is held against.

Writes to stdout what belongs into ``qbench/kernels/layertime/measured``::

    python scripts/served_measurements.py served.json [--formats bf16,w4a16] > h100-embedded.json
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from qbench.kernels.layertime.endtoend import EndToEnd, Served, read

MODEL = "Llama-3.1-8B"
CONFIG = {
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
}
SOURCE = "scripts/bench_embedded_gpu.py, random weights, torch {torch}, triton {triton}"


def main() -> None:
    """Write the file to stdout."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("served", type=Path, help="what bench_embedded_gpu.py wrote with --out")
    parser.add_argument("--formats", default="", help="comma-separated [default: all]")
    wanted = parser.parse_args()
    rows = [row for row in json.loads(wanted.served.read_text()) if row["shape"] == "8b"]
    chosen = wanted.formats.split(",") if wanted.formats else {row["format"] for row in rows}
    made = measurement([row for row in rows if row["format"] in chosen])
    text = msgspec.json.format(msgspec.json.encode(made), indent=1)
    read(text, "the file")
    sys.stdout.buffer.write(text + b"\n")


def measurement(rows: list[dict[str, Any]]) -> EndToEnd:
    """Return rows of one length of requests as a measurement."""
    setting, lengths = rows[0]["setting"], {(row["prompt"], row["tokens"]) for row in rows}
    ((prompt, output),) = lengths
    return EndToEnd(
        gpu=setting["gpu"],
        engine="embedded",
        engine_version=setting["qbench"],
        model=MODEL,
        config=CONFIG,
        prompt=prompt,
        output=output,
        date=setting["date"][:10],
        source=SOURCE.format(**setting),
        rows=tuple(_served(row) for row in rows),
    )


def _served(row: dict[str, Any]) -> Served:
    low, high = row["tokens_per_s_spread"]
    return Served(
        format=row["format"],
        kernel="cublas" if row["format"] == "bf16" else "qbench",
        streams=row["batch"],
        tokens_per_second=round(row["tokens_per_s"], 1),
        low=round(low, 1),
        high=round(high, 1),
        step_s=round(row["step_ms"] / 1000, 7),
        runs=len(row["every"]) if "every" in row else 1,
    )


if __name__ == "__main__":
    main()
