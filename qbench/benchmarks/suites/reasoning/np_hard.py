"""Six NP-hard problems, satisfiable by construction or with an optimum found exactly.

Answers are verified against the instance, never compared with the planted one.
"""

from __future__ import annotations

import itertools
import random
from collections import Counter

from qbench.benchmarks.suites.reasoning.puzzles import Facts, Kind, Puzzle, integers, listed

_NO_LIST = "The answer is not a list of whole numbers."


def _sat(rng: random.Random, level: int) -> Puzzle:
    """3-SAT with a planted solution, four clauses for each variable."""
    n = (3, 4, 6, 8, 12)[level - 1]
    planted = [rng.random() < 0.5 for _ in range(n)]
    clauses: list[list[int]] = []
    while len(clauses) < 4 * n:
        chosen = rng.sample(range(1, n + 1), 3)
        clause = [name if rng.random() < 0.5 else -name for name in sorted(chosen)]
        if any(planted[abs(name) - 1] == (name > 0) for name in clause):
            clauses.append(clause)
    written = "\n".join(" or ".join(_literal(name) for name in one) for one in clauses)
    return Puzzle(
        question=f"Find truth values of x1 to x{n} that make every line true:\n\n{written}\n\n"
        f"Answer with {n} numbers, 1 for true and 0 for false, in the order x1 to x{n}, "
        "separated by commas.",
        answer=listed([int(value) for value in planted]),
        facts={"n": n, "clauses": clauses},
    )


def _literal(name: int) -> str:
    return f"x{name}" if name > 0 else f"not x{-name}"


def _sat_fault(facts: Facts, text: str) -> str:
    values = integers(text)
    if values is None or len(values) != facts["n"] or set(values) - {0, 1}:
        return f"The answer is not {facts['n']} times 0 or 1."
    for clause in facts["clauses"]:
        if not any(values[abs(name) - 1] == (name > 0) for name in clause):
            return f"The line {' or '.join(map(_literal, clause))!r} is false."
    return ""


def _subset_sum(rng: random.Random, level: int) -> Puzzle:
    n = (4, 6, 8, 10, 14)[level - 1]
    most = (20, 50, 100, 300, 1000)[level - 1]
    numbers = rng.sample(range(2, most + 1), n)
    chosen = rng.sample(numbers, rng.randint(2, n - 1))
    return Puzzle(
        question=f"Choose some of these numbers, each at most once, so that they add up to "
        f"{sum(chosen)}: {listed(numbers)}.\nAnswer with the chosen numbers, separated by commas.",
        answer=listed(chosen),
        facts={"numbers": numbers, "target": sum(chosen)},
    )


def _subset_sum_fault(facts: Facts, text: str) -> str:
    chosen = integers(text)
    if chosen is None:
        return _NO_LIST
    if Counter(chosen) - Counter(facts["numbers"]):
        return "A number was chosen that is not given, or twice."
    off = sum(chosen) - facts["target"]
    return f"The sum is off by {off}." if off else ""


