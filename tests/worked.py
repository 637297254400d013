"""Worked numbers of the methods that qbench implements: inputs and what must come out."""

import json
from pathlib import Path
from typing import Any

WORKED: dict[str, Any] = json.loads((Path(__file__).parent / "worked_examples.json").read_text())
