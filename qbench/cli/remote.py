"""A qbench server as a source: REST answers become the values that the store gives."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from qbench import errors
from qbench.cli.question import Question
from qbench.service.desk import Submission
from qbench.service.domain import Basis, Controls
from qbench.service.listing import (
    AttemptDetail,
    AttemptPage,
    Rescored,
    RunFacts,
    RunPage,
    RunProgress,
    SubmittedRun,
    Workers,
)
from qbench.service.reports.values import Leaderboard, from_json

T = TypeVar("T")
DEFAULT = "http://127.0.0.1:8000"
PAGE = 1000

RAISED: dict[int, type[errors.QbenchError]] = {
    401: errors.Unauthenticated,
    402: errors.BudgetReached,
    403: errors.Forbidden,
    404: errors.NotFound,
    409: errors.RunTaken,
    422: errors.ConfigError,
    429: errors.TooManyRequests,
    502: errors.EngineError,
    503: errors.StoreError,
}


def server_key() -> str:
    """Return the key in ``QBENCH_API_KEY`` or in the file ``QBENCH_KEY_FILE``; empty for none."""
    key = os.environ.get("QBENCH_API_KEY", "").strip()
    file = os.environ.get("QBENCH_KEY_FILE", "")
    if key or not file:
        return key
    try:
        return Path(file).expanduser().read_text().strip()
    except OSError as error:
        raise errors.ConfigError(
            f"Cannot read the key file {file}: {error.strerror}.",
            hint="Set QBENCH_KEY_FILE to a file that holds the key.",
        ) from None


@contextmanager
def connected(server: str) -> Iterator[httpx.Client]:
    """Open a client whose errors say what to do."""
    key = server_key()
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        with httpx.Client(base_url=server.rstrip("/"), headers=headers, timeout=60) as http:
            yield http
    except (httpx.ConnectError, httpx.ConnectTimeout):
        raise errors.QbenchError(
            f"No qbench server answers at {server}.",
            hint="Start one with `qbench up`, or name another with --server.",
        ) from None
    except (httpx.UnsupportedProtocol, httpx.InvalidURL):
        raise errors.ConfigError(
            f"{server!r} is not an HTTP URL.", hint=f"Give one like {DEFAULT}."
        ) from None
    except httpx.HTTPError as error:
        raise errors.QbenchError(
            f"The connection to {server} failed: {error or type(error).__name__}.",
            hint="Run the same command again.",
        ) from None


def checked(answer: httpx.Response) -> httpx.Response:
    """Return an answer that is one; raise what a problem document says."""
    if answer.is_success:
        return answer
    try:
        problem: dict[str, Any] = msgspec.json.decode(answer.read())
        detail, hint = str(problem["detail"]), str(problem.get("hint", ""))
    except (msgspec.DecodeError, KeyError, TypeError):
        detail, hint = f"The server answered {answer.status_code}.", "Is it a qbench server?"
    raise RAISED.get(answer.status_code, errors.QbenchError)(detail, hint=hint)


class RemoteSource:
    """Reads a server."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def get(self, kind: type[T], path: str, **query: Any) -> T:
        """Ask for a value. Raises what the answer's problem says."""
        given = {name: value for name, value in query.items() if value not in ("", None)}
        return from_json(checked(self._http.get(path, params=given)).content, kind)

    def post(self, kind: type[T], path: str, body: Any = None, **headers: str) -> T:
        """Send a value, or nothing, and return what comes back."""
        data = b"" if body is None else msgspec.json.encode(body)
        sent = {name.replace("_", "-"): value for name, value in headers.items() if value}
        return from_json(checked(self._http.post(path, content=data, headers=sent)).content, kind)

    def delete(self, path: str) -> None:
        """Remove something."""
        checked(self._http.delete(path))

    def submit(self, wanted: Submission, *, idempotency_key: str = "") -> SubmittedRun:
        """Hand a run in."""
        return self.post(SubmittedRun, "/v1/runs", wanted, Idempotency_Key=idempotency_key)

    def cancel(self, ref: str) -> RunProgress:
        """Stop a run."""
        return self.post(RunProgress, f"/v1/runs/{_one(ref)}/cancel")

    def resume(self, ref: str, controls: Controls | None) -> RunProgress:
        """Take a run up again."""
        return self.post(RunProgress, f"/v1/runs/{_one(ref)}/resume", controls)

    def watch(self, ref: str) -> Iterator[RunProgress]:
        """Yield how far a run is whenever that changes, until it rests."""
        path = f"/v1/runs/{_one(ref)}/events"
        with self._http.stream("GET", path, timeout=httpx.Timeout(60)) as stream:
            for line in checked(stream).iter_lines():
                if line.startswith("data: "):
                    yield from_json(line.removeprefix("data: ").encode(), RunProgress)

    def runs(self, limit: int) -> tuple[RunFacts, ...]:
        """List the newest runs."""
        return self.get(RunPage, "/v1/runs", limit=min(limit, PAGE)).runs

    def progress(self, ref: str) -> RunProgress:
        """Tell how far a run is."""
        return self.get(RunProgress, f"/v1/runs/{_one(ref)}")

    def leaderboard(self, ref: str, basis: Basis, *, components: bool) -> Leaderboard:
        """Rank a run's systems."""
        del components  # a server always tells them
        return self.get(Leaderboard, f"/v1/runs/{_one(ref)}/leaderboard", basis=basis)

    def ask(self, question: Question[T]) -> T:
        """Answer a question about runs."""
        return self.get(question.kind, question.path, **question.query)

    def attempts(self, ref: str, which: Any) -> AttemptPage:
        """List attempts of a run; many come in pages."""
        query = {"system": which.system, "status": which.status, "passed": which.passed}
        path = f"/v1/runs/{_one(ref)}/attempts"
        page = self.get(AttemptPage, path, **query, limit=min(which.limit, PAGE))
        while page.next and len(page.attempts) < which.limit:
            left = min(which.limit - len(page.attempts), PAGE)
            more = self.get(AttemptPage, path, **query, limit=left, cursor=page.next)
            page = msgspec.structs.replace(more, attempts=page.attempts + more.attempts)
        return msgspec.structs.replace(page, next=None)

    def attempt(self, ref: str) -> AttemptDetail:
        """Return an attempt and what was said."""
        return self.get(AttemptDetail, f"/v1/attempts/{_one(ref)}")

    def export(self, ref: str) -> Iterator[dict[str, Any]]:
        """Yield every attempt of a run."""
        with self._http.stream("GET", f"/v1/runs/{_one(ref)}/export") as stream:
            for line in checked(stream).iter_lines():
                row: dict[str, Any] = msgspec.json.decode(line)
                row.pop("schema")
                yield row

    def score(self, ref: str) -> int:
        """Judge a run's transcripts again."""
        return self.post(Rescored, f"/v1/runs/{_one(ref)}/score").attempts

    def workers(self) -> Workers:
        """Tell who works, what waits, and what is used."""
        return self.get(Workers, "/v1/workers")


def _one(ref: str) -> str:
    return quote(ref, safe="")
