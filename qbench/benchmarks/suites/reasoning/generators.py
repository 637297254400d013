"""Which of reasoning-gym's generators are asked, in which task, and how hard at each level.

Five explicit settings per knob instead of the package's curricula: those reach prompts of 20 kB
and generation times of minutes, and a release may move them. Changing anything here changes the
suite's version (see ``prompts``).
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

PACKAGE = "reasoning-gym"
RELEASE = "0.1.25"
"""Another release may draw other samples from the same seed: it is refused."""

Check = Literal["text", "numbers", "last_place", "json", "arithmetic", "among", "own", "formula"]
"""How an answer is judged.
``text``: the one right answer, spaces and case apart; numbers by value.
``numbers``: every number of the answer within ``within`` of the right one's.
``last_place``: one unit of the right answer's last decimal is allowed.
``json``: equal as JSON values. ``among``: one of the listed solutions.
``arithmetic``: an expression over exactly the given numbers that has the asked value.
``own``: the generator's verification, for questions with several right answers.
``formula``: the same, for answers it would evaluate: only letters of a formula get there."""


class Generator(Struct, frozen=True, kw_only=True):
    """One generator with five settings."""

    name: str
    check: Check = "text"
    knobs: dict[str, tuple[Any, ...]] = {}
    """Five values each, by level. ``*x`` sets ``min_x`` and ``max_x``, alike or from a pair."""
    levels: tuple[int, ...] = (1, 2, 3, 4, 5)
    """Where it is asked: without a knob, in the middle only."""
    within: float = 0.0
    partial: bool = False
    """Whether its credit for a wrong answer says something; elsewhere wrong is 0, because most
    give some credit to any text, or to one that merely contains the right answer."""
    reference: str = ""
    """Key of the metadata that holds a right answer, where the answer itself is not given."""

    def settings(self, level: int) -> dict[str, Any]:
        """Return the generator's arguments at ``level``."""
        chosen: dict[str, Any] = {}
        for knob, values in self.knobs.items():
            value = values[level - 1]
            low, high = value if isinstance(value, tuple) else (value, value)
            if knob.startswith("*"):
                chosen |= {f"min_{knob[1:]}": low, f"max_{knob[1:]}": high}
            else:
                chosen[knob] = value
        return chosen


def _of(name: str, check: Check = "text", /, **knobs: tuple[Any, ...]) -> Generator:
    """Write a generator: a keyword ``span_x`` is the knob ``*x``."""
    named = {key.replace("span_", "*", 1): values for key, values in knobs.items()}
    return Generator(name=name, check=check, knobs=named)


ARITHMETIC = (
    _of("basic_arithmetic", span_terms=(2, 2, 3, 4, 6), span_digits=(1, 2, 2, 3, 4)),
    _of("chain_sum", span_terms=(2, 2, 3, 4, 6), span_digits=(1, 2, 3, 4, 5)),
    _of("products", span_terms=(2, 2, 2, 2, 3), span_digits=(1, 2, 3, 4, 4)),
    _of(
        "decimal_chain_sum",
        span_terms=(2, 2, 3, 4, 5),
        span_digits=(1, 2, 2, 3, 4),
        span_decimal_places=(1, 1, 2, 3, 4),
    ),
    _of(
        "decimal_arithmetic",
        "last_place",
        span_num_decimal_places=(1, 2, 2, 3, 4),
        span_terms=(2, 2, 3, 3, 4),
        precision=(6, 6, 6, 8, 8),
    ),
    _of("bitwise_arithmetic", difficulty=(1, 2, 3, 4, 6)),
    _of(
        "calendar_arithmetic",
        tasks=(
            ["weekday_offset"],
            ["weekday_of_date"],
            ["count_days"],
            ["count_business_days"],
            ["recurring_event_day"],
        ),
        offset_upper_bound=(10, 50, 100, 200, 365),
    ),
    _of(
        "count_bits",
        span_n=((1, 15), (16, 255), (256, 4095), (4096, 10**6), (10**6, 2**31 - 1)),
    ),
    _of(
        "fraction_simplification",
        "own",
        span_value=((2, 10), (10, 50), (50, 200), (200, 1000), (1000, 5000)),
        span_factor=((2, 5), (2, 9), (5, 20), (10, 60), (20, 200)),
    ),
    _of(
        "gcd",
        span_numbers=(2, 2, 2, 3, 3),
        span_value=((2, 30), (10, 100), (50, 500), (100, 2000), (500, 20000)),
    ),
    _of(
        "lcm",
        span_numbers=(2, 2, 2, 3, 3),
        span_value=((2, 12), (5, 30), (10, 80), (10, 60), (20, 200)),
    ),
    _of(
        "leg_counting",
        span_animals=(1, 2, 4, 6, 10),
        span_instances=((1, 5), (1, 10), (2, 15), (5, 30), (10, 80)),
    ),
    _of(
        "power_function",
        "own",
        span_exponent=(2, 2, 3, 4, 6),
        span_base=((1.0, 10.0), (1.0, 20.0), (-50.0, 50.0), (-200.0, 200.0), (-1e3, 1e3)),
    ),
    _of(
        "prime_factorization",
        "own",
        span_value=((4, 30), (30, 200), (200, 1000), (1000, 5000), (5000, 50000)),
    ),
    _of("dice", num_dice=(2, 2, 3, 4, 5), max_dice_size=(6, 8, 10, 12, 20)),
    Generator(name="coin_flip", check="numbers", within=1e-4, knobs={"*trials": (3, 4, 6, 9, 12)}),
    Generator(name="gsm_symbolic", levels=(2, 3)),
)

