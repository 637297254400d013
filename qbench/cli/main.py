"""The program: verbs in one lazy table, and the one place where errors become words.

stdout is the result, stderr the talk. Exit codes: 0 done, 1 failed, 2 usage, 3 run invalid or
budget reached, 130 interrupted.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperGroup
from typer.main import get_command

from qbench import __version__
from qbench.errors import NotFound, QbenchError

if TYPE_CHECKING:
    from typer._click.core import Command, Context
    from typer._click.formatting import HelpFormatter

VERBS: dict[str, dict[str, tuple[str, str]]] = {
    "Measure": {
        "run": (
            "qbench.cli.running:run",
            "Run a suite over models and formats; ends in a leaderboard",
        ),
        "plan": (
            "qbench.cli.planning:plan",
            "Show what a run would do, cost and be able to detect",
        ),
        "submit": ("qbench.cli.submitting:submit", "Hand a run to a server and watch it"),
        "cancel": ("qbench.cli.submitting:cancel", "Stop a run that a server makes"),
        "resume": ("qbench.cli.submitting:resume", "Run what is missing or errored of a run"),
        "score": ("qbench.cli.running:score", "Judge the stored transcripts again; calls no model"),
        "arena": (
            "qbench.cli.arena:arena",
            "Rank answers without a reference: brackets, a judge model, Elo",
        ),
        "import": (
            "qbench.cli.importing:import_results",
            "Read results of inspect or lm-eval as a run",
        ),
        "quantize": (
            "qbench.cli.quantizing:quantize",
            "Make quantized checkpoints that vLLM loads, and list them",
        ),
        "sensitivity": (
            "qbench.cli.sensitivity:sensitivity",
            "Which layers suffer in a format, and which to keep wider",
        ),
        "profile": (
            "qbench.cli.profiling:profile",
            "Time a model over prompt and reply lengths, to cost any run with",
        ),
        "schedule": (
            "qbench.cli.schedules:schedule",
            "Runs and re-pricings that recur, with drift alerts",
        ),
    },
    "Read": {
        "runs": ("qbench.cli.results:runs", "List the runs"),
        "show": ("qbench.cli.results:show", "Show a run's attempts, or one attempt's transcript"),
        "watch": ("qbench.cli.submitting:watch", "Follow a run that others make"),
        "leaderboard": ("qbench.cli.results:leaderboard", "Rank the systems of a run"),
        "compare": ("qbench.cli.comparing:compare", "Compare two systems of a run, part by part"),
        "noise": ("qbench.cli.noise:noise", "How far the same is from itself, and where it drowns"),
        "frontier": ("qbench.cli.frontiers:frontier", "Who is undominated, and how surely"),
        "audit": (
            "qbench.cli.auditing:audit",
            "Recompute a published table and judge its rows",
        ),
        "cost-of-pass": ("qbench.cli.costs:cost_of_pass", "What a right answer costs"),
        "cascade": (
            "qbench.cli.cascades:cascade",
            "A cheap system first, a dear one where it seems unsure",
        ),
        "scaling": ("qbench.cli.scaling:scaling", "What more attempts at a sample buy"),
        "efficiency": (
            "qbench.cli.efficiency:efficiency",
            "What a run would take on a dedicated machine; a score with weights",
        ),
        "workers": ("qbench.cli.results:workers", "Who works, what waits, what is used"),
        "history": (
            "qbench.cli.schedules:history",
            "Runs over time: pass rate, cost-of-pass, drift",
        ),
        "reprice": ("qbench.cli.schedules:reprice", "Rank a run at the prices of another day"),
        "export": (
            "qbench.cli.exporting:export",
            "Write a run's attempts as lines, or as files of inspect or lm-eval",
        ),
    },
    "Serve": {
        "up": ("qbench.cli.serving:up", "API, worker and beat in one terminal, to try it out"),
        "serve": ("qbench.cli.serving:api", "The REST API and the OpenAI-compatible gateway"),
        "beat": ("qbench.cli.serving:beat", "The messages that make schedules fire"),
        "worker": ("qbench.cli.serving:worker", "Work on queued runs: engines, attempts"),
        "keys": ("qbench.cli.keys:keys", "Make, list and revoke the keys of the service"),
    },
    "Know": {
        "models": ("qbench.cli.catalogue:models", "Models qbench knows by name"),
        "formats": (
            "qbench.cli.formats:formats",
            "Number formats, their size, and what will really run",
        ),
        "kernels": (
            "qbench.cli.kernels:kernels",
            "GPU kernels: which there are, whether right, how fast, what a token costs",
        ),
        "suites": ("qbench.cli.suites:suites", "Suites: what is asked, their data, their checks"),
        "strategies": ("qbench.cli.strategies:strategies", "How an answer may be made"),
        "prices": ("qbench.cli.catalogue:prices", "Dated prices of machines and API models"),
        "doctor": (
            "qbench.cli.machine:doctor",
            "What works on this machine, and how to mend the rest",
        ),
        "db": ("qbench.cli.machine:db", "Upgrade, check or locate the database"),
    },
}
LAZY = {name: entry for verbs in VERBS.values() for name, entry in verbs.items()}


class Verbs(TyperGroup):
    """Commands that are imported when they are called, so that ``--help`` stays quick."""

    def list_commands(self, ctx: Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the verbs in the order of the help page."""
        return list(LAZY)

    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:  # noqa: ARG002
        """Import the verb's module; an unknown verb gets close names."""
        if cmd_name not in LAZY:
            raise NotFound.among("command", cmd_name, LAZY)
        module, _, attribute = LAZY[cmd_name][0].partition(":")
        command = get_command(getattr(importlib.import_module(module), attribute))
        command.name = cmd_name
        return command

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:  # noqa: ARG002
        """Write the verbs by section, without importing any."""
        for section, verbs in VERBS.items():
            with formatter.section(section):
                formatter.write_dl([(name, about) for name, (_, about) in verbs.items()])


app = typer.Typer(
    cls=Verbs,
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "QBENCH"},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"qbench {__version__}")
        raise typer.Exit


@app.callback(epilog="Example: qbench run --suite mcp --formats fp8,w4a16")
def qbench(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_version,
            is_eager=True,
            allow_from_autoenv=False,
            help="Show the version.",
        ),
    ] = False,
) -> None:
    """Find which model, in which number format, gives a correct answer for the least money.

    And how sure are we: every number comes with its interval, every verdict is paired with a
    baseline on the same samples, and `inconclusive` is the default answer.
    """


def main() -> None:
    """Run the program; expected failures print two sentences and no traceback."""
    try:
        app()
    except QbenchError as error:
        sys.stderr.write(f"Error: {error.what}\n")
        if error.hint:
            sys.stderr.write(f"Try: {error.hint}\n")
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
