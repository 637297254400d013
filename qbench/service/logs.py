"""What a service process says of itself: one line per event, as JSON or for people, redacted."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

import msgspec

from qbench.service.tracing import current_ids

LogFormat = Literal["json", "human"]
Redact = Callable[[str], str]

PLAIN = frozenset(logging.makeLogRecord({}).__dict__) | {
    "message",
    "asctime",
    "taskName",
    "color_message",
}
"""Attributes of a record that are not fields of ours; uvicorn writes its message twice."""

FOREIGN = (
    *("uvicorn", "uvicorn.access", "uvicorn.error", "uvicorn.asgi"),
    *("celery", "celery.task", "celery.worker", "celery.redirected", "celery.beat"),
    *("kombu", "amqp", "alembic"),
)
"""Loggers of libraries that bring handlers of their own."""

CHATTY = (
    "httpx",
    "httpcore",
    "asyncio",
    "LiteLLM",
    "mcp",
    "alembic",
    "celery.app.trace",
    "celery.worker.strategy",
)
"""Loggers that tell every request at INFO: a benchmark makes thousands a minute."""


class JsonLines(logging.Formatter):
    """A record as one JSON object; every string in it has passed through ``redact``."""

    def __init__(self, redact: Redact) -> None:
        super().__init__()
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        """Return the line without its end. Fields never hide the line's own."""
        own = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
        } | current_ids()
        trouble = _trouble(self, record)
        if trouble:
            own["exception"] = trouble
        try:
            return self._encoded({**fields(record), **own})
        except (TypeError, ValueError, OverflowError, RecursionError):  # a field JSON cannot have
            return self._encoded({**{k: repr(v) for k, v in fields(record).items()}, **own})

    def _encoded(self, line: dict[str, Any]) -> str:
        return msgspec.json.encode(redacted(line, self._redact)).decode()


class HumanLines(logging.Formatter):
    """A record as one aligned line; a traceback follows it, indented."""

    def __init__(self, redact: Redact) -> None:
        super().__init__()
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and a traceback where there is one."""
        message = _message(record).replace("\r", "\\r").replace("\n", "\\n")
        told = "".join(f"  {name}={value}" for name, value in fields(record).items())
        line = f"{_time(record)[11:19]} {record.levelname:<8} {record.name:<24} {message}{told}"
        trouble = _trouble(self, record).replace("\n", "\n    ")
        return self._redact(f"{line}\n    {trouble}" if trouble else line)


def configure_logs(
    format: LogFormat = "json",  # noqa: A002 - the flag's name
    level: str = "INFO",
    *,
    redact: Redact,
    stream: TextIO | None = None,
) -> logging.Handler:
    """Send every logger of this process, uvicorn's and celery's too, to one handler.

    ``stream`` is stderr when not given. Run uvicorn with ``log_config=None``; for Celery call this
    from its ``setup_logging`` signal, else both put their own handlers back.

    Raises:
        ValueError: an unknown level.

    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines(redact) if format == "json" else HumanLines(redact))
    root = logging.getLogger()
    root.setLevel(level.upper())
    root.handlers[:] = [handler]
    for name in FOREIGN:
        _join(logging.getLogger(name))
    for name in CHATTY:
        logging.getLogger(name).setLevel(max(root.level, logging.WARNING))
    logging.captureWarnings(capture=True)
    return handler


def _join(foreign: logging.Logger) -> None:
    """Take a library's own handlers away, so that its records reach ours and are told once."""
    foreign.handlers.clear()
    foreign.propagate = True


def fields(record: logging.LogRecord) -> dict[str, Any]:
    """Return what ``extra={...}`` gave."""
    return {name: value for name, value in record.__dict__.items() if name not in PLAIN}


def redacted(value: Any, redact: Redact) -> Any:
    """Return ``value`` as builtins with every string in it redacted, keys too."""
    return _clean(msgspec.to_builtins(value, str_keys=True, enc_hook=str), redact)


def _clean(value: Any, redact: Redact) -> Any:
    if isinstance(value, str):
        return redact(value if value.isascii() else value.encode("utf-8", "replace").decode())
    if isinstance(value, Mapping):
        return {redact(str(key)): _clean(inner, redact) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(inner, redact) for inner in value]
    return value


def _message(record: logging.LogRecord) -> str:
    """Return the message; one whose arguments do not fit it is told as it was written.

    Logging itself would print such a record past ``redact``.
    """
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - whatever an argument's __str__ raises
        return f"{record.msg} {record.args!r}"


def _time(record: logging.LogRecord) -> str:
    """Return when it happened, as RFC 3339 in UTC with milliseconds."""
    at = datetime.fromtimestamp(record.created, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _trouble(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    """Return the exception and the stack as text, empty when there is none."""
    parts = [
        formatter.formatException(record.exc_info) if record.exc_info else record.exc_text or "",
        formatter.formatStack(record.stack_info) if record.stack_info else "",
    ]
    return "\n".join(filter(None, parts))
