"""What recurs: a run or a re-pricing, by cron; and what its firings found. Values, no I/O."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from msgspec import Struct

from qbench.benchmarks.analysis.runs.drift import DriftReport, Watch
from qbench.errors import ConfigError
from qbench.service.domain import Basis, Controls, Priority
from qbench.service.handed_in import admitted
from qbench.service.order import Order, refuse_sequential, to_request

Act = Literal["run", "reprice"]
FiringState = Literal["due", "running", "confirming", "done", "skipped", "failed"]
"""``due``: nothing done yet. ``running``: its run is under way. ``confirming``: a shift is
suspected and its confirming run is under way. The others are ends."""

OPEN: tuple[FiringState, ...] = ("due", "running", "confirming")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
SECRET = re.compile(r"QBENCH_WEBHOOK_[A-Z0-9_]+")
"""Variables that a delivery may name, so that no other secret signs what its author receives."""

FIELDS = 5


class Delivery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where alerts go; with nothing set, into the log."""

    webhook: str = ""
    """URL that is posted to."""
    secret_env: str = ""
    """Variable with the webhook's HMAC secret, ``QBENCH_WEBHOOK_...``."""
    email: tuple[str, ...] = ()
    """Addresses; the server is that of ``QBENCH_SMTP_URL``."""


class Recurring(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A schedule as its author writes it."""

    name: str
    cron: str
    """Minute, hour, day of month, month, day of week."""
    timezone: str = "UTC"
    act: Act = "run"
    order: Order = Order()
    """What to run; every time afresh."""
    controls: Controls = Controls()
    priority: Priority = 0
    runs: tuple[str, ...] = ()
    """Runs to re-price; empty: the ``newest`` that ended."""
    newest: int = 10
    basis: Basis = "saturated"
    """Of local systems' cost, in what is compared and re-priced."""
    watch: Watch = Watch()
    delivery: Delivery = Delivery()


class Schedule(Struct, frozen=True, kw_only=True):
    """A schedule as it stands."""

    id: str
    account_id: str | None
    """Who it runs for; None on the open service of one machine."""
    what: Recurring
    paused: bool
    created_at: datetime
    next_at: datetime | None
    """When it is due next; None while it is paused, or when it never is again."""
    removed_at: datetime | None = None

    @property
    def name(self) -> str:
        """Its author's name for it."""
        return self.what.name


class Finding(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of a firing."""

    reason: str = ""
    """Why it was skipped or failed."""
    report: DriftReport | None = None
    snapshots: tuple[str, ...] = ()
    """Ids, of a re-pricing."""


class Firing(Struct, frozen=True, kw_only=True):
    """One time that a schedule came due."""

    id: str
    schedule_id: str
    due_at: datetime
    """The first time that was missed, where several were."""
    at: datetime
    """When it was noticed."""
    state: FiringState
    run_id: str | None = None
    confirm_run_id: str | None = None
    found: Finding = Finding()


class Notice(Struct, frozen=True, kw_only=True):
    """What an alert says. A webhook gets it as JSON."""

    alert: str
    """Id: the same for every try, so that a receiver can drop a repeat."""
    kind: Literal["drift", "failed"]
    schedule: str
    firing: str
    due_at: datetime
    subject: str
    text: str
    run_id: str | None = None
    confirm_run_id: str | None = None
    report: DriftReport | None = None
    schema: int = 1


class Post(Struct, frozen=True, kw_only=True):
    """An alert's way to its readers, as stored."""

    notice: Notice
    delivery: Delivery
    """As it was when the alert was raised."""
    sent: tuple[str, ...] = ()
    """Channels that took it: ``webhook``, ``email``, ``log``."""
    next_try_at: datetime | None = None


class Alert(Struct, frozen=True, kw_only=True):
    """What was raised, and whether it was delivered."""

    id: str
    firing_id: str
    at: datetime
    post: Post
    delivered_at: datetime | None = None
    """When the last channel took it."""
    tries: int = 0
    error: str = ""
    """Of the last try."""


class Snapshot(Struct, frozen=True, kw_only=True):
    """A run's leaderboard at the prices of one day."""

    id: str
    run_id: str
    at: datetime
    """When it was made."""
    as_of: datetime
    """Date of the prices."""
    basis: Basis
    leaderboard: dict[str, Any]
    """As JSON, in the form of the version that made it."""


def next_at(cron: str, timezone: str, after: datetime) -> datetime:
    """Return the first time after ``after`` that ``cron`` names, in UTC.

    Clocks that go forward: a time that is skipped comes at the change. Clocks that
    go back: a time of day that exists twice comes once; ``*`` in minutes or hours follows elapsed
    time.

    Raises:
        ConfigError: the expression or the time zone cannot be read, or it never comes.

    """
    for found in _times(cron, after.astimezone(_zone(timezone))):
        if found.astimezone(UTC) > after:
            return found.astimezone(UTC)
    raise ConfigError(f"The cron expression {cron!r} never comes.", hint="Give a day that exists.")


def _times(cron: str, after: datetime) -> CronSim:
    reason = f"it has {len(cron.split())} fields"
    if len(cron.split()) == FIELDS:
        try:
            return CronSim(cron, after)
        except CronSimError as error:
            reason = str(error)
    raise ConfigError(
        f"Cannot read the cron expression {cron!r}: {reason}.",
        hint="Write minute, hour, day, month and weekday, like '0 3 * * *' for 3 at night.",
    )


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        raise ConfigError(
            f"There is no time zone {name!r}.", hint="Write one like UTC or Europe/Berlin."
        ) from None


def checked(what: Recurring, now: datetime) -> datetime:
    """Return when a schedule comes first. Raises ConfigError for what could never be done."""
    if not NAME.fullmatch(what.name):
        raise ConfigError(
            f"{what.name!r} cannot be a schedule's name.",
            hint="Use up to 64 letters, digits, points, dashes; begin with a letter or digit.",
        )
    _check_watch(what)
    _check_delivery(what.delivery)
    if what.act == "run":
        refuse_sequential(to_request(admitted(what.order)))
    return next_at(what.cron, what.timezone, now)


def _check_watch(what: Recurring) -> None:
    watch = what.watch
    shares = 0 < watch.q < 1 and 0 <= watch.points < 1 and watch.share >= 0
    if not (shares and 1 <= watch.window_least <= watch.window and what.newest >= 1):
        raise ConfigError(
            f"Cannot watch for drift with {watch}.",
            hint="Give 1 <= window_least <= window, 0 < q < 1, 0 <= points < 1, share >= 0.",
        )


def _check_delivery(delivery: Delivery) -> None:
    if delivery.webhook and not delivery.webhook.startswith(("http://", "https://")):
        raise ConfigError(
            f"Cannot post to {delivery.webhook!r}.", hint="Give an http:// or https:// URL."
        )
    if delivery.webhook and not SECRET.fullmatch(delivery.secret_env):
        raise ConfigError(
            f"{delivery.secret_env!r} does not name the variable of a webhook secret.",
            hint="Put the secret into QBENCH_WEBHOOK_SECRET, say, and give that name.",
        )
    if any("@" not in to or re.search(r"[\s,<>]", to) for to in delivery.email):
        raise ConfigError(
            f"Cannot send e-mail to {', '.join(delivery.email)}.", hint="Write like a@example.org."
        )
