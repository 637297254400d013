"""How commands are made, the options that several share, and how their texts are read."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from inspect import Signature, signature
from typing import Annotated, Any

import msgspec
import typer
from msgspec import Struct

from qbench.benchmarks.chat import Sampling
from qbench.benchmarks.limits import Limits
from qbench.benchmarks.suites.served.keeping import with_servers
from qbench.errors import ConfigError, NotFound
from qbench.service.domain import Basis, Controls, Strategy, Until
from qbench.service.order import Order

Database = Annotated[
    str,
    typer.Option("--database", help="SQLite file or database URL [default: your data folder]"),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON to stdout instead of a table.")]
RunRef = Annotated[str, typer.Argument(metavar="RUN", help="Run id, its beginning, or `last`.")]


class Wish(Struct, frozen=True, kw_only=True):
    """What the options of one command line say."""

    order: Order
    controls: Controls
    database: str = ""
    server: str = ""
    fresh: bool = False
    priority: int = 0
    watch: bool = True
    idempotency_key: str = ""
    json: bool = False


def command(function: Callable[..., None]) -> typer.Typer:
    """Make the one-command application that the verb table loads."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command(help=function.__doc__)(function)
    return app


Fresh = Annotated[bool, typer.Option("--fresh", help="Start anew even if this very run exists.")]


def local(fresh: Fresh = False, database: Database = "", json: Json = False) -> None:
    """Declare the options of verbs that run here."""


def remote(
    server: Annotated[str, typer.Option("--server", help="[default: http://127.0.0.1:8000]")] = "",
    fresh: Fresh = False,
    priority: Annotated[int, typer.Option(help="Higher goes first.")] = 0,
    watch: Annotated[bool, typer.Option(help="Follow it to its leaderboard.")] = True,
    idempotency_key: Annotated[
        str, typer.Option(help="Send the same again, and the run is made once.")
    ] = "",
    json: Json = False,
) -> None:
    """Declare the options of verbs that hand a run in."""


def ordering(
    act: Callable[..., None], about: str, extras: Callable[..., None] = local
) -> typer.Typer:
    """Make the command that reads an order and ``extras``, and hands them to ``act``.

    Extras that a ``Wish`` has no field for are handed over by name.
    """
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    shared, more = signature(read_order, eval_str=True), signature(extras, eval_str=True)

    def command(**given: Any) -> None:
        mine = {name: given.pop(name) for name in more.parameters}
        order, controls = read_order(**given)
        others = {name: mine.pop(name) for name in set(mine) - set(Wish.__struct_fields__)}
        act(Wish(order=order, controls=controls, **mine), **others)

    parameters = [*shared.parameters.values(), *more.parameters.values()]
    command.__signature__ = Signature(parameters)  # type: ignore[attr-defined]  # read by typer
    app.command(help=about)(command)
    return app


def read_order(
    suite: Annotated[
        str,
        typer.Option(
            "--suite", "-s", help="Suites or suite/task, comma-separated; see `qbench suites`."
        ),
    ] = "mcp",
    mcp_server: Annotated[
        list[str] | None,
        typer.Option(help="COMMAND or URL of your own for --suite FILE.yaml; may be repeated."),
    ] = None,
    formats: Annotated[
        str, typer.Option("--formats", "-f", help="Comma-separated; see `qbench formats`.")
    ] = "",
    model: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", help="Hub id, folder or API name; may be repeated."),
    ] = None,
    engine: Annotated[
        str, typer.Option(help="embedded, vllm, external, api or scripted [default: by model]")
    ] = "",
    strategies: Annotated[
        str,
        typer.Option(
            "--strategy", help="Comma-separated, like single,majority@5; see `qbench strategies`."
        ),
    ] = "",
    base_url: Annotated[
        str, typer.Option(help="Measure the OpenAI-compatible endpoint at this URL.")
    ] = "",
    baseline: Annotated[
        str, typer.Option(help="FORMAT or MODEL@FORMAT [default: the model unquantized]")
    ] = "",
    level: Annotated[
        str, typer.Option(help="Difficulty, like 1 or 2-4 or 1,5 [default: by model]")
    ] = "",
    samples: Annotated[
        int,
        typer.Option(
            "--samples",
            "--limit",
            "--max-samples",
            "-n",
            help="Samples per system [default: by model, else 200; with --until decided: at most "
            "1000]",
        ),
    ] = 0,
    until: Annotated[
        str,
        typer.Option(
            help="done: ask every sample; decided: stop each system when its verdict is in."
        ),
    ] = "done",
    epochs: Annotated[int, typer.Option(help="Attempts at each sample.")] = 1,
    seed: Annotated[
        int | None, typer.Option(help="Another seed draws other samples [default: 0]")
    ] = None,
    fresh_seed: Annotated[
        bool,
        typer.Option(
            "--fresh-seed", help="Draw a seed that no model can have seen; the run stores it."
        ),
    ] = False,
    margin: Annotated[
        float, typer.Option(help="Pass-rate difference that counts as equivalent.")
    ] = 0.05,
    noise_floor: Annotated[
        bool | None,
        typer.Option(
            "--noise-floor/--no-noise-floor",
            help="Measure the baseline once more [default: when embedded or vllm compare formats]",
        ),
    ] = None,
    budget: Annotated[
        str, typer.Option(help="Dollars; the run stops cleanly before it passes them.")
    ] = "",
    concurrency: Annotated[
        int, typer.Option("--concurrency", "-c", min=1, help="Attempts in flight.")
    ] = 16,
    temperature: Annotated[float, typer.Option(help="0 is greedy.")] = 0.0,
    top_p: Annotated[float, typer.Option(help="Nucleus sampling.")] = 1.0,
    max_tokens: Annotated[
        int, typer.Option(help="Most tokens of one reply [default: by model, else 512]")
    ] = 0,
    turns: Annotated[int, typer.Option(help="Most model calls for each message of the user.")] = 40,
    token_limit: Annotated[
        int, typer.Option(help="Most tokens of one attempt, over all its calls [default: by suite]")
    ] = 0,
    time_limit: Annotated[float, typer.Option(help="Most seconds of one attempt.")] = 300.0,
    tool_protocol: Annotated[
        str, typer.Option(help="native, or text for models without tool calls.")
    ] = "native",
    examples: Annotated[
        bool, typer.Option(help="Show worked examples where a sample has some.")
    ] = True,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", "-o", help="Engine option key=value; may be repeated."),
    ] = None,
    hardware: Annotated[
        str, typer.Option(help="Machine to price by; see `qbench prices` [default: detected]")
    ] = "",
    probe: Annotated[
        bool, typer.Option(help="Compare next-token distributions on a fixed text too: seconds.")
    ] = True,
) -> tuple[Order, Controls]:
    """Read the options that say what to measure and how."""
    order = Order(
        suite=with_servers(suite, mcp_server) if mcp_server else suite,
        formats=words(formats),
        models=tuple(model or ()),
        engine=engine,
        base_url=base_url,
        baseline=baseline,
        levels=levels(level),
        samples=samples,
        epochs=epochs,
        seed=_seed(seed, fresh=fresh_seed),
        margin=margin,
        noise_floor=noise_floor,
        strategies=words(strategies),
        strategy=strategy(tool_protocol, examples=examples),
        sampling=Sampling(temperature=temperature, top_p=top_p, max_tokens=max_tokens),
        limits=Limits(turns=turns, tokens=token_limit or Limits().tokens, seconds=time_limit),
        until=until_of(until),
        options=pairs(option or ()),
    )
    controls = Controls(
        budget=dollars(budget), concurrency=concurrency, hardware=hardware, probe=probe
    )
    return order, controls