ALGEBRA = (
    _of(
        "simple_equations",
        span_terms=((2, 2), (2, 3), (2, 4), (3, 5), (4, 6)),
        max_value=(10, 50, 100, 500, 1000),
    ),
    _of(
        "complex_arithmetic",
        "own",
        span_real=((-5, 5), (-10, 10), (-20, 20), (-50, 50), (-100, 100)),
        span_imag=((-5, 5), (-10, 10), (-20, 20), (-50, 50), (-100, 100)),
    ),
    _of(
        "polynomial_equations",
        "own",
        span_degree=(1, 1, 2, 2, 3),
        span_terms=(2, 3, 3, 4, 4),
        max_value=(10, 50, 20, 100, 100),
    ),
    _of(
        "simple_integration",
        "formula",
        span_terms=(2, 2, 3, 4, 5),
        span_degree=((1, 2), (1, 4), (2, 6), (3, 8), (4, 10)),
    ),
    _of(
        "intermediate_integration",
        "formula",
        problem_type_weights=(
            [1, 0, 0, 0, 0, 0, 0, 0],
            [0, 0, 0, 1, 0, 0, 0, 0],
            [0, 0, 0, 0, 0, 1, 0, 0],
            [0, 0, 1, 0, 1, 0, 0, 0],
            [0, 0, 0, 0, 0, 0, 1, 1],
        ),
    ),
    Generator(
        name="advanced_geometry",
        check="numbers",
        within=0.0011,
        knobs={"*coord": ((-5, 5), (-10, 10), (-20, 20), (-50, 50), (-100, 100))},
    ),
)

LOGIC = (
    _of(
        "aiw",
        max_entities=(4, 5, 6, 8, 12),
        task_type_weights=(
            [1.0, 0.0, 0.0],
            [0.7, 0.15, 0.15],
            [0.5, 0.25, 0.25],
            [0.3, 0.35, 0.35],
            [0.0, 0.5, 0.5],
        ),
    ),
    _of("circuit_logic", span_terms=(2, 3, 4, 5, 6), span_inputs=(2, 2, 3, 3, 4)),
    _of(
        "knights_knaves",
        "own",
        n_people=(2, 3, 4, 5, 5),
        depth_constraint=(2, 2, 2, 2, 3),
        width_constraint=(2, 2, 2, 2, 3),
    ),
    _of("self_reference", difficulty=(1, 3, 5, 7, 10)),
    _of(
        "syllogism",
        allow_no=(False, True, True, True, True),
        allow_some=(False, False, True, True, True),
        allow_some_not=(False, False, False, True, True),
        inversion_probability=(0.0, 0.0, 0.1, 0.3, 0.6),
    ),
    _of("zebra_puzzles", num_people=(2, 3, 3, 4, 4), num_characteristics=(2, 2, 3, 3, 4)),
)

PLANNING = (
    _of("jugs", "own", num_jugs=(3, 3, 3, 3, 3), difficulty=(2, 4, 6, 8, 10)),
    _of("tower_of_hanoi", "own", span_disks=(3, 3, 4, 5, 6), span_pegs=(4, 3, 3, 3, 3)),
    Generator(
        name="rubiks_cube",
        check="own",
        knobs={"*scramble_steps": (1, 2, 3, 5, 8)},
        reference="example_correct_answer",
    ),
    _of("quantum_lock", "own", difficulty=(1, 2, 4, 6, 8)),
    _of("shortest_path", "own", span_rows=(3, 4, 5, 7, 9), span_cols=(3, 4, 5, 7, 9)),
)

