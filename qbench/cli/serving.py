"""``serve``, ``worker``, ``beat`` and ``up``: the verbs that keep running."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated

import typer
import uvicorn
from celery import Celery
from fastapi import FastAPI

from qbench import __version__
from qbench.cli.options import Database, command
from qbench.errors import ConfigError
from qbench.service.api.app import create_app
from qbench.service.authentication import Authenticator
from qbench.service.binding import check_binding, is_loopback
from qbench.service.broker import IN_PROCESS, CeleryWaker, celery_app, shown_broker
from qbench.service.desk import Desk
from qbench.service.domain import new_id
from qbench.service.gateway.routes import gateway_router
from qbench.service.logs import configure_logs
from qbench.service.metrics import note_dollars, serve_metrics
from qbench.service.pricebook import PriceBook, read_prices
from qbench.service.queue import Worker
from qbench.service.rates import Rates
from qbench.service.redaction import redact
from qbench.service.scheduling import beat as recur
from qbench.service.secretfile import load_secrets
from qbench.service.store import Store
from qbench.service.tracing import setup_tracing
from qbench.workers.celery_steps import register, serve, serving, sweeping
from qbench.workers.gateway_engines import GatewayEngines, GatewaySettings
from qbench.workers.host import Host, HostThread
from qbench.workers.leases import this_process
from qbench.workers.metered import MeteredProgress
from qbench.workers.needs import devices_here
from qbench.workers.progress import Silent

BrokerUrl = Annotated[
    str, typer.Option("--broker", help="Redis URL [default: redis://127.0.0.1:6379/0]")
]
Address = Annotated[
    str, typer.Option("--host", help="Address to listen at; public ones need keys.")
]
Port = Annotated[int, typer.Option(min=1, max=65535, help="TCP port.")]
Threads = Annotated[int, typer.Option("--threads", "-c", min=1, help="Shards worked on at once.")]
Engines = Annotated[
    int, typer.Option(min=0, help="Engines in main memory at once; GPUs come on top.")
]
Grace = Annotated[float, typer.Option(min=0, help="Seconds that work may take to end on SIGTERM.")]
Logs = Annotated[str, typer.Option("--logs", help="human or json.")]
Serves = Annotated[
    str, typer.Option("--gateway-engine", help="What serves the gateway's local models.")
]
Offers = Annotated[
    list[str] | None,
    typer.Option("--gateway-model", help="A local model to offer as well; may be repeated."),
]
MetricsPort = Annotated[
    int, typer.Option(min=0, help="Serve Prometheus metrics on this loopback port; 0: not.")
]
Idle = Annotated[
    float, typer.Option("--gateway-idle", min=0, help="Seconds after which an engine is stopped.")
]


def this_worker(threads: int, engines: int) -> Worker:
    """Describe this process as a worker."""
    me = this_process()
    return Worker(
        id=new_id(),
        host=me.host,
        node=me.node,
        pid=me.pid,
        began=me.began,
        devices=_devices(engines),
        threads=threads,
        version=__version__,
        since=datetime.now(UTC),
    )


def _devices(engines: int) -> tuple[str, ...]:
    me = this_process()
    return devices_here(me.node or me.host, engines=engines)


def _begin(service: str, logs: str) -> None:
    """Load secrets, then log: what is loaded is never shown."""
    if logs not in ("human", "json"):
        raise ConfigError(f"There are no logs of kind {logs!r}.", hint="Known: human, json.")
    load_secrets()
    configure_logs("json" if logs == "json" else "human", redact=redact)
    setup_tracing(service)


def _worker(store: Store, prices: PriceBook, app: Celery, threads: int, engines: int) -> HostThread:
    me = this_worker(threads, engines)
    waker, progress = CeleryWaker(app), MeteredProgress(Silent(), store.run)
    host = Host(store, prices, waker, me, rates=_rates(app), progress=progress)
    store.on_booked(note_dollars)
    thread = HostThread(host, (sweeping,))
    register(app, thread, lambda: recur(store, Desk(store, waker), prices))
    return thread


def _rates(app: Celery) -> Rates:
    """Count where all processes count together: in the broker's Redis."""
    broker = str(app.conf.broker_url)
    return Rates(broker if broker.startswith("redis") else "memory://")


