"""Fetching declared suites' data from a stand-in of the hub on this machine."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from pyarrow import parquet

from qbench.benchmarks.catalogue import load_source, load_suite
from qbench.benchmarks.data import fetch
from qbench.errors import ConfigError
from tests.declared_data import CAPITALS, DEFINITION, declare, jsonl

SECRET = "hf_a_token_nobody_may_see"  # noqa: S105 - of the stand-in alone
GSM8K = [
    {
        "question": f"What is {n} plus {n}?",
        "answer": f"{n}+{n}=<<{n}+{n}={2 * n}>>{2 * n}\n#### {2 * n:,}",
    }
    for n in range(600, 640)
]


class Hub(ThreadingHTTPServer):
    """Serves ``files`` by path; paths in ``gated`` want the token. Remembers what was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.files: dict[str, bytes] = {}
        self.gated: set[str] = set()
        self.asked: list[tuple[str, str]] = []

    def split(self, at: str, rows: list[dict[str, Any]]) -> None:
        """Put a split of a data set on the hub, as one Parquet file."""
        sink = pa.BufferOutputStream()
        parquet.write_table(pa.Table.from_pylist(rows), sink)
        url = f"/api/datasets/{at}"
        self.files[url] = msgspec.json.encode([f"https://elsewhere{url}/0.parquet"])
        self.files[f"{url}/0.parquet"] = sink.getvalue().to_pybytes()


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        hub = self.server
        assert isinstance(hub, Hub)
        token = self.headers.get("Authorization", "")
        hub.asked.append((self.path, token))
        if self.path in hub.gated and token != f"Bearer {SECRET}":
            self.send_error(401)
        elif self.path not in hub.files:
            self.send_error(404)
        else:
            self.send_response(200)
            self.send_header("Content-Length", str(len(hub.files[self.path])))
            self.end_headers()
            self.wfile.write(hub.files[self.path])

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Stay silent."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    server = Hub()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}/")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("QBENCH_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_gsm8k_comes_from_the_hub_with_its_worked_examples(hub: Hub) -> None:
    hub.split("openai/gsm8k/parquet/main/test", GSM8K)
    hub.split("openai/gsm8k/parquet/main/train", GSM8K[:7])
    said: list[str] = []
    origin = fetch("gsm8k", load_source("gsm8k"), "", said.append)
    assert (origin.license, len(origin.sha256), len(said)) == ("MIT", 64, 2)
    suite = load_suite("gsm8k")
    assert suite.name.startswith("gsm8k@")
    samples = suite.samples(seed=0, tasks=suite.tasks, levels=suite.levels, limit=100)
    assert len(samples) == len(GSM8K)
    assert len(samples[0].examples) == 10
    assert samples[0].examples[1].content.endswith("#### 1,200")
    assert {sample.answer for sample in samples} == {f"{2 * n:,}" for n in range(600, 640)}


def test_a_gated_set_says_what_to_do_and_the_token_is_never_told(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = "Idavidrein/gpqa/parquet/gpqa_diamond/train"
    columns = ("Question", "Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2")
    more = ("Incorrect Answer 3", "Record ID")
    rows = [{name: f"{name} {n}" for name in (*columns, *more)} for n in range(9)]
    hub.split(at, [row | {"High-level domain": "Physics"} for row in rows])
    hub.gated = set(hub.files)
    said: list[str] = []
    with pytest.raises(ConfigError, match="HTTP 401") as error:
        fetch("gpqa-diamond", load_source("gpqa-diamond"), "", said.append)
    assert "set HF_TOKEN" in error.value.hint
    monkeypatch.setenv("HF_TOKEN", SECRET)
    origin = fetch("gpqa-diamond", load_source("gpqa-diamond"), "", said.append)
    assert SECRET not in "".join(said) + repr(origin)
    suite = load_suite("gpqa-diamond")
    drawn = suite.samples(seed=0, tasks=suite.tasks, levels=suite.levels, limit=9)
    assert {sample.canary for sample in drawn} == {"gpqa"}
    assert all(len(sample.details["choices"]) == 4 for sample in drawn)


def test_what_the_hub_lacks_is_named_and_the_old_data_stays(hub: Hub) -> None:
    hub.split("HuggingFaceH4/MATH-500/parquet/default/test", [{"problem": "x"}])
    get = load_source("math-500")
    first = fetch("math-500", get, "", lambda _: None)
    hub.files.clear()
    with pytest.raises(ConfigError, match=r"no default/test of HuggingFaceH4/MATH-500 \(HTTP 404"):
        fetch("math-500", get, "", lambda _: None)
    with pytest.raises(ConfigError, match="1 row of math-500"):
        suite = load_suite("math-500")
        suite.samples(seed=0, tasks=suite.tasks, levels=suite.levels, limit=1)
    assert first.source.endswith("/datasets/HuggingFaceH4/MATH-500")


def test_a_hub_that_is_down_is_told(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    del hub
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ConfigError, match="cannot be reached: ConnectError"):
        fetch("ifeval", load_source("ifeval"), "", lambda _: None)


def test_a_users_yaml_names_files_of_a_repository(hub: Hub, tmp_path: Path) -> None:
    hub.files["/datasets/me/caps/resolve/abc123/rows.jsonl"] = jsonl(
        tmp_path / "rows.jsonl", CAPITALS
    ).read_bytes()
    source = {"hub": "me/caps", "revision": "abc123", "files": ["rows.jsonl"]}
    path = str(declare(tmp_path, DEFINITION | {"source": source}))
    with pytest.raises(ConfigError, match="The data of capitals is not on this machine"):
        load_suite(path)
    fetch("capitals", load_source(path), "", lambda _: None)
    assert load_suite(path).tasks == ("europe", "america", "asia")


def test_the_users_own_file_takes_the_place_of_the_hub(hub: Hub, tmp_path: Path) -> None:
    rows = [
        {
            "key": n,
            "prompt": "Use no comma.",
            "instruction_id_list": ["punctuation:no_comma"],
            "kwargs": [{}],
        }
        for n in range(3)
    ]
    path = jsonl(tmp_path / "mine.jsonl", rows)
    origin = fetch("ifeval", load_source("ifeval"), str(path), lambda _: None)
    assert (origin.source, origin.version, hub.asked) == (str(path), "your file", [])
    suite = load_suite("ifeval")
    assert len(suite.samples(seed=0, tasks=suite.tasks, levels=(1,), limit=9)) == 3
    with pytest.raises(ConfigError, match="There is no file"):
        fetch("ifeval", load_source("ifeval"), "gone.jsonl", lambda _: None)