def _seed(given: int | None, *, fresh: bool) -> int:
    """Return the seed that is given, 0, or a new one. Raises ConfigError."""
    if given is not None and fresh:
        raise ConfigError(
            f"--seed {given} is no fresh seed.", hint="Give one of --seed and --fresh-seed."
        )
    return secrets.randbelow(2**53) if fresh else given or 0


def words(text: str) -> tuple[str, ...]:
    """Split at commas; order is kept, repeats are dropped."""
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def levels(text: str) -> tuple[int, ...]:
    """Read ``1``, ``2-4`` or ``1,3-5``. Raises ConfigError."""
    try:
        return tuple(level for part in words(text) for level in _range(part))
    except ValueError:
        raise ConfigError(
            f"Cannot read levels from {text!r}.", hint="Write 1, or 2-4, or 1,3-5."
        ) from None


def _range(part: str) -> range:
    first, _, last = part.partition("-")
    return range(int(first), int(last or first) + 1)


def dollars(text: str) -> Decimal | None:
    """Read an amount of dollars; empty means no budget. Raises ConfigError."""
    if not text:
        return None
    try:
        amount = Decimal(text.removeprefix("$"))
    except InvalidOperation:
        amount = Decimal(-1)
    if not amount.is_finite() or amount <= 0:
        raise ConfigError(
            f"Cannot read a budget from {text!r}.", hint="Write dollars, like --budget 0.50."
        )
    return amount


def strategy(tool_protocol: str, *, examples: bool) -> Strategy:
    """Check the tool protocol's name. Raises ConfigError."""
    try:
        return msgspec.convert({"tool_protocol": tool_protocol, "examples": examples}, Strategy)
    except msgspec.ValidationError:
        raise ConfigError(
            f"There is no tool protocol named {tool_protocol!r}.", hint="Known: native, text."
        ) from None


def until_of(name: str) -> Until:
    """Read when a run ends. Raises NotFound."""
    known: dict[str, Until] = {"done": "done", "decided": "decided"}
    if name not in known:
        raise NotFound.among("end of a run", name, known)
    return known[name]


def pairs(texts: Sequence[str]) -> dict[str, Any]:
    """Read ``key=value`` pairs; a value that is JSON is taken as JSON. Raises ConfigError."""
    found: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not (key and equals):
            raise ConfigError(f"Cannot read option {text!r}.", hint="Write --option key=value.")
        found[key] = _value(value)
    return found


def _value(text: str) -> Any:
    try:
        return msgspec.json.decode(text.encode())
    except msgspec.DecodeError:
        return text


BasisName = Annotated[
    str,
    typer.Option(
        "--basis", help="Of local systems: saturated (busy time), dedicated (all) or energy."
    ),
]


def basis_of(name: str) -> Basis:
    """Read a cost basis. Raises NotFound."""
    local: tuple[Basis, ...] = ("saturated", "dedicated", "energy")
    known: dict[str, Basis] = {basis: basis for basis in local}
    if name not in known:
        raise NotFound.among("cost basis", name, known)
    return known[name]