def _knapsack(rng: random.Random, level: int) -> Puzzle:
    n = (3, 5, 7, 9, 12)[level - 1]
    weights = [rng.randint(2, 10 + 5 * level) for _ in range(n)]
    values = [rng.randint(2, 10 + 10 * level) for _ in range(n)]
    room = max(*weights, sum(weights) // 2)
    best = best_load(weights, values, room)
    items = "\n".join(
        f"item {place}: weight {weight}, value {value}"
        for place, (weight, value) in enumerate(zip(weights, values, strict=True), 1)
    )
    worth = sum(values[place - 1] for place in best)
    return Puzzle(
        question=f"A bag carries at most {room} in weight. Choose items of the greatest total "
        f"value that fit:\n\n{items}\n\nAnswer with the numbers of the items, separated by commas.",
        answer=listed(best),
        facts={"weights": weights, "values": values, "room": room, "best": worth},
    )


def best_load(weights: list[int], values: list[int], room: int) -> list[int]:
    """Return the items (from 1) of the greatest value that fit: dynamic programming, exact."""
    best: dict[int, tuple[int, tuple[int, ...]]] = {0: (0, ())}
    for place, (weight, value) in enumerate(zip(weights, values, strict=True), 1):
        for load, (worth, chosen) in sorted(best.items(), reverse=True):
            heavier = load + weight
            if heavier <= room and worth + value > best.get(heavier, (-1, ()))[0]:
                best[heavier] = (worth + value, (*chosen, place))
    return list(max(best.values())[1])


def _knapsack_fault(facts: Facts, text: str) -> str:
    items = integers(text)
    if items is None:
        return _NO_LIST
    if len(set(items)) < len(items) or set(items) - set(range(1, len(facts["weights"]) + 1)):
        return "An item was chosen that does not exist, or twice."
    if sum(facts["weights"][item - 1] for item in items) > facts["room"]:
        return "The items are too heavy."
    worth = sum(facts["values"][item - 1] for item in items)
    return "" if worth >= facts["best"] else f"The value is {worth}, and {facts['best']} fits."


def _bin_packing(rng: random.Random, level: int) -> Puzzle:
    """Bins filled to the brim but the last, so that fewer cannot do (by volume)."""
    bins, room = (2, 2, 3, 4, 5)[level - 1], (10, 15, 20, 30, 40)[level - 1]
    packed = [_split(rng, room, rng.randint(2, 2 + (level > 1))) for _ in range(bins)]
    packed[-1] = packed[-1][:-1] or packed[-1]
    sizes = [size for one in packed for size in one]
    rng.shuffle(sizes)
    return Puzzle(
        question=f"Pack things of these sizes into {bins} boxes, each with room for {room} in "
        f"total: {listed(sizes)}.\nAnswer with one line for each box: the sizes of the things in "
        "it, separated by commas.",
        answer="\n".join(listed(one) for one in packed),
        facts={"sizes": sizes, "bins": bins, "room": room},
    )


def _split(rng: random.Random, total: int, count: int) -> list[int]:
    cuts = sorted(rng.sample(range(1, total), count - 1))
    return [after - before for before, after in itertools.pairwise([0, *cuts, total])]


def _bin_packing_fault(facts: Facts, text: str) -> str:
    boxes = [integers(line) for line in text.splitlines() if line.strip()]
    if None in boxes or not boxes:
        return "A line is not a list of whole numbers."
    filled = [box for box in boxes if box]
    if Counter(size for box in filled for size in box) != Counter(facts["sizes"]):
        return "The things in the boxes are not those that were to be packed."
    if len(filled) > facts["bins"]:
        return f"More than {facts['bins']} boxes are used."
    return "A box is too full." if max(map(sum, filled)) > facts["room"] else ""


def _tour(rng: random.Random, level: int) -> Puzzle:
    """Travelling salesman: a round trip within a bound, at level 5 the shortest."""
    n = (4, 5, 6, 7, 9)[level - 1]
    far = [[0] * n for _ in range(n)]
    for one, other in itertools.combinations(range(n), 2):
        far[one][other] = far[other][one] = rng.randint(1, 20 * level)
    order, shortest = shortest_tour(far)
    bound = int(shortest * (1.2, 1.1, 1.05, 1.02, 1.0)[level - 1])
    lines = "\n".join(
        f"{one + 1} - {other + 1}: {far[one][other]}"
        for one, other in itertools.combinations(range(n), 2)
    )
    return Puzzle(
        question=f"A round trip starts in city 1, visits each of the cities 1 to {n} once and "
        f"returns to city 1. Find one of length {bound} or less. Distances:\n\n{lines}\n\n"
        f"Answer with the {n} cities in the order of the visit, beginning with 1, separated by "
        "commas.",
        answer=listed([city + 1 for city in order]),
        facts={"far": far, "bound": bound},
    )


def shortest_tour(far: list[list[int]]) -> tuple[list[int], int]:
    """Return a shortest round trip from 0 and its length: Held and Karp (1962), exact."""
    n = len(far)
    best = {(1 << k, k): (far[0][k], [0, k]) for k in range(1, n)}
    for size in range(2, n):
        for chosen in itertools.combinations(range(1, n), size):
            bits = sum(1 << k for k in chosen)
            for last in chosen:
                rest = bits & ~(1 << last)
                before = (best[rest, k] for k in chosen if k != last)
                ways = [(length + far[way[-1]][last], [*way, last]) for length, way in before]
                best[bits, last] = min(ways)
    everything = (1 << n) - 2
    length, way = min(
        (best[everything, k][0] + far[k][0], best[everything, k][1]) for k in range(1, n)
    )
    return way, length


def _tour_fault(facts: Facts, text: str) -> str:
    cities, n = integers(text), len(facts["far"])
    if cities is None:
        return _NO_LIST
    if len(cities) == n + 1 and cities[-1] == 1:
        cities = cities[:-1]  # the return, written out
    if sorted(cities) != list(range(1, n + 1)) or cities[0] != 1:
        return "The answer is no round trip from city 1."
    steps = itertools.pairwise([*cities, 1])
    length = sum(facts["far"][one - 1][other - 1] for one, other in steps)
    return "" if length <= facts["bound"] else f"The trip is {length} long."


def _colouring(rng: random.Random, level: int) -> Puzzle:
    n = (4, 6, 8, 11, 15)[level - 1]
    planted = [rng.randint(1, 3) for _ in range(n)]
    pairs = [
        [one + 1, other + 1]
        for one, other in itertools.combinations(range(n), 2)
        if planted[one] != planted[other] and rng.random() < 0.5
    ]
    edges = pairs or [[1, 2]]
    if not pairs:
        planted[:2] = [1, 2]
    written = ", ".join(f"{one}-{other}" for one, other in edges)
    return Puzzle(
        question=f"Colour the points 1 to {n} with the colours 1, 2 and 3 so that joined points "
        f"differ. Joined are: {written}.\nAnswer with {n} colours in the order of the points, "
        "separated by commas.",
        answer=listed(planted),
        facts={"n": n, "edges": edges},
    )


def _colouring_fault(facts: Facts, text: str) -> str:
    colours = integers(text)
    if colours is None or len(colours) != facts["n"] or set(colours) - {1, 2, 3}:
        return f"The answer is not {facts['n']} colours."
    for one, other in facts["edges"]:
        if colours[one - 1] == colours[other - 1]:
            return f"Points {one} and {other} are joined and have the same colour."
    return ""


KINDS = (
    Kind(name="sat", make=_sat, fault=_sat_fault),
    Kind(name="subset_sum", make=_subset_sum, fault=_subset_sum_fault),
    Kind(name="knapsack", make=_knapsack, fault=_knapsack_fault),
    Kind(name="bin_packing", make=_bin_packing, fault=_bin_packing_fault),
    Kind(name="tour", make=_tour, fault=_tour_fault),
    Kind(name="colouring", make=_colouring, fault=_colouring_fault),
)
