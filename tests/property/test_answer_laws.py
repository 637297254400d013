"""Laws of answer extraction and of number comparison."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from qbench.benchmarks.scoring.extraction import Rule, extract, parts
from qbench.benchmarks.scoring.math_answers import refused, tidy
from qbench.benchmarks.scoring.plain_numbers import Tolerance, equal, read

RULES: tuple[Rule, ...] = ("boxed", "tag", "line", "last_number", "choice", "last_line")
plain = st.text(st.characters(exclude_characters="{}\\<>", exclude_categories=["C"]), min_size=1)
fractions = st.fractions(min_value=-(10**9), max_value=10**9, max_denominator=10**4)


@given(st.text(), st.lists(st.sampled_from(RULES), min_size=1, unique=True))
def test_extraction_takes_a_piece_of_the_text_or_nothing(text: str, rules: list[Rule]) -> None:
    found = extract(text, rules)
    assert found is None or (found.text and found.text.lower() in text.lower())
    shares = parts(found, rules)
    assert shares.pop("extraction.failed") == float(found is None)
    assert sum(shares.values()) == (found is not None and len(rules) > 1)


@given(plain, st.text())
def test_what_stands_in_the_last_box_or_tag_is_found(inner: str, before: str) -> None:
    wanted = inner.strip()
    shown: list[tuple[str, Rule]] = [
        (f"\\boxed{{{inner}}}", "boxed"),
        (f"<answer>{inner}</answer>", "tag"),
    ]
    for text, rule in shown:
        found = extract(before.replace("{", "").replace("<", "") + "\n" + text, [rule])
        assert (found.text if found else "") == wanted


@given(fractions)
def test_a_number_equals_itself_however_it_is_written(value: Fraction) -> None:
    top, bottom = value.numerator, value.denominator
    wanted = read(f"{top}/{bottom}")
    assert wanted is not None
    sign = "-" if top < 0 else ""
    for text in (
        f"{sign}\\frac{{{abs(top)}}}{{{bottom}}}",
        f" {top} / {bottom} ",
        f"${top}/{bottom}$",
    ):
        other = read(text)
        assert other is not None
        assert equal(wanted, other)


@given(st.integers(-(10**12), 10**12), st.integers(-(10**12), 10**12))
def test_different_integers_are_never_equal_and_tolerance_is_its_size(one: int, other: int) -> None:
    wanted, other_ = read(f"{one:,}"), read(str(other))
    assert wanted is not None
    assert other_ is not None
    assert equal(wanted, other_) == (one == other)
    near = Tolerance(absolute=10.0)
    assert equal(wanted, other_, near) == (abs(one - other) <= 10)


@given(st.text(max_size=2000))
def test_any_text_is_tidied_read_and_refused_without_failing(text: str) -> None:
    assert isinstance(tidy(text), str)
    assert isinstance(refused(text), str)
    read(text)
