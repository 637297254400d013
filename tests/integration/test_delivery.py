"""Alerts that reach a real HTTP server and a real mail server."""

from __future__ import annotations

import email
import hashlib
import hmac
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from email.message import Message
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import Envelope
from msgspec.structs import replace

from qbench.service.delivery import deliver
from qbench.service.notices import failure_post
from qbench.service.schedules import Delivery
from qbench.service.store import Store
from qbench.service.store.schedules import TRIES
from tests.integration.recurring import NIGHTLY, START, Clock, add

SECRET = "QBENCH_WEBHOOK_SECRET"  # noqa: S105 - a variable's name
ENVIRON = {SECRET: "s3cret"}


@dataclass
class Receiver:
    """What a webhook got; answers ``answers`` one by one, then 200."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    got: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    kept = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            kept.got.append((self.path, dict(self.headers), body))
            self.send_response(kept.answers.pop(0) if kept.answers else 200)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        kept.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
        yield kept
        server.shutdown()


class Mailbox:
    """A mail server that keeps everything, and refuses while it is told to."""

    def __init__(self) -> None:
        self.got: list[Message] = []
        self.recipients: list[str] = []
        self.refuse = False

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Envelope) -> str:  # noqa: N802
        if self.refuse:
            return "451 later"
        assert isinstance(envelope.content, bytes)
        self.got.append(email.message_from_bytes(envelope.content, policy=default))
        self.recipients += envelope.rcpt_tos
        return "250 OK"


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, str]]:
    box = Mailbox()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    yield box, f"smtp://127.0.0.1:{port}"
    controller.stop()


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with Store.open(url) as opened:
        yield opened


def raise_alert(store: Store, delivery: Delivery) -> None:
    schedule = add(store, replace(NIGHTLY, delivery=delivery))
    firing = store.fire_now(schedule.id, START)
    post = failure_post(schedule, firing, "Nothing came of it.\nAt all.")
    assert store.advance_firing(firing, replace(firing, state="failed"), [post], at=START)


def test_a_webhook_gets_a_signed_notice(store: Store, receiver: Receiver) -> None:
    raise_alert(store, Delivery(webhook=receiver.url, secret_env=SECRET))
    assert deliver(store, Clock(), ENVIRON) == 1
    assert deliver(store, Clock(), ENVIRON) == 0
    [(path, headers, body)] = receiver.got
    signed = headers["X-Qbench-Timestamp"].encode() + b"." + body
    digest = hmac.new(b"s3cret", signed, hashlib.sha256).hexdigest()
    assert path == "/hook"
    assert headers["X-Qbench-Signature"] == f"sha256={digest}"
    assert headers["X-Qbench-Timestamp"] == str(int(START.timestamp()))
    notice = msgspec.json.decode(body)
    assert notice["alert"] == headers["X-Qbench-Delivery"] == store.alerts()[0].id
    assert (notice["kind"], notice["schedule"], notice["schema"]) == ("failed", "nightly", 1)


def test_a_webhook_that_fails_is_tried_again_later_and_later(
    store: Store, receiver: Receiver
) -> None:
    raise_alert(store, Delivery(webhook=receiver.url, secret_env=SECRET))
    receiver.answers, clock = [500, 302], Clock()
    deliver(store, clock, ENVIRON)
    deliver(store, clock, ENVIRON)
    assert "500" in store.alerts()[0].error
    clock.sleep(minutes=1)
    deliver(store, clock, ENVIRON)
    clock.sleep(minutes=1)
    deliver(store, clock, ENVIRON)
    assert len(receiver.got) == 2
    assert "302" in store.alerts()[0].error
    clock.sleep(minutes=2)
    assert deliver(store, clock, ENVIRON) == 1
    [alert] = store.alerts()
    assert (alert.tries, alert.error, alert.delivered_at) == (3, "", clock())
    assert {path for path, _, _ in receiver.got} == {"/hook"}
    assert len({headers["X-Qbench-Delivery"] for _, headers, _ in receiver.got}) == 1


def test_an_alert_is_left_after_the_last_try_and_says_why(store: Store) -> None:
    raise_alert(store, Delivery(webhook="http://127.0.0.1:1/", secret_env=SECRET))
    clock = Clock()
    for _ in range(TRIES + 3):
        deliver(store, clock, ENVIRON)
        clock.sleep(days=3)
    [alert] = store.alerts()
    assert alert.tries == TRIES
    assert alert.delivered_at is None
    assert "not reached" in alert.error


def test_nothing_is_sent_unsigned(store: Store, receiver: Receiver) -> None:
    raise_alert(store, Delivery(webhook=receiver.url, secret_env=SECRET))
    assert deliver(store, Clock(), {}) == 0
    assert receiver.got == []
    assert SECRET in store.alerts()[0].error


def test_mail_is_sent(store: Store, mailbox: tuple[Mailbox, str]) -> None:
    box, smtp = mailbox
    raise_alert(store, Delivery(email=("a@example.org", "b@example.org")))
    environ = {"QBENCH_SMTP_URL": smtp, "QBENCH_SMTP_FROM": "q@example.org"}
    assert deliver(store, Clock(), environ) == 1
    [message] = box.got
    assert box.recipients == ["a@example.org", "b@example.org"]
    assert message["From"] == "q@example.org"
    assert message["Subject"].startswith("qbench nightly: the firing of 2026-05-01")
    assert message["Message-ID"] == f"<{store.alerts()[0].id}@qbench>"
    assert "Nothing came of it." in message.get_payload()


def test_what_one_channel_took_is_not_sent_again_for_another(
    store: Store, receiver: Receiver, mailbox: tuple[Mailbox, str]
) -> None:
    box, smtp = mailbox
    box.refuse, clock = True, Clock()
    raise_alert(store, Delivery(webhook=receiver.url, secret_env=SECRET, email=("a@example.org",)))
    environ = ENVIRON | {"QBENCH_SMTP_URL": smtp}
    assert deliver(store, clock, environ) == 0
    assert "451" in store.alerts()[0].error
    box.refuse = False
    clock.sleep(hours=1)
    assert deliver(store, clock, environ) == 1
    assert (len(receiver.got), len(box.got)) == (1, 1)


def test_a_sender_that_dies_leaves_the_alert_to_the_next(store: Store, receiver: Receiver) -> None:
    raise_alert(store, Delivery(webhook=receiver.url, secret_env=SECRET))
    [alert] = store.alerts()
    assert store.claim_alert(alert, START + timedelta(minutes=1)) is not None
    assert store.claim_alert(alert, START + timedelta(minutes=1)) is None
    clock = Clock()
    assert deliver(store, clock, ENVIRON) == 0
    clock.sleep(minutes=1)
    assert deliver(store, clock, ENVIRON) == 1
    assert len(receiver.got) == 1


def test_without_a_channel_an_alert_goes_into_the_log(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    raise_alert(store, Delivery())
    assert deliver(store, Clock(), {}) == 1
    assert "Nothing came of it." in caplog.text
