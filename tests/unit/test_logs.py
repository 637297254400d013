from __future__ import annotations

import io
import logging
import re
import sys
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from qbench.service.logs import FOREIGN, LogFormat, configure_logs
from qbench.service.tracing import setup_tracing, span

SECRET = 'sk-"quoted"-123'  # noqa: S105 - not one
LOG = logging.getLogger("qbench.test")


def redact(text: str) -> str:
    return text.replace(SECRET, "***")


def refuse() -> None:
    raise ValueError(f"refused {SECRET}")


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        yield
    finally:
        logging.captureWarnings(capture=False)
        root.handlers[:] = before
        root.setLevel(level)


def configured(form: LogFormat = "json", level: str = "INFO") -> io.StringIO:
    stream = io.StringIO()
    configure_logs(form, level, redact=redact, stream=stream)
    return stream


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [msgspec.json.decode(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_json_object_with_its_fields() -> None:
    stream = configured()
    LOG.info("run %s\nbegins", "r1", extra={"run": "r1", "dollars": Decimal("0.10"), "n": 3})
    (line,) = lines(stream)
    at = line.pop("time")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", at)
    assert abs((datetime.now(UTC) - datetime.fromisoformat(at)).total_seconds()) < 60
    assert line == {
        "level": "info",
        "logger": "qbench.test",
        "message": "run r1\nbegins",
        "run": "r1",
        "dollars": "0.10",
        "n": 3,
    }


def test_messages_extras_keys_and_tracebacks_are_redacted() -> None:
    stream = configured()
    try:
        refuse()
    except ValueError:
        LOG.exception("key %s", SECRET, extra={"deep": [{SECRET: (SECRET, ValueError(SECRET))}]})
    (line,) = lines(stream)
    assert line["message"] == "key ***"
    assert line["deep"] == [{"***": ["***", "***"]}]
    assert "ValueError: refused ***" in line["exception"]
    assert line["exception"].startswith("Traceback")
    assert "123" not in stream.getvalue()


def test_a_field_cannot_hide_what_the_line_says_itself() -> None:
    stream = configured()
    LOG.info("true", extra={"level": "forged", "time": "never", "logger": "other"})
    (line,) = lines(stream)
    assert (line["message"], line["level"], line["logger"]) == ("true", "info", "qbench.test")


def test_a_field_that_json_does_not_know_is_told_as_text() -> None:
    stream = configured()
    LOG.info("odd", extra={"what": object, "where": {1: {2}}, "much": float("nan")})
    (line,) = lines(stream)
    assert line["what"] == "<class 'object'>"
    assert line["where"] == {"1": [2]}
    assert line["much"] is None


def test_no_record_is_lost_or_told_past_the_redaction(capsys: pytest.CaptureFixture[str]) -> None:
    stream = configured()
    ring: list[Any] = []
    ring.append(ring)
    LOG.info("%d", SECRET)
    LOG.info("lone \ud800", extra={"big": 2**80, "ring": ring, "key": SECRET})
    first, second = lines(stream)
    assert first["message"] == "%d ('***',)"
    assert second["message"] == "lone ?"
    assert (second["big"], second["ring"]) == (str(2**80), "[[...]]")
    assert SECRET not in stream.getvalue() + capsys.readouterr().err


def test_a_line_inside_a_span_names_it() -> None:
    stream = configured()
    end = setup_tracing("test", exporter=InMemorySpanExporter())
    with span("a"):
        LOG.info("inside")
    LOG.info("outside")
    end()
    inside, outside = lines(stream)
    assert re.fullmatch(r"[0-9a-f]{32}", inside["trace_id"])
    assert re.fullmatch(r"[0-9a-f]{16}", inside["span_id"])
    assert "trace_id" not in outside


@pytest.mark.parametrize("name", ["uvicorn.access", "celery.worker", "kombu"])
def test_loggers_of_libraries_go_through_the_one_handler(name: str) -> None:
    foreign = logging.getLogger(name)
    foreign.addHandler(logging.StreamHandler(sys.stdout))
    foreign.propagate = False
    stream = configured()
    foreign.warning("served %s", SECRET, extra={"color_message": "again"})
    (line,) = lines(stream)
    assert line["message"] == "served ***"
    assert "color_message" not in line
    assert name in FOREIGN


def test_levels_hold_and_warnings_are_lines() -> None:
    stream = configured(level="warning")
    LOG.info("unheard")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn("old thing", stacklevel=1)
    (line,) = lines(stream)
    assert line["logger"] == "py.warnings"
    assert "old thing" in line["message"]
    with pytest.raises(ValueError, match="LOUD"):
        configured(level="loud")


def test_a_human_line_is_one_line_whatever_the_message() -> None:
    stream = configured("human")
    LOG.info("two\nlines %s", SECRET, extra={"run": "r1"})
    LOG.warning("again")
    first, second = stream.getvalue().splitlines()
    assert re.match(r"\d\d:\d\d:\d\d INFO     qbench.test +two\\nlines \*\*\*  run=r1$", first)
    assert first.index("two") == second.index("again")


def test_a_human_traceback_is_indented_and_redacted() -> None:
    stream = configured("human")
    try:
        refuse()
    except ValueError:
        LOG.exception("failed")
    told = stream.getvalue()
    assert "    ValueError: refused ***" in told
    assert SECRET not in told
