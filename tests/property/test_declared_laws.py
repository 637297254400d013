"""Laws of declared suites: what is written is read, and order is only order."""

import csv
import string
import tempfile
from pathlib import Path

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from qbench.benchmarks.suites.declared.definition import Columns, Definition, Grader, Source
from qbench.benchmarks.suites.declared.matscibench import grade
from qbench.benchmarks.suites.declared.rows import Row, rows
from qbench.benchmarks.suites.declared.table import Table
from qbench.benchmarks.suites.declared.values import made

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r\x00"), max_size=30)
CELLS = st.fixed_dictionaries({"a": TEXT.filter(str.strip), "b": TEXT, "c d": TEXT})


@settings(max_examples=40, deadline=None)
@given(st.lists(CELLS, min_size=1, max_size=8))
def test_rows_come_back_from_json_lines_and_from_csv(written: list[dict[str, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        lines, table = Path(folder) / "x.jsonl", Path(folder) / "x.csv"
        lines.write_bytes(b"\n".join(map(msgspec.json.encode, written)))
        with table.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, written[0])
            writer.writeheader()
            writer.writerows(written)
        for path in (lines, table):
            read = list(rows([path]))
            assert [row.cells for row in read if isinstance(row, Row)] == written


@given(CELLS)
def test_a_template_puts_cells_in_once_whatever_braces_they_hold(cells: dict[str, str]) -> None:
    row = Row(cells=cells, where="x:1")
    assert made(row, "{a}-{{b}}-{c d}") == f"{cells['a']}-{{b}}-{cells['c d']}"
    assert made(row, "a") == cells["a"]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 30), st.text(string.ascii_letters, min_size=1, max_size=5))
def test_samples_are_the_rows_and_their_ids_differ(number: int, word: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.jsonl"
        path.write_bytes(
            b"\n".join(msgspec.json.encode({"q": f"{word} {n}", "a": n}) for n in range(number))
        )
        definition = Definition(
            name="x",
            source=Source(path=(str(path),)),
            columns=Columns(prompt="{q}", answer="a"),
            grader=Grader(kind="number"),
        )
        samples = Table(definition, "x@1").samples(frozenset(range(number)))
    assert [one.answer for one in samples.values()] == [str(n) for n in range(number)]
    assert len({one.id for one in samples.values()}) == number


@given(st.floats(0.001, 1e6), st.floats(-0.2, 0.2))
def test_the_rule_judge_takes_what_is_within_5_percent_and_of_its_sign(
    value: float, off: float
) -> None:
    wanted, given_ = f"{value:.9f}", f"{value * (1 + off):.9f}"
    share = abs(float(given_) - float(wanted)) / float(wanted)
    if abs(share - 0.05) > 1e-6:
        assert (grade(wanted, given_).verdict == "right") == (share < 0.05)
    assert grade(wanted, f"-{given_}").verdict == "wrong"
