"""A chat that waits for its provider's turn, which all workers count together."""

from __future__ import annotations

from qbench.benchmarks.chat import Chat, ChatRequest, Turn
from qbench.service.rates import Rates


class Throttled:
    """Keeps to ``QBENCH_RATE_<PROVIDER>``."""

    def __init__(self, chat: Chat, rates: Rates, model: str) -> None:
        self._chat = chat
        self._rates = rates
        self._provider = model.partition("/")[0]

    async def reply(self, request: ChatRequest) -> Turn:
        """Answer as the chat does, when it is the call's turn."""
        await self._rates.provider_turn(self._provider)
        return await self._chat.reply(request)
