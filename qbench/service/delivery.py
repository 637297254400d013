"""Alerts on their way: a signed webhook, an e-mail, or a line in the log.

Each try is claimed before it is made, and comes up again by itself if its maker dies; what a
channel took is written down at once. A receiver can see a notice twice only when the sender died
in between: its id (``X-Qbench-Delivery``, ``Message-ID``) is the same then.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import smtplib
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from email.message import EmailMessage
from http.client import HTTPException, HTTPMessage
from typing import IO
from urllib.parse import SplitResult, unquote, urlsplit

from msgspec.structs import replace

from qbench import __version__
from qbench.errors import ConfigError, QbenchError
from qbench.service.reports.values import to_json
from qbench.service.schedules import Alert, Delivery, Post
from qbench.service.store import Store

logger = logging.getLogger(__name__)

SMTP_URL = "QBENCH_SMTP_URL"
"""``smtp://user:password@host:587`` (TLS when the server offers it) or ``smtps://``."""
SMTP_FROM = "QBENCH_SMTP_FROM"

TIMEOUT_S = 15.0
FIRST_RETRY = timedelta(minutes=1)
FACTOR = 3
"""Each wait is so many times the one before: eight tries take 18 hours."""

LOCAL = ("localhost", "127.0.0.1", "::1")


class DeliveryFailed(QbenchError):
    """A channel did not take a notice; it is tried again."""


def deliver(
    store: Store, now: Callable[[], datetime], environ: Mapping[str, str] = os.environ
) -> int:
    """Send what is not delivered and due; return how many alerts reached all their channels."""
    done = 0
    for alert in store.undelivered(now()):
        claimed = store.claim_alert(alert, now() + FIRST_RETRY * FACTOR**alert.tries)
        if claimed is not None:
            done += _deliver(store, claimed, now, environ)
    return done


def _deliver(
    store: Store, alert: Alert, now: Callable[[], datetime], environ: Mapping[str, str]
) -> bool:
    errors = []
    for channel in channels(alert.post.delivery):
        if channel in alert.post.sent:
            continue
        try:
            CHANNELS[channel](alert, now(), environ)
        except QbenchError as error:
            errors.append(f"{channel}: {error.what}")
            logger.warning("Alert %s was not delivered by %s", alert.id, errors[-1])
            continue
        alert = _with(alert, replace(alert.post, sent=(*alert.post.sent, channel)))
        store.save_delivery(alert)
    ended = replace(alert, error="; ".join(errors), delivered_at=None if errors else now())
    store.save_delivery(ended)
    return not errors


def _with(alert: Alert, post: Post) -> Alert:
    return replace(alert, post=post)


def channels(delivery: Delivery) -> tuple[str, ...]:
    """Name the channels of a delivery; the log when it names none."""
    wanted = {"webhook": bool(delivery.webhook), "email": bool(delivery.email)}
    return tuple(name for name, asked in wanted.items() if asked) or ("log",)


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """Return ``sha256=`` and the HMAC, in hex, of ``timestamp.body``."""
    digest = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256)
    return f"sha256={digest.hexdigest()}"


def _webhook(alert: Alert, now: datetime, environ: Mapping[str, str]) -> None:
    delivery = alert.post.delivery
    body, timestamp = to_json(alert.post.notice), str(int(now.timestamp()))
    secret = environ.get(delivery.secret_env, "")
    if not secret:
        raise DeliveryFailed(f"{delivery.secret_env} is not set, so that nothing can be signed.")
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"qbench/{__version__}",
        "X-Qbench-Delivery": alert.id,
        "X-Qbench-Timestamp": timestamp,
        "X-Qbench-Signature": signature(secret, timestamp, body),
    }
    request = urllib.request.Request(  # noqa: S310 - checked: http or https
        delivery.webhook, data=body, headers=headers, method="POST"
    )
    try:
        with OPENER.open(request, timeout=TIMEOUT_S):
            pass
    except urllib.error.HTTPError as error:
        error.close()
        raise DeliveryFailed(f"the receiver answered {error.code}.") from None
    except (OSError, HTTPException, ValueError) as error:
        raise DeliveryFailed(f"the receiver was not reached: {error}.") from None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer like any other that is not 2xx: the notice goes where it was told."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> None:
        """Follow nothing."""


OPENER = urllib.request.build_opener(_NoRedirect)


def _email(alert: Alert, now: datetime, environ: Mapping[str, str]) -> None:
    notice = alert.post.notice
    message = EmailMessage()
    message["Subject"] = " ".join(notice.subject.split())
    message["From"] = environ.get(SMTP_FROM) or "qbench@localhost"
    message["To"] = ", ".join(alert.post.delivery.email)
    message["Date"] = now
    message["Message-ID"] = f"<{alert.id}@qbench>"
    message.set_content(notice.text)
    try:
        with _smtp(environ.get(SMTP_URL, "")) as server:
            server.send_message(message)
    except (OSError, ValueError, smtplib.SMTPException) as error:
        raise DeliveryFailed(f"the mail server did not take it: {error}.") from None


def _smtp(url: str) -> smtplib.SMTP:
    """Connect, with TLS where it is offered, and log in where a user is given."""
    parts = urlsplit(url)
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
        raise ConfigError(
            f"{SMTP_URL} does not name a mail server.", hint="Write smtp://user:password@host:587."
        )
    context = ssl.create_default_context()
    if parts.scheme == "smtps":
        server: smtplib.SMTP = smtplib.SMTP_SSL(
            parts.hostname, parts.port or 465, timeout=TIMEOUT_S, context=context
        )
    else:
        server = smtplib.SMTP(parts.hostname, parts.port or 587, timeout=TIMEOUT_S)
    try:
        _log_in(server, parts, context)
    except BaseException:
        server.close()
        raise
    return server


def _log_in(server: smtplib.SMTP, url: SplitResult, context: ssl.SSLContext) -> None:
    safe = isinstance(server, smtplib.SMTP_SSL) or url.hostname in LOCAL
    server.ehlo()
    if server.has_extn("starttls"):
        server.starttls(context=context)
        server.ehlo()
        safe = True
    if url.username and not safe:
        raise DeliveryFailed("the mail server offers no TLS: the password stays here.")
    if url.username:
        server.login(unquote(url.username), unquote(url.password or ""))


def _log(alert: Alert, now: datetime, environ: Mapping[str, str]) -> None:  # noqa: ARG001
    notice = alert.post.notice
    logger.warning("%s\n%s", notice.subject, notice.text)


CHANNELS: dict[str, Callable[[Alert, datetime, Mapping[str, str]], None]] = {
    "webhook": _webhook,
    "email": _email,
    "log": _log,
}
