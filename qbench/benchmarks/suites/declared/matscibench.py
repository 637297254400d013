r"""The rule judge of MatSciBench (arXiv 2510.12171), by our own code from its description.

Numbers within 5 % of the reference and of its sign; a reference of zero is met by zero alone;
several answers are compared in order, and there must be as many. Answers with fractions, roots,
pi or logarithms are compared as expressions. Formulas are left unscored: the paper asks a judge
model for them.
"""

from __future__ import annotations

import re
from fractions import Fraction

from qbench.benchmarks.scoring.answers import Grade
from qbench.benchmarks.scoring.extraction import NUMBER
from qbench.benchmarks.scoring.math_answers import grade_math
from qbench.benchmarks.scoring.plain_numbers import Tolerance, read
from qbench.benchmarks.suite import Sample

FIELDS: dict[str, tuple[str, ...]] = {
    "materials": (
        *("Metals", "Semiconductors", "Polymers", "Ceramics", "Glasses"),
        *("Hybrids", "Elastomers"),
    ),
    "properties": ("Mechanical", "Thermal", "Electrical", "Optical", "Magnetic"),
    "structures": (
        *("Composites", "Cellular", "Micro/Nano-structure"),
        *("Surface Texture", "Structural Gradient"),
    ),
    "fundamental": (
        *("Crystal Structure", "Diffusion & Kinetics"),
        *("Phase Diagram", "Atomic Bonding"),
    ),
    "processes": ("Shaping", "Joining", "Finishing"),
    "failure": (
        *("Plastic", "Elastic", "Fracture", "Corrosion", "Fatigue"),
        *("Creep", "Impact"),
    ),
}
"""The taxonomy: 6 fields with 31 subfields, as the data names them."""

WITHIN = Tolerance(relative=0.05)
ZERO = Fraction(1, 10**12)
NO_JUDGE = "The answer is a formula, and no judge was asked."
EXPRESSION = re.compile(r"\\[dt]?frac|\\sqrt|\\pi|π|\\ln|\\log|\d\s*/\s*\d")
"""What makes an answer an expression rather than a number with a unit."""
TEN = re.compile(r"(?:\\times|\\cdot|×|·|\*)\s*10\s*(?:\^|\*\*)\s*\{?\s*([-+]?\d+)\s*\}?")
RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+-")


def is_formula(sample: Sample) -> bool:
    """Whether the reference is a formula, which rules cannot judge."""
    return str(sample.details.get("type", "NUM")).upper() != "NUM"


def grade(wanted: str, given: str) -> Grade:
    """Compare ``given``, what the box holds, with the reference ``wanted``."""
    right, said = _parts(wanted), _parts(given)
    if len(right) == len(said) and all(map(_same, right, said)):
        return Grade(verdict="right", how="number")
    numbers, found = _numbers(wanted), _numbers(given)
    if not numbers:
        return Grade(verdict="undecided", how="number", reason=f"{wanted!r} has no number.")
    if len(numbers) == len(found) and all(map(_near, numbers, found)):
        return Grade(verdict="right", how="number")
    reason = f"{given[:80]!r} is not {wanted[:80]!r} within 5 %."
    return Grade(verdict="wrong", how="number", reason=reason)


def _same(wanted: str, given: str) -> bool:
    """Compare one answer: as numbers, else as expressions where one is."""
    one, other = read(wanted), read(given)
    if one is not None and other is not None:
        return _near(one.value, other.value)
    if not (EXPRESSION.search(wanted) or EXPRESSION.search(given)):
        return False
    return grade_math(wanted, given, tolerance=WITHIN).verdict == "right"


def _near(wanted: Fraction, given: Fraction) -> bool:
    if wanted == 0:
        return abs(given) <= ZERO
    return wanted * given >= 0 and abs(given - wanted) <= WITHIN.around(wanted)


def _parts(text: str) -> list[str]:
    """Split several answers at the commas that stand in no bracket and in no number."""
    plain = text.strip().strip("$").strip()
    if plain[:1] + plain[-1:] in ("()", "[]") and "," in plain:
        plain = plain[1:-1]
    parts, depth = [""], 0
    for place, sign in enumerate(plain):
        depth += (sign in "([{") - (sign in ")]}")
        if sign == "," and depth <= 0 and not _in_number(plain, place):
            parts.append("")
        else:
            parts[-1] += sign
    return [part.strip() for part in parts if part.strip()]


def _in_number(text: str, place: int) -> bool:
    """Whether the comma at ``place`` parts thousands: ``12,500``."""
    return bool(re.match(r",\d{3}(?!\d)", text[place:])) and text[place - 1 : place].isdigit()


def _numbers(text: str) -> list[Fraction]:
    """Find all numbers of a text: units, exponents of units and indices left out."""
    plain = text.replace("\u2212", "-").replace("–", "-")
    plain = re.sub(
        r"(?<=10)([⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻]+)", lambda found: "^" + found[1].translate(RAISED), plain
    )
    plain = TEN.sub(r"e\1", plain)
    plain = re.sub(r"(?<=\d)\s+(?=e[-+]?\d)", "", plain)
    plain = re.sub(r"[\^_](?:\{[^{}]*\}|[-+]?\d+[-+]?)", " ", plain)
    plain = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", plain)
    found = (read(match[0]) for match in NUMBER.finditer(plain) if match[0])
    return [number.value for number in found if number is not None]
