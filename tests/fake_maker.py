"""A maker that takes no time and needs no library but safetensors' layout: it keeps the source's
weights and adds a scale to each matrix. What it does is told by its options in a file beside it.

Usage: ``python fake_maker.py job.json``; ``$FAKE_MAKER`` is a JSON object with ``sleep`` (seconds),
``fail`` (a reason), ``nan`` (an error that is no number), ``log`` (a file with a line per run).
"""

import json
import os
import sys
import time
from pathlib import Path


def main(job_file: str) -> int:
    job = json.loads(Path(job_file).read_text())
    told = json.loads(os.environ.get("FAKE_MAKER", "{}"))
    if "log" in told:
        with Path(told["log"]).open("a") as log:
            log.write(f"{os.getpid()}\n")
    for step in range(3):
        sys.stdout.write(json.dumps({"step": step, "of": 3, "what": f"model.layers.{step}"}) + "\n")
        sys.stdout.flush()
    sys.stdout.write("noise of a library\n")
    time.sleep(told.get("sleep", 0))
    if "fail" in told:
        sys.stderr.write(f"much before\n{told['fail']}\n")
        return 1
    source, out = Path(job["checkpoint"]), Path(job["out"])
    (out / "config.json").write_text((source / "config.json").read_text())
    (out / "model.safetensors").write_bytes(
        _with_scales((source / "model.safetensors").read_bytes())
    )
    error = None if told.get("nan") else 0.25
    sys.stdout.write(json.dumps({"errors": {"model.layers.0": error}}) + "\n")
    return 0


def _with_scales(file: bytes) -> bytes:
    length = int.from_bytes(file[:8], "little")
    header, data = json.loads(file[8 : 8 + length]), file[8 + length :]
    for name, tensor in list(header.items()):
        if "_proj.weight" in name:
            rows, end = tensor["shape"][0], len(data)
            header[name.replace(".weight", ".weight_scale")] = {
                "dtype": "F32",
                "shape": [rows, 1],
                "data_offsets": [end, end + 4 * rows],
            }
            data += bytes(4 * rows)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
