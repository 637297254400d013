"""Mathematical answers are compared as text, as numbers, then symbolically, under limits."""

import asyncio
import os
import threading
import time

import pytest

from qbench.benchmarks.scoring.limited import Limited, Stopped
from qbench.benchmarks.scoring.math_answers import grade_math, refused, tidy
from qbench.benchmarks.scoring.plain_numbers import Tolerance, read


@pytest.mark.parametrize(
    ("wanted", "given", "verdict", "how"),
    [
        ("18", "18.0", "right", "number"),
        ("18", r"\$18", "right", "number"),
        ("1234", "1,234", "right", "number"),
        ("1/2", r"\frac12", "right", "number"),
        ("-1/2", r"-\dfrac{1}{2}", "right", "number"),
        ("2000", r"2 \times 10^{3}", "right", "number"),
        ("9", r"9\%", "right", "number"),
        ("0.09", "9%", "right", "number"),
        ("9", "0.09", "wrong", "number"),
        ("1/3", "0.333333", "right", "number"),
        ("2/3", "0.666666", "right", "number"),
        ("1/3", "0.333", "wrong", "number"),
        ("0.0000000001", "0", "wrong", "number"),
        ("1/2", "0.5000001", "wrong", "number"),
        ("Evelyn", r"\text{evelyn}", "right", "text"),
        ("C", r"\text{(C)}", "right", "text"),
        (r"\left( 3, \frac{\pi}{2} \right)", r"(3,\frac{\pi}{2})", "right", "text"),
        ("4210_{5}", "4210_5", "right", "text"),
        ("4210_5", "4210_6", "wrong", "text"),
        (r"\sqrt{8}", r"2\sqrt2", "right", "symbols"),
        ("x^2+2x+1", "(x+1)^2", "right", "symbols"),
        ("p-q", "q-p", "wrong", "symbols"),
        ("(1,2)", "(2,1)", "wrong", "symbols"),
        (r"\{1,2\}", "2, 1", "right", "symbols"),
        ("3", "x = 3", "right", "symbols"),
        ("3", "2 + 1 = 3", "right", "symbols"),
        ("3", "9 = 3", "wrong", "symbols"),
        ("18", r"18 \text{ cm}", "right", "symbols"),
        ("18", "18 or 19", "wrong", "symbols"),
        (r"\sqrt2", "1.4142", "wrong", "symbols"),
        ("x \\in [-2,7]", "[-2,7]", "right", "symbols"),
        ("", "1", "wrong", "symbols"),
        ("1", "", "wrong", "refused"),
    ],
)
def test_answers_are_compared_step_by_step(wanted: str, given: str, verdict: str, how: str) -> None:
    grade = grade_math(wanted, given)
    assert (grade.verdict, grade.how) == (verdict, how)
    assert bool(grade.reason) == (verdict != "right")


@pytest.mark.parametrize(
    ("wanted", "given", "tolerance", "right"),
    [
        ("9.81", "9.8", Tolerance(relative=0.01), True),
        ("9.81", "9.5", Tolerance(relative=0.01), False),
        ("0", "0.001", Tolerance(absolute=0.01), True),
        ("-5", "5", Tolerance(relative=0.5), False),
        (r"\sqrt2", "1.4142", Tolerance(relative=1e-3), True),
        (r"\sqrt2", "1.42", Tolerance(relative=1e-3), False),
        ("x", "1.4142", Tolerance(relative=0.9), False),
    ],
)
def test_a_tolerance_is_for_numbers(
    wanted: str, given: str, tolerance: Tolerance, right: bool
) -> None:
    assert (grade_math(wanted, given, tolerance=tolerance).verdict == "right") is right


@pytest.mark.parametrize(
    "text",
    [
        *("9^{9^{9^9}}", "9**9**9", "((9^{99})^{99})^{99}", "(" * 300 + ")" * 300),
        *("1" * 60_000, "x+" * 30_000, "99999!", r"\binom{99999}{7}", "2^{99999}"),
        r"\frac{1}{" * 13 + "}" * 13,
    ],
)
def test_texts_that_no_answer_needs_are_refused_at_once(text: str) -> None:
    began = time.perf_counter()
    grade = grade_math("2", text)
    assert (grade.verdict, grade.how) == ("wrong", "refused")
    assert time.perf_counter() - began < 0.5


@pytest.mark.parametrize("text", ["2^{10}", "e^{-x^2/2}", "2^{2^3}", r"\frac{10!}{3!}", "x^7+x^3"])
def test_ordinary_powers_are_not_refused(text: str) -> None:
    assert refused(text) == ""


def test_what_runs_into_a_limit_is_undecided_and_the_next_answer_is_judged() -> None:
    limited = Limited("qbench.benchmarks.scoring.math_symbols:same", seconds=0.5)
    asked = {"wanted": "2", "relative": 0, "absolute": 0}
    with pytest.raises(Stopped, match=r"0\.5 s of CPU"):
        limited(asked | {"given": r"\binom{99999999}{5555555}"})
    assert limited(asked | {"given": r"\sqrt{4}"}) is True
    limited.close()


def test_memory_is_limited() -> None:
    limited = Limited("builtins:bytearray", seconds=5, megabytes=300)
    with pytest.raises(Stopped, match="memory"):
        limited(10**9)
    limited.close()


async def test_answers_are_judged_in_threads_and_inside_a_running_loop() -> None:
    pairs = [(f"\\sqrt{{{4 * n}}}", f"2\\sqrt{{{n}}}") for n in (2, 3, 5, 7)]
    grades = await asyncio.gather(*(asyncio.to_thread(grade_math, *pair) for pair in pairs))
    assert [grade.verdict for grade in grades] == ["right"] * 4
    assert threading.current_thread() is threading.main_thread()
    assert grade_math(*pairs[0]).verdict == "right"


def test_a_forked_worker_judges_with_a_process_of_its_own() -> None:
    assert grade_math(r"\sqrt{8}", r"2\sqrt{2}").verdict == "right"
    child = os.fork()
    if child == 0:
        right = grade_math(r"\sqrt{12}", r"2\sqrt{3}").verdict == "right"
        os._exit(0 if right else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert grade_math(r"\sqrt{20}", r"2\sqrt{5}").verdict == "right"


def test_styling_is_no_part_of_an_answer() -> None:
    assert tidy(r"\left(\tfrac{1}{2},\; 3\right).") == r"(\frac{1}{2},3)"
    assert tidy(r"\text{New  York}") == "new york"
    assert tidy("AB") == "ab"
    assert tidy("A") == "A"


@pytest.mark.parametrize("text", ["", "abc", "1/0", "1e999", "1,23", "--3", "1 2 3 x", "/2", "."])
def test_what_is_no_plain_number_is_not_read_as_one(text: str) -> None:
    assert read(text) is None
