"""``scaling`` as a process."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from tests.acceptance.program import Program


@pytest.fixture(scope="module")
def sampled(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """Return the program with a priced run of eight attempts at each of 40 samples."""
    program = Program(tmp_path_factory.mktemp("sampled"))
    accuracy = {"bf16": 0.8, "*": 0.3}
    more = ("--epochs", "8", "--temperature", "0.7", "--hardware", "cpu-2core", "--no-noise-floor")
    ended = program.run("-f", "w4a16", "-n", "40", *more, accuracy=accuracy, unsteady=1.0)
    assert ended.code == 0, ended.talk
    return program


def test_tables_fit_and_end_in_one_sentence(sampled: Program) -> None:
    verifier = ("--soundness", "0.75", "--false-positive-cost", "0.7")
    ended = sampled("scaling", "last", *verifier, "--budget", "0.5,1", COLUMNS="80")
    assert ended.code == 0, ended.talk
    assert max(cell_len(line) for line in ended.out.splitlines()) <= 80
    for title in ("Coverage %", "All pass %", "Saturation", "Until accepted", "Ceiling"):
        assert title in ended.out
    assert "nan" not in ended.out.lower().replace("nano", "")
    last = " ".join(ended.out.split("\n\n")[-1].split())
    assert "if a perfect verifier chose (an upper bound)" in last
    assert "$0.5 per sample buys" in last
    assert last.endswith(".")


def test_a_weak_test_has_tables_of_its_own(sampled: Program) -> None:
    ended = sampled("scaling", "last", "--weak-test", "radar1.ra", COLUMNS="80")
    assert ended.code == 0, ended.talk
    assert max(cell_len(line) for line in ended.out.splitlines()) <= 80
    assert "Rejects wrong %" in ended.out
    assert "Until tested" in ended.out


def test_json_and_picture_come_from_the_same_report(sampled: Program) -> None:
    ended = sampled("scaling", "--k", "1,3", "--cost", "kinetics", "--json", "--plot", "out.svg")
    assert ended.code == 0, ended.talk
    assert [depth["k"] for depth in ended.json["systems"][0]["depths"]] == [1, 3]
    assert ended.json["unit"] == "TeFLOP"
    assert "SmolLM2-135M-Instruct" in (sampled.folder / "out.svg").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--k", "1,64"), "needs 64 scored attempts"),
        (("--k", "two"), "Cannot read numbers"),
        (("--k", "1.5"), "Cannot read numbers"),
        (("--budget", "-1"), "Cannot read numbers"),
        (("--cost", "euros"), "no unit of cost"),
        (("--cost", "kinetics", "--gpu", "abacus"), "abacus"),
        (("--soundness", "0.2", "--completeness", "0.5"), "better than chance"),
        (("--soundness", "2"), "soundness"),
        (("--attempt-cost", "0.1"), "concerns a verifier"),
        (("--least-gain", "0"), "least gain"),
        (("--plot", "out.txt"), "Cannot draw"),
    ],
)
def test_what_cannot_be_done_is_said(
    sampled: Program, arguments: tuple[str, ...], said: str
) -> None:
    ended = sampled("scaling", "last", *arguments)
    assert ended.code == 2
    assert said in ended.talk
    assert "Traceback" not in ended.talk
