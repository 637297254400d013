"""``worker``: the verbs that keep running."""

from __future__ import annotations

from datetime import UTC, datetime

import typer

from qbench import __version__
from qbench.cli.options import Database, command
from qbench.service.broker import CeleryWaker, celery_app, shown_broker
from qbench.service.domain import new_id
from qbench.service.pricebook import read_prices
from qbench.service.queue import Worker
from qbench.service.store import Store
from qbench.workers.celery_steps import register, serve, sweeping
from qbench.workers.host import Host, HostThread
from qbench.workers.leases import this_process
from qbench.workers.needs import devices_here


def this_worker(threads: int, engines: int) -> Worker:
    """Describe this process as a worker."""
    me = this_process()
    return Worker(
        id=new_id(),
        host=me.host,
        node=me.node,
        pid=me.pid,
        began=me.began,
        devices=devices_here(me.node or me.host, engines=engines),
        threads=threads,
        version=__version__,
        since=datetime.now(UTC),
    )


@command
def worker(
    threads: int = typer.Option(4, "--threads", "-c", min=1, help="Shards worked on at once."),
    engines: int = typer.Option(1, min=0, help="Engines in main memory at once; GPUs come on top."),
    grace: float = typer.Option(
        10.0, min=0, help="Seconds that shards may take to end on SIGTERM."
    ),
    broker: str = typer.Option("", help="Redis URL [default: redis://127.0.0.1:6379/0]"),
    database: Database = "",
) -> None:
    """Work on queued runs: start engines, make attempts, until SIGTERM."""
    app = celery_app(broker)
    with Store.open(database) as store:
        host = Host(store, read_prices(), CeleryWaker(app), this_worker(threads, engines))
        thread = HostThread(host, (sweeping,))
        register(app, thread)
        typer.echo(f"worker {host.worker.id}: {threads} shards, {shown_broker(app)}", err=True)
        serve(app, thread, threads=threads, grace_s=grace)