class _Face:
    """The HTTP side: REST and gateway at one address."""

    def __init__(
        self, store: Store, prices: PriceBook, app: Celery, address: str, port: int
    ) -> None:
        self.store = store
        self.prices = prices
        self.app = app
        self.address = address
        self.port = port

    def application(self, settings: GatewaySettings, engines: int) -> FastAPI:
        """Make the application. Raises ConfigError for a public address that is not safe."""
        broker = str(self.app.conf.broker_url)
        secrets = {"QBENCH_BROKER": broker, "QBENCH_DATABASE": self.store.url}
        keys = self.store.has_keys()
        for warning in check_binding(self.address, has_keys=keys, secrets=secrets):
            typer.echo(warning, err=True)
        waker = CeleryWaker(self.app)
        open_to_local = is_loopback(self.address)
        rates = _rates(self.app)
        gateway = GatewayEngines(self.store, self.prices, _devices(engines), settings, rates=rates)

        @contextlib.asynccontextmanager
        async def lifespan(_: FastAPI) -> AsyncIterator[None]:
            async with gateway.open():
                yield

        return create_app(
            self.store,
            Desk(self.store, waker),
            self.prices,
            authenticate=Authenticator(self.store, rates, open_to_local=open_to_local),
            broker_answers=waker.answers,
            routers=(gateway_router(self.store, gateway),),
            lifespan=lifespan,
        )

    def listen(self, application: FastAPI) -> None:
        """Serve HTTP until SIGTERM or SIGINT, then let requests end. Raises ConfigError."""
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        with socket.socket(family) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((self.address, self.port))
            except OSError as error:
                raise ConfigError(
                    f"Cannot listen at {self.address}:{self.port}: {error.strerror}.",
                    hint="Choose another with --host and --port.",
                ) from None
            config = uvicorn.Config(
                application,
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=5,
            )
            self._greet()
            uvicorn.Server(config).run(sockets=[listener])

    def _greet(self) -> None:
        shown = f"[{self.address}]" if ":" in self.address else self.address
        url = f"http://{shown}:{self.port}"
        typer.echo(f"qbench {__version__} at {url}  (Ctrl-C ends it)", err=True)
        typer.echo(f"Try: qbench submit --server {url} --suite sums --engine scripted", err=True)


@command
def worker(
    threads: Threads = 4,
    engines: Engines = 1,
    grace: Grace = 10.0,
    broker: BrokerUrl = "",
    database: Database = "",
    logs: Logs = "human",
    metrics_port: MetricsPort = 0,
) -> None:
    """Work on queued runs: start engines, make attempts, until SIGTERM."""
    _begin("qbench-worker", logs)
    if metrics_port:
        serve_metrics(metrics_port)
    app = celery_app(broker)
    with Store.open_current(database) as store:
        thread = _worker(store, read_prices(), app, threads, engines)
        me = thread.host.worker.id
        typer.echo(f"Worker {me}: {threads} shards at once, {shown_broker(app)}", err=True)
        serve(app, thread, threads=threads, grace_s=grace)


@command
def api(
    host: Address = "127.0.0.1",
    port: Port = 8000,
    engines: Engines = 1,
    gateway_engine: Serves = "embedded",
    gateway_model: Offers = None,
    gateway_idle: Idle = 300.0,
    broker: BrokerUrl = "",
    database: Database = "",
    logs: Logs = "human",
) -> None:
    """Serve the REST API and the gateway."""
    _begin("qbench-api", logs)
    settings = _settings(gateway_engine, gateway_model, gateway_idle)
    with Store.open_current(database) as store:
        face = _Face(store, read_prices(), celery_app(broker), host, port)
        face.listen(face.application(settings, engines))


@command
def beat(broker: BrokerUrl = "", logs: Logs = "human") -> None:
    """Send the messages that make schedules fire; one or several, each firing is once."""
    _begin("qbench-beat", logs)
    app = celery_app(broker)
    typer.echo(f"Beat: {shown_broker(app)}", err=True)
    app.Beat(scheduler="celery.beat:Scheduler", loglevel="WARNING").run()


@command
def up(
    host: Address = "127.0.0.1",
    port: Port = 8000,
    threads: Threads = 4,
    engines: Engines = 1,
    grace: Grace = 10.0,
    gateway_engine: Serves = "embedded",
    gateway_model: Offers = None,
    gateway_idle: Idle = 300.0,
    database: Database = "",
    logs: Logs = "human",
) -> None:
    """Start API, worker and beat in this terminal, with a broker in the process: to try it out."""
    _begin("qbench", logs)
    app, prices = celery_app(IN_PROCESS), read_prices()
    settings = _settings(gateway_engine, gateway_model, gateway_idle)
    with Store.open(database) as store:
        face = _Face(store, prices, app, host, port)
        application = face.application(settings, engines)
        thread = _worker(store, prices, app, threads, engines)
        with serving(app, thread, threads=threads, grace_s=grace):
            face.listen(application)


def _settings(engine: str, models: list[str] | None, idle_s: float) -> GatewaySettings:
    if engine not in ("embedded", "vllm"):
        raise ConfigError(
            f"The gateway cannot serve local models with {engine!r}.",
            hint="Known: embedded, vllm.",
        )
    return GatewaySettings(engine=engine, models=tuple(models or ()), idle_s=idle_s)
