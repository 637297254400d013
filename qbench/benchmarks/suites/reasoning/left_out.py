"""The generators of reasoning-gym that are not asked, and why."""

from __future__ import annotations

LEFT_OUT: dict[str, str] = {
    "acre": "no knob, and one of three words guesses a third of it",
    "arc_agi": "a published test set, permuted; prompts without a bound",
    "bf": "prints while it generates, and takes seconds",
    "boxnet": "gives no right answer",
    "codeio": "draws other samples under another hash seed; runs code from its data file",
    "composite": "no generator: a mixture of others",
    "emoji_mystery": "hidden characters, which many tokenizers drop",
    "game_of_life_halting": "its check accepts any text; empty boards at most sizes",
    "isomorphic_strings": "draws other samples under another hash seed",
    "knight_swap": "0.4 to 3 s for a sample",
    "letter_jumble": "more than one word fits many jumbles, one is accepted",
    "list_functions": "draws from the shared random state: other samples in each process",
    "number_format": "asks for the largest of numbers closer than its own check's tolerance",
    "polynomial_multiplication": "draws other samples under another hash seed",
    "propositional_logic": "gives no right answer; credits any text",
    "ransom_note": "draws other samples under another hash seed",
    "rearc": "grids without a bound",
    "rectangle_count": "7 kB of blanks at every level",
    "rush_hour": "gives no right answer",
    "sentence_reordering": "several orders are right, one is accepted",
    "simple_geometry": "asks for convex polygons that cannot exist",
    "sokoban": "more than a minute for a sample",
    "survo": "several fillings are right, one is accepted",
    "time_intervals": "reads today's date",
    "tsumego": "other capturing moves may be right, one is accepted",
    "word_ladder": "draws other samples under another hash seed",
}
"""Generators that are not asked, and why; found by running each of them (docs/suites.md)."""
