"""What the gateway asks of whoever reaches models; the workers' side implements it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from qbench.service.attribution import PriceAt
from qbench.service.gateway.calls import Share
from qbench.service.money import MachinePrice

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class LocalEngine:
    """An engine that is up: its OpenAI-compatible server and what its seconds cost."""

    url: str
    """Ends in ``/v1``."""
    served_name: str
    endpoint_id: str
    share: Share
    machine: MachinePrice | None


class Backend(Protocol):
    """Reaches models."""

    def local_models(self) -> tuple[str, ...]:
        """Return the local models that are offered, as ``model@format``."""
        ...

    def is_api(self, name: str) -> bool:
        """Whether ``name`` is an API model. Raises NotFound for a name that is neither."""
        ...

    def engine(self, name: str) -> AbstractAsyncContextManager[LocalEngine]:
        """Hold the engine of a local model while the body runs, started if need be.

        Raises:
            NotFound: no such model or format.
            Busy: every device is used; says by what.
            EngineStartError: it did not come up.

        """
        ...

    def price(self, name: str) -> PriceAt:
        """Return how an API model's tokens are priced."""
        ...

    async def complete(self, name: str, body: Json, *, legacy: bool) -> Json | AsyncIterator[Json]:
        """Ask an API model; chunks when the body says ``stream``, else the whole completion.

        Raises:
            EngineError: the provider failed or refused.

        """
        ...