GAMES = (
    _of(
        "countdown",
        "arithmetic",
        span_numbers=(3, 4, 4, 5, 6),
        span_value=((1, 10), (1, 20), (1, 50), (1, 75), (1, 100)),
        span_target=((10, 50), (10, 100), (50, 200), (100, 500), (100, 999)),
    ),
    _of("puzzle24", "arithmetic", span_value=((1, 5), (1, 6), (1, 8), (1, 9), (1, 10))),
    _of("futoshiki", "numbers", span_board_size=(4, 4, 5, 5, 6), span_difficulty=(0, 1, 1, 2, 2)),
    _of("kakurasu", "own", span_rows=(4, 4, 4, 5, 5), span_cols=(4, 4, 5, 5, 6)),
    _of("mini_sudoku", "numbers", span_empty=(4, 6, 8, 10, 12)),
    _of("sudoku", "numbers", span_empty=(20, 28, 36, 44, 50)),
    _of("n_queens", "among", n=(4, 5, 6, 7, 8), span_remove=(1, 2, 3, 4, 6)),
    _of("mahjong_puzzle", span_num_rounds=(3, 5, 10, 15, 25)),
    _of(
        "maze",
        span_dist=((3, 4), (4, 6), (5, 8), (8, 12), (12, 20)),
        span_grid_size=((5, 5), (5, 6), (6, 8), (8, 10), (12, 15)),
    ),
)

ALGORITHMIC = (
    _of("ab", length=(5, 10, 15, 25, 40)),
    _of(
        "base_conversion",
        span_base=((2, 4), (2, 10), (5, 16), (10, 20), (16, 36)),
        span_value=((5, 50), (50, 500), (100, 5000), (1000, 50000), (10000, 10**6)),
    ),
    _of("binary_alternation", span_n=((4, 6), (8, 10), (12, 16), (20, 30), (40, 60))),
    _of("binary_matrix", span_n=(3, 4, 5, 7, 9)),
    _of(
        "caesar_cipher",
        span_words=((3, 3), (4, 6), (6, 10), (10, 15), (15, 20)),
        span_rotation=((1, 3), (1, 5), (3, 12), (5, 20), (1, 25)),
    ),
    _of("count_primes", span_n=((1, 20), (10, 60), (50, 200), (100, 1000), (1000, 10000))),
    Generator(name="cryptarithm", check="own", knobs={"*words": (2, 2, 2, 2, 3)}, levels=(3, 4, 5)),
    _of(
        "game_of_life",
        "json",
        grid_size_x=(3, 4, 5, 6, 8),
        grid_size_y=(3, 4, 5, 6, 8),
        filled_cells=(3, 5, 8, 12, 20),
        simulation_steps=(1, 1, 1, 2, 3),
    ),
    _of(
        "group_anagrams",
        "own",
        span_anagram_groups=((2, 2), (3, 3), (4, 5), (6, 8), (9, 12)),
        span_words_per_group=((2, 2), (2, 2), (2, 3), (2, 3), (2, 4)),
    ),
    _of("letter_counting", span_words=((4, 5), (6, 8), (10, 14), (15, 25), (30, 40))),
    _of(
        "manipulate_matrix",
        span_rows=(3, 3, 4, 5, 6),
        span_cols=(3, 3, 4, 5, 6),
        span_transforms=(1, 2, 3, 4, 6),
    ),
    _of(
        "number_filtering",
        "json",
        span_numbers=((3, 4), (5, 7), (8, 12), (14, 18), (20, 30)),
        span_decimals=((0, 0), (0, 1), (1, 2), (2, 3), (2, 4)),
    ),
    _of(
        "number_sorting",
        "json",
        span_numbers=((3, 4), (5, 7), (8, 12), (14, 18), (20, 30)),
        span_decimals=((0, 0), (0, 1), (1, 2), (2, 3), (2, 4)),
    ),
    _of("palindrome_generation", "own", span_length=((3, 4), (5, 6), (7, 9), (10, 14), (15, 24))),
    _of(
        "palindrome_partitioning",
        "own",
        span_string_len=((3, 4), (5, 5), (6, 7), (8, 8), (9, 10)),
        span_substring_palindrome_len=((1, 2), (1, 3), (1, 3), (1, 4), (1, 5)),
    ),
    _of(
        "pool_matrix",
        "own",
        span_rows=(4, 5, 6, 8, 10),
        span_cols=(4, 5, 6, 8, 10),
        span_pool_size=(2, 2, 2, 3, 3),
    ),
    _of(
        "rotate_matrix",
        span_n=(2, 3, 4, 5, 7),
        span_rotations=((1, 1), (1, 2), (1, 3), (2, 5), (3, 10)),
    ),
    _of("rotten_oranges", span_n=(3, 4, 5, 7, 9)),
    _of("spell_backward", span_word_len=(3, 4, 5, 7, 9)),
    _of("spiral_matrix", span_n=(2, 3, 4, 5, 7)),
    _of("string_insertion", span_string_length=((5, 6), (8, 10), (12, 18), (20, 30), (40, 60))),
    _of(
        "string_manipulation",
        span_string_length=((5, 6), (8, 10), (12, 18), (20, 30), (40, 60)),
        span_num_rules=(3, 4, 5, 6, 8),
    ),
    _of("string_splitting", span_initial_machines=((1, 2), (1, 3), (2, 5), (4, 8), (6, 12))),
    _of("string_synthesis", span_initial_blocks=((1, 2), (1, 3), (2, 5), (4, 8), (6, 12))),
    _of("word_sequence_reversal", span_words=((3, 3), (4, 5), (6, 8), (10, 14), (18, 25))),
    _of("word_sorting", span_words=((3, 3), (4, 5), (6, 8), (10, 14), (18, 25))),
)

