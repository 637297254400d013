"""``qbench audit``: a file in, a judgement out, no database."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.cells import cell_len

from tests.acceptance.program import Program

TABLE = """\
suite,model,accuracy,cost,cost_of_pass
retail,a very long name of a model that wraps,81.6,0.0716,0.0877
retail,b,75.0,0.0482,0.0643
airline,b,52.5,0.0537,0.2000
"""


@pytest.fixture
def qbench(tmp_path: Path) -> Program:
    (tmp_path / "table.csv").write_text(TABLE)
    return Program(tmp_path)


def test_a_table_is_audited_and_fits(qbench: Program) -> None:
    ended = qbench("audit", "table.csv", "-n", "retail=114,airline=50", COLUMNS="80")
    assert ended.code == 0, ended.talk
    assert max(cell_len(line) for line in ended.out.splitlines()) <= 80
    last = " ".join(ended.out.split("\n\n")[-1].split())
    assert "Consistent within rounding: cost of pass 2 of 3 (not airline b)" in last
    assert "On the frontier of retail: b (100 %)" in last
    assert not (qbench.folder / "qbench.db").exists()


def test_json_and_a_picture_of_it(qbench: Program) -> None:
    ended = qbench("audit", "table.csv", "--n", "100", "--json", "--plot", "out.svg")
    assert ended.code == 0, ended.talk
    assert [row["n"] for row in ended.json["rows"]] == [100, 100, 100]
    assert ended.json["checks"][0]["misses"][0]["name"] == "airline b"
    picture = (qbench.folder / "out.svg").read_text()
    assert "dollars per attempt" in picture
    assert "retail" in picture


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("absent.csv",), "Cannot read absent.csv"),
        (("table.csv", "--map", "accuracy"), "Write name=value"),
        (("table.csv", "--n", "many"), "no number above 0"),
        (("table.csv", "--margin", "2"), "not a difference of pass rates"),
        (("table.csv", "--plot", "out.bmp"), ".svg"),
    ],
)
def test_mistakes_are_said(qbench: Program, arguments: tuple[str, ...], said: str) -> None:
    ended = qbench("audit", *arguments)
    assert ended.code == 2
    assert said in ended.talk
    assert "Traceback" not in ended.talk
