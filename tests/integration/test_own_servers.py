"""Servers of the user's, over stdio and streamable HTTP, with tasks from a YAML file."""

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from qbench.benchmarks.catalogue import load_suite
from qbench.benchmarks.chat import Message
from qbench.benchmarks.servers.http import HttpServer
from qbench.benchmarks.servers.process import Timeouts
from qbench.benchmarks.servers.tools import connect
from qbench.benchmarks.suite import Sample, Score, Suite
from qbench.benchmarks.suites.playing import called
from qbench.benchmarks.suites.served.keeping import VARIABLE, with_servers
from qbench.errors import ConfigError, ToolServerError, Unsupported
from qbench.service.handed_in import admitted
from qbench.service.order import Order
from qbench.workers.engines.process import free_port
from tests.mcp_servers import said

SERVER = Path(__file__).parent / "tickets_server.py"
TASKS = """
name: my-tickets
servers:
  desk:
    command: {command}
tools: [close_ticket, count_open]
tasks:
  - prompt: Close ticket 4.
    files: {{tickets.json: '{{"4": "open", "5": "open"}}'}}
    expect: {{resource: "tickets://all", equals: {{"4": closed, "5": open}}}}
    solution: [{{call: close_ticket, arguments: {{number: 4}}}}]
  - prompt: How many tickets are open?
    task: counting
    level: 2
    before: [{{call: start_over, arguments: {{tickets: {{"1": open, "2": open, "3": closed}}}}}}]
    expect:
      answer: 2
      calls: [{{call: count_open}}]
  - prompt: Close ticket 9; the file shall say so.
    before: [{{call: start_over, arguments: {{tickets: {{"9": open}}}}}}]
    expect:
      state:
        - {{call: count_open, equals: 0}}
        - {{file: tickets.json, contains: closed}}
    solution: [{{call: close_ticket, arguments: {{number: 9}}}}]
"""


@pytest.fixture(autouse=True)
def kept_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QBENCH_DATA", str(tmp_path / "data"))


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    path = tmp_path / "tasks.yaml"
    command = f"{sys.executable} {SERVER} stdio '{{folder}}/tickets.json'"
    path.write_text(TASKS.format(command=f'"{command}"'))
    return path


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., tuple[str, subprocess.Popen[bytes]]]]:
    """Start the server at a URL."""
    started: list[subprocess.Popen[bytes]] = []

    def start(token: str = "") -> tuple[str, subprocess.Popen[bytes]]:
        port = free_port()
        words = ["http", str(tmp_path / "remote.json"), str(port), *filter(None, [token])]
        process = subprocess.Popen([sys.executable, str(SERVER), *words])
        started.append(process)
        for _ in range(300):
            with socket.socket() as line:
                if line.connect_ex(("127.0.0.1", port)) == 0:
                    return f"http://127.0.0.1:{port}/mcp", process
            time.sleep(0.1)
        pytest.fail("the server did not come up")

    yield start
    for process in started:
        process.kill()
        process.wait()


