"""An engine that never comes up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from qbench.errors import EngineStartError
from qbench.service.domain import System
from qbench.workers.engines import Say, Serving


class BrokenEngine:
    def refuse(self, system: System) -> str:
        del system
        return ""

    @asynccontextmanager
    async def serve(self, system: System, *, concurrency: int, say: Say) -> AsyncIterator[Serving]:
        del system, say
        await asyncio.sleep(0.02)
        if concurrency:
            raise EngineStartError("The engine exited with 1.", hint="Read its log.")
        yield cast("Serving", None)
