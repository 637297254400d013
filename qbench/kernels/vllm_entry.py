"""The entry point ``vllm.general_plugins``: vLLM loads it in every process, asked for or not.

Where qbench shares an environment with vLLM, that is every vLLM of the user. So nothing is imported
unless qbench started the server and asked for kernels.
"""

from __future__ import annotations

import importlib
import os

VARIABLE = "QBENCH_EMULATE"
"""Environment variable: the format that is being served, on a CPU by emulation."""
KERNELS = "QBENCH_KERNELS"
"""Environment variable: the format that is being served, on a GPU by qbench's own programs."""


def register() -> None:
    """Register ``vllm_plugin``, ``vllm_gpu`` or neither, as was asked for."""
    if os.environ.get(VARIABLE):
        importlib.import_module("qbench.kernels.vllm_plugin").register()
    if os.environ.get(KERNELS):
        importlib.import_module("qbench.kernels.vllm_gpu").register()
