"""The entry point ``vllm.general_plugins``: vLLM loads it in every process, asked for or not.

Where qbench shares an environment with vLLM, that is every vLLM of the user. So nothing is imported
unless qbench started the server and asked for kernels.
"""

from __future__ import annotations

import importlib
import os

from qbench.kernels.lent.asked import EMULATE, KERNELS


def register() -> None:
    """Register the kernels for CPUs, those for GPUs, or none, as was asked for."""
    if os.environ.get(EMULATE):
        importlib.import_module("qbench.kernels.lent.cpu").register()
    if os.environ.get(KERNELS):
        importlib.import_module("qbench.kernels.lent.gpu").register()
