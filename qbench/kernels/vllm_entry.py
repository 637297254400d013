"""The entry point ``vllm.general_plugins``: vLLM loads it in every process, asked for or not.

Where qbench shares an environment with vLLM, that is every vLLM of the user. So nothing is imported
unless qbench started the server and asked for kernels.
"""

from __future__ import annotations

import importlib
import os

VARIABLE = "QBENCH_EMULATE"
"""Environment variable: the format that is being served."""


def register() -> None:
    """Register ``qbench.kernels.vllm_plugin`` where it was asked for."""
    if os.environ.get(VARIABLE):
        importlib.import_module("qbench.kernels.vllm_plugin").register()