GRAPHS = (
    _of(
        "course_schedule",
        span_num_courses=(4, 6, 8, 12, 18),
        span_num_prerequisites=(1, 1, 2, 2, 3),
        span_cycle_length=((3, 3), (3, 4), (3, 5), (3, 6), (4, 7)),
    ),
    _of("family_relationships", span_family_size=(3, 4, 5, 7, 9)),
    _of(
        "largest_island",
        span_rows=(5, 5, 6, 8, 10),
        span_cols=(5, 5, 6, 8, 10),
        span_num_islands=((1, 1), (1, 2), (2, 3), (3, 5), (4, 8)),
        span_island_size=((1, 4), (1, 5), (2, 7), (3, 9), (3, 12)),
    ),
    _of(
        "path_star",
        degree=(2, 2, 3, 4, 5),
        node_range=(100, 100, 1000, 10000, 100000),
        span_path_length=(3, 4, 5, 6, 7),
    ),
    Generator(
        name="graph_color",
        check="own",
        knobs={
            "*num_vertices": ((4, 5), (6, 7), (8, 10), (12, 15), (18, 22)),
            "edge_probability": (0.3, 0.3, 0.3, 0.25, 0.2),
        },
        reference="possible_answer",
    ),
)

COGNITION = (
    _of("color_cube_rotation", span_rotations=(1, 2, 3, 5, 10)),
    _of("figlet_font", span_word_len=(3, 4, 5, 6, 8)),
    _of(
        "modulo_grid",
        size_x=(8, 8, 10, 10, 12),
        size_y=(8, 8, 10, 10, 12),
        max_divisor=(3, 4, 5, 8, 12),
        max_target=(2, 2, 3, 5, 9),
        max_holes=(1, 1, 2, 4, 6),
    ),
    _of("needle_haystack", span_num_statements=((5, 8), (10, 15), (20, 30), (40, 50), (60, 80))),
    _of(
        "number_sequence",
        span_terms=((5, 5), (5, 6), (6, 7), (6, 8), (6, 9)),
        span_value=((-10, 10), (-20, 20), (-50, 50), (-100, 100), (-500, 500)),
        max_complexity=(1, 2, 2, 3, 4),
    ),
    _of("arc_1d", span_size=((8, 8), (8, 12), (10, 15), (15, 20), (20, 30))),
)

GENERATORS: dict[str, tuple[Generator, ...]] = {
    "arithmetic": ARITHMETIC,
    "algebra": ALGEBRA,
    "logic": LOGIC,
    "planning": PLANNING,
    "games": GAMES,
    "algorithmic": ALGORITHMIC,
    "graphs": GRAPHS,
    "cognition": COGNITION,
}
BY_NAME = {one.name: one for several in GENERATORS.values() for one in several}