def edited(path: Path, old: str, new: str) -> None:
    """Change every ``old`` in a file."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def cut(path: Path, start: str, end: str = "") -> None:
    """Cut a file from one text to just before another, or to its end."""
    text = path.read_text()
    first = text.index(start)
    path.write_text(text[:first] + (text[text.index(end, first) :] if end else ""))


def all_samples(suite: Suite) -> dict[str, Sample]:
    found = suite.samples(seed=0, tasks=suite.tasks, levels=suite.levels, limit=99)
    return {sample.prompt.split()[0] + str(sample.family[-1]): sample for sample in found}


async def judged(suite: Suite, sample: Sample, messages: tuple[Message, ...]) -> Score:
    async with suite.environment(slots=2) as environment:
        return suite.score(sample, await said(environment, sample, messages))


async def test_solutions_pass_and_blunders_fail_on_a_server_of_the_users(tasks: Path) -> None:
    suite = load_suite(str(tasks))
    assert suite.tasks == ("tasks", "counting")
    for sample in all_samples(suite).values():
        verdict = await judged(suite, sample, suite.solution(sample))
        assert verdict.passed, (sample.prompt, verdict.reason)
        assert not (await judged(suite, sample, suite.blunder(sample))).passed


async def test_each_expectation_can_fail_alone(tasks: Path) -> None:
    suite = load_suite(str(tasks))
    close, _, count = (sample for _, sample in sorted(all_samples(suite).items()))
    wrong = (called(0, "close_ticket", {"number": 5}), Message(role="assistant", content="Done."))
    assert "tickets://all" in (await judged(suite, close, wrong)).reason
    guessed = (Message(role="assistant", content="2"),)
    assert "count_open was not called" in (await judged(suite, count, guessed)).reason
    misread = (called(0, "count_open", {}), Message(role="assistant", content="3"))
    assert (await judged(suite, count, misread)).reason == "The answer is not '2'."


async def test_a_run_names_the_suite_by_its_digest_and_finds_it_when_the_file_has_changed(
    tasks: Path,
) -> None:
    suite = load_suite(str(tasks))
    before = all_samples(suite)
    edited(tasks, "Close ticket 4", "Close ticket 5")
    assert suite.name.startswith("my-tickets@")
    assert all_samples(load_suite(suite.name)) == before
    assert load_suite(str(tasks)).name != suite.name


async def test_a_server_named_on_the_command_line_is_asked(
    tasks: Path, serve: Callable[..., tuple[str, Any]]
) -> None:
    cut(tasks, "servers:", "tools:")
    cut(tasks, "  - prompt: Close ticket 4", "  - prompt: How many")
    cut(tasks, "  - prompt: Close ticket 9")
    with pytest.raises(ConfigError, match="--mcp-server"):
        load_suite(str(tasks))
    url, _ = serve()
    suite = load_suite(with_servers(str(tasks), [url]))
    (sample,) = all_samples(suite).values()
    assert (await judged(suite, sample, suite.solution(sample))).passed


async def test_a_token_comes_from_the_environment_and_is_kept_nowhere(
    serve: Callable[..., tuple[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, _ = serve("s3cret")
    server = HttpServer(url=url, token_variable="DESK_TOKEN")
    with pytest.raises(ConfigError, match="DESK_TOKEN"):
        async with connect(server):
            pass
    monkeypatch.setenv("DESK_TOKEN", "wrong")
    with pytest.raises(ToolServerError, match="did not start"):
        async with connect(server):
            pass
    monkeypatch.setenv("DESK_TOKEN", "s3cret")
    async with connect(server, ("count_open",)) as tools:
        assert (await tools.call("count_open", {})).text == "0"
    assert "s3cret" not in repr(server)


async def test_a_server_at_a_url_that_hangs_or_dies_is_a_tool_server_error(
    serve: Callable[..., tuple[str, subprocess.Popen[bytes]]],
) -> None:
    url, process = serve()
    quick = Timeouts(connect=5.0, call=1.0)
    with pytest.raises(ToolServerError, match="within 1 s"):
        async with connect(HttpServer(url=url), timeouts=quick) as tools:
            await tools.call("wait", {"seconds": 20})
    async with connect(HttpServer(url=url)) as tools:
        refused = await tools.call("close_ticket", {"number": 77})
        assert refused.is_error
        process.kill()
        process.wait()
        with pytest.raises(ToolServerError):
            await tools.call("count_open", {})
    with pytest.raises(ToolServerError, match="did not start"):
        async with connect(HttpServer(url=url)):
            pass


def test_an_order_sent_to_a_server_starts_no_command_and_reads_no_file(
    tasks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = load_suite(str(tasks)).name
    for suite in (name, f"mcp,{name}", f"{name}/counting"):
        with pytest.raises(Unsupported, match="operator"):
            admitted(Order(suite=suite))
    for suite in (str(tasks), "tasks.yaml", "../tasks.yaml"):
        with pytest.raises(ConfigError, match="are not read here"):
            admitted(Order(suite=suite))
    monkeypatch.setenv(VARIABLE, str(tasks.parent))
    assert admitted(Order(suite=f"mcp,{name}")).suite == f"mcp,{name}"
    assert admitted(Order(suite="tasks.yaml/counting")).suite == f"{name}/counting"
    with pytest.raises(ConfigError, match="are not read here"):
        admitted(Order(suite=str(tasks)))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("prompt: Close ticket 4.", "promt: x"), "promt"),
        (("level: 2", "level: 7"), "level 7"),
        (("tools: [close_ticket, count_open]", ""), "no tools"),
        (("{tickets.json:", "{../tickets.json:"), "outside the folder"),
        (("answer: 2\n      calls: [{call: count_open}]", "state: []"), "nothing is expected"),
    ],
)
def test_a_file_that_cannot_be_meant_says_where(
    tasks: Path, change: tuple[str, str], complaint: str
) -> None:
    text = tasks.read_text()
    assert change[0] in text
    tasks.write_text(text.replace(*change))
    with pytest.raises(ConfigError, match=complaint):
        load_suite(str(tasks))


async def test_tools_of_the_same_name_and_missing_variables_are_told(tasks: Path) -> None:
    edited(tasks, "  desk:\n", "  desk: &desk\n")
    edited(tasks, "tools: [close", "  twin: *desk\ntools: [close")
    suite = load_suite(str(tasks))
    sample = next(iter(all_samples(suite).values()))
    with pytest.raises(ConfigError, match="Two MCP servers have a tool"):
        await judged(suite, sample, ())
    edited(tasks, "  twin: *desk\n", "    variables: [NO_SUCH_SECRET]\n")
    suite = load_suite(str(tasks))
    with pytest.raises(ConfigError, match="NO_SUCH_SECRET"):
        await judged(suite, next(iter(all_samples(suite).values())), ())
