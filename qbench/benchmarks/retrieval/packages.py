"""The one place that imports optional packages of retrieval: by name, when they are needed."""

from __future__ import annotations

import importlib
from typing import Any

from qbench.errors import ConfigError


def package(name: str, *, what: str) -> Any:
    """Import ``name``. Raises ConfigError when it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ConfigError(
            f"{what} needs the package {name}: {error}.", hint="pip install 'qbench[suites]'"
        ) from error
