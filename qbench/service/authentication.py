"""Who sends a request: by key, or by sitting at the machine of a service that has no keys."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from decimal import Decimal
from urllib.parse import urlsplit

from msgspec.structs import replace
from starlette.requests import HTTPConnection

from qbench.errors import BudgetReached, Forbidden, Unauthenticated
from qbench.service.access import LOCAL, ApiKey, Caller
from qbench.service.binding import is_loopback
from qbench.service.keys import SHAPE, digest_of
from qbench.service.rates import Rates
from qbench.service.store import Store
from qbench.service.store.accounts import TOUCH_S

HOLD_S = 4.0
"""Seconds for which a key that was found is believed: a revoked one is refused within 5 s."""

MAKE_ONE = "Make one with `qbench keys add NAME`, and send it as `Authorization: Bearer KEY`."
PROXIED = ("forwarded", "x-forwarded-for", "x-real-ip")


class Authenticator:
    """Tells callers from their requests. Safe to share between threads.

    ``open_to_local``: the service is bound to a loopback address, so that without any key whoever
    sits at the machine may do everything. Once a key was made it is closed, for good.
    """

    def __init__(self, store: Store, rates: Rates, *, open_to_local: bool) -> None:
        self._store = store
        self._rates = rates
        self._open_to_local = open_to_local
        self._closed = False
        self._found: dict[str, tuple[float, ApiKey]] = {}
        self._touched: dict[str, float] = {}
        self._lock = threading.Lock()

    def __call__(self, request: HTTPConnection) -> Caller:
        """Return who sent ``request``; asked again for the same request it counts once.

        Raises:
            Unauthenticated: no key, or one that is unknown, expired or revoked.
            Forbidden: the open service was asked from a foreign page or through a proxy.
            TooManyRequests: the key's rate is used up.

        """
        known: Caller | None = getattr(request.state, "caller", None)
        if known is None:
            known = self._caller(request)
            request.state.caller = known
        return known

    def budget_left(self, caller: Caller) -> Decimal | None:
        """Return the dollars that the caller's key may still spend now; None: not limited."""
        return None if caller.key_id is None else self._store.api_key(caller.key_id).left

    def check_budget(self, caller: Caller) -> None:
        """Raise BudgetReached when the caller's key has spent its budget."""
        left = self.budget_left(caller)
        if left is not None and left <= 0:
            raise BudgetReached(
                f"The budget of this key is spent ({-left} dollars beyond it).",
                hint="Ask an administrator for a new key: `qbench keys add NAME --budget DOLLARS`.",
            )

    def _caller(self, request: HTTPConnection) -> Caller:
        address = request.client.host if request.client else ""
        if self._open():
            _refuse_foreign(request)
            return replace(LOCAL, address=address)
        key = self._key(_sent(request))
        if key.per_minute is not None:
            self._rates.admit(key.id, key.per_minute)
        self._touch(key.id)
        return Caller(
            account_id=key.account_id,
            name=key.account,
            key_id=key.id,
            scopes=key.scopes,
            address=address,
        )

    def _open(self) -> bool:
        if not self._open_to_local or self._closed:
            return False
        self._closed = self._store.has_keys()
        return not self._closed

    def _key(self, secret: str) -> ApiKey:
        if not secret:
            raise Unauthenticated("This service needs a key, and none was sent.", hint=MAKE_ONE)
        key = self._look_up(digest_of(secret)) if SHAPE.fullmatch(secret) else None
        ended = "unknown" if key is None else key.ended(datetime.now(UTC))
        if key is None or ended:
            raise Unauthenticated(f"This key is {ended}.", hint=MAKE_ONE)
        return key

    def _look_up(self, digest: str) -> ApiKey | None:
        """Find a key. Unknown ones are not held, so that guesses fill no memory."""
        now = time.monotonic()
        with self._lock:
            until, key = self._found.get(digest, (0.0, None))
        if key is not None and now < until:
            return key
        found = self._store.key_by_digest(digest)
        with self._lock:
            if found is None:
                self._found.pop(digest, None)
            else:
                self._found[digest] = (now + HOLD_S, found)
        return found

    def _touch(self, key_id: str) -> None:
        now = time.monotonic()
        with self._lock:
            if now - self._touched.get(key_id, -TOUCH_S) < TOUCH_S:
                return
            self._touched[key_id] = now
        self._store.touch_key(key_id, datetime.now(UTC))


def _sent(request: HTTPConnection) -> str:
    """Return the key of a request; empty when there is none."""
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip()
    return request.headers.get("x-api-key", "").strip()


def _refuse_foreign(request: HTTPConnection) -> None:
    """Raise Forbidden where the open service is reached by others than programs of this machine.

    A page of another site can send requests to 127.0.0.1 from the browser of whoever sits here,
    under its own origin or, by changing what its name resolves to, under its own host. A proxy on
    this machine would pass on the requests of the world.
    """
    origin = request.headers.get("origin")
    foreign = (
        not is_loopback(_host("//" + request.headers.get("host", "")))
        or (origin is not None and not is_loopback(_host(origin)))
        or any(header in request.headers for header in PROXIED)
    )
    if foreign:
        raise Forbidden(
            "A service without keys answers only programs and pages of its own machine.",
            hint=f"Ask http://127.0.0.1 directly, or close the service. {MAKE_ONE}",
        )


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or "?"
    except ValueError:
        return "?"
