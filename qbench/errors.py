"""Everything qbench raises on purpose, as one tree.

::

    QbenchError                 an expected failure: printed without a traceback
      ConfigError               what was asked for cannot be done as written  (exit 2)
        NotFound                a name that does not exist; lists close names
        Conflict                the same key was sent with another body
        Unsupported             a combination that this engine or machine cannot run
        PriceMissing            a budget was set and a model has no price
      StoreError                the database cannot be used; says how to mend it
      RunTaken                  another process drives the run; says which
      AccessError               the service does not let this caller do this
        Unauthenticated         no key, or one that is unknown, expired or revoked
        Forbidden               the key lacks a scope
        TooManyRequests         the key's rate is used up; carries when to come back
      Busy                      everything that could do it is used by others
      BrokerDown                the message broker does not answer
      EngineError               an engine or its endpoint failed: never scored as a wrong answer
        EngineStartError        the engine did not come up; carries its command and last log lines
          QuantizationFailed    a quantized checkpoint could not be made
        EngineUnavailable       refused, reset, or an HTTP status that retries did not cure
        EngineTimeout           a read or connect timeout
        EngineReplyInvalid      the endpoint's bytes are not an OpenAI-compatible reply
        ContextTooLong          the request exceeds the model's context window
      ToolServerError           an MCP server hung or crashed: infrastructure of that attempt only
      AttemptFailed             an attempt met one of the two above; carries its transcript so far
                                (defined beside the agent loop, which knows transcripts)
      BudgetReached             spending would pass the budget  (exit 3)

Every message has two sentences: what happened, and what to do next.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class QbenchError(Exception):
    """An expected failure, printed as ``Error:`` and ``Try:`` without a traceback."""

    exit_code = 1

    def __init__(self, what: str, *, hint: str = "") -> None:
        super().__init__(what if not hint else f"{what} {hint}")
        self.what = what
        self.hint = hint


class ConfigError(QbenchError):
    """What was asked for cannot be done as written."""

    exit_code = 2


class NotFound(ConfigError):
    """A name that does not exist; the hint lists close names, else all of them."""

    @classmethod
    def among(cls, noun: str, name: str, known: Iterable[str]) -> NotFound:
        """Build the error for an unknown ``name`` of kind ``noun`` given the ``known`` names."""
        names = sorted(known)
        close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        said = f"Did you mean {' or '.join(close)}?" if close else f"Known: {', '.join(names)}."
        return cls(f"There is no {noun} named {name!r}.", hint=said)


class Conflict(ConfigError):
    """The same key was sent with another body."""


class Unsupported(ConfigError):
    """A combination that this engine or machine cannot run."""


class PriceMissing(ConfigError):
    """A budget was set and a model or machine has no price."""


class StoreError(QbenchError):
    """The database cannot be used."""


class RunTaken(QbenchError):
    """Another process drives the run."""


class AccessError(QbenchError):
    """The service does not let this caller do this."""


class Unauthenticated(AccessError):
    """No key, or one that is unknown, expired or revoked."""


class Forbidden(AccessError):
    """The key lacks a scope."""


class TooManyRequests(AccessError):
    """The key's rate is used up."""

    def __init__(self, what: str, *, hint: str = "", retry_after_s: float = 1.0) -> None:
        super().__init__(what, hint=hint)
        self.retry_after_s = retry_after_s


class Busy(QbenchError):
    """Everything that could do it is used by others."""


class BrokerDown(QbenchError):
    """The message broker does not answer."""


class EngineError(QbenchError):
    """An engine or its endpoint failed: infrastructure, never a wrong answer."""


class EngineStartError(EngineError):
    """The engine did not come up."""


class QuantizationFailed(EngineStartError):
    """A quantized checkpoint could not be made."""


class EngineUnavailable(EngineError):
    """Connection refused or reset, or an HTTP status that retries did not cure."""


class EngineTimeout(EngineError):
    """The endpoint did not answer in time."""


class EngineReplyInvalid(EngineError):
    """The endpoint's bytes are not an OpenAI-compatible reply."""


class ContextTooLong(EngineError):
    """The request exceeds the model's context window."""


class ToolServerError(QbenchError):
    """An MCP server hung or crashed: infrastructure of that attempt only."""


class BudgetReached(QbenchError):
    """Spending would pass the budget."""

    exit_code = 3
