"""``profile`` and ``efficiency`` as processes: measure a real model, cost a run with it."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from tests.acceptance.program import Ended, Program
from tests.tiny_model import save_tiny_model

GRID = ("--prompts", "8,64", "--outputs", "1,4,12", "--repeats", "2")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    return Program(tmp_path_factory.mktemp("efficiency"))


@pytest.fixture(scope="module")
def measured(program: Program) -> Ended:
    """Profile a tiny model in two formats on the embedded engine."""
    save_tiny_model(program.folder / "tiny", context=512)
    arguments = ("tiny", "--formats", "bf16,w8a8", "-o", "threads=1", "-o", "device=cpu")
    ended = program("profile", *arguments, *GRID, "--plot", "profile.svg", COLUMNS="80")
    assert ended.code == 0, ended.talk
    return ended


def test_a_profile_is_measured_shown_and_kept(program: Program, measured: Ended) -> None:
    assert "ms/token" in measured.out
    assert "R²" in measured.out
    assert "a token (95 %" in " ".join(measured.out.split())
    assert "emulated" in measured.out
    assert "nan" not in measured.out
    assert (program.folder / "profile.svg").read_text().startswith("<?xml")
    kept = program("profile", "--list", "--json").json["profiles"]
    assert {one["format"] for one in kept} == {"bf16", "w8a8"}
    assert all(len(one["timings"]) == 12 for one in kept)
    again = program("profile", "tiny", "--stored", "--formats", "bf16,w8a8", "--json").json
    assert [row["format"] for row in again["rows"]] == ["bf16", "w8a8"]
    assert again["rows"][1]["reduction"]["synchronous"]["value"] > 0


def test_a_run_is_costed_without_running(program: Program, measured: Ended) -> None:
    assert measured.code == 0
    ran = program.run("-n", "20", "--formats", "fp8", accuracy={"bf16": 0.9, "fp8": 0.8})
    assert ran.code == 0, ran.talk
    found = program("efficiency", "--profile", "bf16", "--json").json
    for row in found["rows"]:
        assert row["idealized"]["low"] <= row["idealized"]["value"] <= row["idealized"]["high"]
        assert row["dollars"]["value"] > 0
    shown = program("efficiency", "--profile", "bf16", "--plot", "bars.svg", COLUMNS="80")
    assert shown.code == 0, shown.talk
    assert "Idealized" in shown.out
    assert "nan" not in shown.out
    assert (program.folder / "bars.svg").exists()
    without = program("efficiency", COLUMNS="80")
    assert without.code == 0
    assert "qbench profile" in without.out


def test_nothing_is_cut_at_80_columns(measured: Ended) -> None:
    assert "…" not in measured.out
    lines = measured.out.splitlines()
    assert max(cell_len(line) for line in lines) <= 80


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("profile", "tiny", "--outputs", "8"), "replies of one token"),
        (("profile", "openai/gpt-4.1"), "no machine of ours"),
        (("profile", "nonesuch", "--stored"), "No profile"),
        (("efficiency", "--profile", "nonesuch"), "nonesuch"),
    ],
)
def test_mistakes_are_told_and_cost_nothing(
    program: Program, arguments: tuple[str, ...], said: str
) -> None:
    ended = program(*arguments)
    assert ended.code == 2
    assert said in ended.talk
    assert "Traceback" not in ended.talk
