"""The broker: Celery's configuration, and the messages that wake workers. No step is here.

A message says only that there is something to do. What is to be done, and who does it, is decided
in the database when a worker asks: a message that is lost is sent again by a sweep, one that comes
twice finds nothing, and priority and fair share hold whatever the order of messages.
"""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlsplit

from celery import Celery
from kombu.exceptions import OperationalError

from qbench.errors import BrokerDown, ConfigError

ENVIRONMENT = "QBENCH_BROKER"
QUEUES = ("plan", "engine", "shard", "tick")
IN_PROCESS = "memory://"
SWEEP_S = 5.0
"""How often lost messages and lost workers are looked for."""

TICK_S = 10.0
"""How often schedules are looked at."""


def locate_broker(url: str = "") -> str:
    """Return the broker's URL: ``url``, else the environment's, else the local Redis."""
    wanted = url or os.environ.get(ENVIRONMENT, "") or "redis://127.0.0.1:6379/0"
    if urlsplit(wanted).scheme not in ("redis", "rediss", "memory", "amqp", "amqps"):
        raise ConfigError(
            "Cannot read the broker's URL.", hint="Give one like redis://127.0.0.1:6379/0."
        )
    return wanted


def step_name(queue: str) -> str:
    """Return the name of the step that a queue's messages call."""
    return f"qbench.{queue}"


def celery_app(url: str = "") -> Celery:
    """Make the Celery application; steps are registered by the worker alone.

    Messages are acknowledged when a step has ended, one is taken at a time, results are not kept,
    and no time limit ends a step: a lease in the database tells who is alive.
    """
    app = Celery("qbench", broker=locate_broker(url), set_as_current=False)
    app.conf.update(
        accept_content=["json"],
        broker_connection_retry_on_startup=True,
        broker_transport_options=_transport(url),
        beat_schedule={
            "tick": {
                "task": step_name("tick"),
                "schedule": TICK_S,
                "options": {"queue": "tick", "expires": TICK_S},
            }
        },
        task_acks_late=True,
        task_create_missing_queues=True,
        task_default_queue="plan",
        task_ignore_result=True,
        task_publish_retry_policy={"max_retries": 1, "interval_start": 0, "interval_step": 0.2},
        task_reject_on_worker_lost=False,  # a sweep sends what was lost
        task_send_sent_event=True,
        task_store_errors_even_if_ignored=False,
        timezone="UTC",
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_prefetch_multiplier=1,
        worker_send_task_events=True,
    )
    return app


def _transport(url: str) -> dict[str, Any]:
    if locate_broker(url) == IN_PROCESS:
        return {"polling_interval": 0.02}
    return {
        "visibility_timeout": 3600,
        "socket_connect_timeout": 2,
        "socket_timeout": 30,
        "socket_keepalive": True,
        "health_check_interval": 30,
    }


class CeleryWaker:
    """Wakes workers through the broker."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def wake(self, queue: str, number: int = 1) -> None:
        """Put ``number`` messages into ``queue``. Raises BrokerDown."""
        try:
            for _ in range(number):
                self._app.send_task(step_name(queue), queue=queue)
        except (OperationalError, OSError) as error:
            raise BrokerDown(
                f"The broker {shown_broker(self._app)} does not answer.",
                hint="Start it, or name another with --broker. Nothing is lost: a sweep sends it.",
            ) from error

    def answers(self) -> bool:
        """Say whether the broker is there."""
        try:
            with self._app.connection_for_write() as connection:
                connection.ensure_connection(max_retries=1, timeout=2)
        except (OperationalError, OSError):
            return False
        return True


def shown_broker(app: Celery) -> str:
    """Return the broker's URL without its password."""
    parts = urlsplit(str(app.conf.broker_url))
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"
