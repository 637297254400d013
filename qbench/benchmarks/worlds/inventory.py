"""The inventory world: items with a stock and a shelf, orders of customers."""

from __future__ import annotations

import random
from collections.abc import Callable

from qbench.benchmarks.worlds.cases import (
    Case,
    Kind,
    Office,
    Operation,
    Refused,
    Shown,
    State,
    call,
    listed,
)

ITEMS = tuple(
    "bolts nails screws hinges lamps cables fuses valves pumps filters gloves helmets ropes "
    "chains brushes buckets ladders hammers wrenches drills batteries switches tapes clamps".split()
)
SHELVES = tuple(f"{row}{number}" for row in "ABCD" for number in range(1, 6))
CUSTOMERS = tuple("Acme Birch Corvo Delta Elmwood Fjord Gamma Harbor".split())


def _item(state: State, item: str) -> State:
    if item not in state["items"]:
        raise Refused(f"There is no item {item}. Items: {listed(sorted(state['items']))}.")
    found: State = state["items"][item]
    return found


def _positive(quantity: int) -> None:
    if quantity < 1:
        raise Refused("A quantity is a whole number of at least 1.")


def add_stock(state: State, item: str, quantity: int) -> str:
    """Put a quantity of an item into stock."""
    _positive(quantity)
    record = _item(state, item)
    record["stock"] += quantity
    return f"{item}: {record['stock']} in stock."


def take_stock(state: State, item: str, quantity: int) -> str:
    """Take a quantity of an item out of stock."""
    _positive(quantity)
    record = _item(state, item)
    if record["stock"] < quantity:
        raise Refused(f"Only {record['stock']} {item} in stock.")
    record["stock"] -= quantity
    return f"{item}: {record['stock']} in stock."


def move_item(state: State, item: str, shelf: str) -> str:
    """Move an item to another shelf."""
    if shelf not in SHELVES:
        raise Refused(f"There is no shelf {shelf}. Shelves: {SHELVES[0]} to {SHELVES[-1]}.")
    _item(state, item)["shelf"] = shelf
    return f"{item} is on shelf {shelf}."


def set_minimum(state: State, item: str, quantity: int) -> str:
    """Set the minimum stock of an item."""
    _item(state, item)["minimum"] = quantity
    return f"The minimum of {item} is {quantity}."


def check_item(state: State, item: str) -> str:
    """Show stock, minimum and shelf of an item."""
    record = _item(state, item)
    return f"{item}: stock {record['stock']}, minimum {record['minimum']}, shelf {record['shelf']}"


def list_shelf(state: State, shelf: str) -> str:
    """List the items on a shelf."""
    names = sorted(name for name, record in state["items"].items() if record["shelf"] == shelf)
    return listed(names) if names else f"Shelf {shelf} is empty."


def list_items(state: State) -> str:
    """List all items with stock, minimum and shelf."""
    return "\n".join(check_item(state, name) for name in sorted(state["items"]))


def list_orders(state: State) -> str:
    """List the open orders."""
    lines = [
        f"{number}: {order['customer']} wants {order['quantity']} {order['item']}"
        for number, order in state["orders"].items()
        if order["status"] == "open"
    ]
    return "\n".join(lines) or "There is no open order."


def ship_order(state: State, order: str) -> str:
    """Ship an open order: takes its quantity out of stock."""
    wanted = _open_order(state, order)
    take_stock(state, wanted["item"], wanted["quantity"])
    wanted["status"] = "shipped"
    return f"{order} is shipped."


def cancel_order(state: State, order: str) -> str:
    """Cancel an open order."""
    _open_order(state, order)["status"] = "cancelled"
    return f"{order} is cancelled."


def _open_order(state: State, order: str) -> State:
    wanted: State | None = state["orders"].get(order)
    if wanted is None or wanted["status"] != "open":
        raise Refused(f"There is no open order {order}.")
    return wanted


OPERATIONS: dict[str, Operation] = {
    made.__name__: made
    for made in (
        add_stock,
        take_stock,
        move_item,
        set_minimum,
        check_item,
        list_shelf,
        list_items,
        list_orders,
        ship_order,
        cancel_order,
    )
}
TOOL_SETS = (("add_stock", "take_stock"), ("add_stock", "move_item", "set_minimum"))
SHOWN = (
    Shown(
        request="12 new mops arrived.",
        call=call("add_stock", item="mops", quantity=12),
        result="mops: 20 in stock.",
    ),
    Shown(
        request="A customer bought 5 mops.",
        call=call("take_stock", item="mops", quantity=5),
        result="mops: 15 in stock.",
    ),
    Shown(
        request="Bring the mops to D5.",
        call=call("move_item", item="mops", shelf="D5"),
        result="mops is on shelf D5.",
    ),
    Shown(
        request="Always keep at least 7 mops.",
        call=call("set_minimum", item="mops", quantity=7),
        result="The minimum of mops is 7.",
    ),
)


def store(rng: random.Random, items: int, orders: int = 0) -> State:
    """Draw a store with ``items`` items and ``orders`` open orders."""
    names = rng.sample(ITEMS, items)
    return {
        "items": {
            name: {
                "stock": rng.randint(20, 60),
                "minimum": rng.randint(5, 15),
                "shelf": rng.choice(SHELVES),
            }
            for name in sorted(names)
        },
        "orders": {
            f"O-{100 + number}": {
                "customer": rng.choice(CUSTOMERS),
                "item": rng.choice(names),
                "quantity": rng.randint(2, 9),
                "status": "open",
            }
            for number in range(1, orders + 1)
        },
    }


def _one(text: str, tool: str) -> Callable[[random.Random], Case]:
    """Make cases of one obvious call from a text with {item}, {quantity}, {shelf}."""

    def make(rng: random.Random) -> Case:
        state = store(rng, 4)
        item, quantity = rng.choice(sorted(state["items"])), rng.randint(2, 19)
        shelf = rng.choice([name for name in SHELVES if name != state["items"][item]["shelf"]])
        arguments = {"item": item, "quantity": quantity}
        if tool == "move_item":
            arguments = {"item": item, "shelf": shelf}
        request = text.format(item=item, quantity=quantity, shelf=shelf)
        return Case(request=request, state=state, calls=(call(tool, **arguments),))

    return make


LEVEL_1 = {
    "add_stock": (
        "Add {quantity} {item} to the stock.",
        "Add {quantity} {item}.",
        "We received {quantity} {item}.",
        "A truck brought {quantity} {item}.",
    ),
    "take_stock": (
        "Take {quantity} {item} out of stock.",
        "Please take {quantity} {item}.",
        "We sold {quantity} {item}.",
        "{quantity} {item} were used up.",
    ),
    "move_item": (
        "Move {item} to shelf {shelf}.",
        "Move the {item} to {shelf}.",
        "The {item} belong on {shelf}.",
        "Put {item} on {shelf} from now on.",
    ),
    "set_minimum": (
        "Set the minimum of {item} to {quantity}.",
        "The minimum of {item} should be {quantity}.",
        "There should never be fewer than {quantity} {item}.",
        "Reorder {item} whenever fewer than {quantity} are left.",
    ),
}


def _restock_move(rng: random.Random) -> Case:
    state = store(rng, 6)
    item, quantity = rng.choice(sorted(state["items"])), rng.randint(3, 30)
    shelf = rng.choice([name for name in SHELVES if name != state["items"][item]["shelf"]])
    return Case(
        request=f"{quantity} {item} came in. Book them and move the item to shelf {shelf}.",
        state=state,
        calls=(
            call("add_stock", item=item, quantity=quantity),
            call("move_item", item=item, shelf=shelf),
        ),
    )


def _how_many(rng: random.Random) -> Case:
    state = store(rng, 6)
    item = rng.choice(sorted(state["items"]))
    return Case(
        request=f"How many {item} are in stock? Answer with the number.",
        state=state,
        calls=(call("check_item", item=item),),
        answer=str(state["items"][item]["stock"]),
    )


def _to_the_minimum(rng: random.Random) -> Case:
    """The quantity follows from what a look-up says."""
    state = store(rng, 8)
    item = rng.choice(sorted(state["items"]))
    record = state["items"][item]
    record["minimum"] = record["stock"] + rng.randint(3, 25)
    return Case(
        request=f"Book in just as many {item} as are missing to the minimum. How many is that?",
        state=state,
        calls=(
            call("check_item", item=item),
            call("add_stock", item=item, quantity=record["minimum"] - record["stock"]),
        ),
        answer=str(record["minimum"] - record["stock"]),
    )


def _orders_of(rng: random.Random) -> Case:
    state = store(rng, 8, orders=5)
    customer = rng.choice([order["customer"] for order in state["orders"].values()])
    numbers = [n for n, order in state["orders"].items() if order["customer"] == customer]
    return Case(
        request=f"{customer} went out of business. Cancel all of its open orders.",
        state=state,
        calls=(call("list_orders"), *(call("cancel_order", order=number) for number in numbers)),
    )


def _short_of(rng: random.Random) -> Case:
    """Shipping is refused where the stock is short: cancel those orders instead."""
    state = store(rng, 10, orders=6)
    for order in rng.sample(sorted(state["orders"]), 2):
        wanted = state["orders"][order]
        wanted["quantity"] = 70 + rng.randint(1, 9)
    calls = [call("list_orders")]
    stock = {name: record["stock"] for name, record in state["items"].items()}
    for number, order in state["orders"].items():
        if order["quantity"] <= stock[order["item"]]:
            stock[order["item"]] -= order["quantity"]
            calls.append(call("ship_order", order=number))
        else:
            calls.append(call("cancel_order", order=number))
    return Case(
        request="Ship the open orders in the order of their numbers. Cancel those for which the "
        "stock is too small.",
        state=state,
        calls=tuple(calls),
    )


def _reorganise(rng: random.Random) -> Case:
    """Empty two shelves by a rule, then bring everything up to its minimum."""
    state = store(rng, 20)
    one, two, target = rng.sample(SHELVES, 3)
    for name in rng.sample(sorted(state["items"]), 6):
        state["items"][name]["shelf"] = rng.choice((one, two))
    for name in rng.sample(sorted(state["items"]), 7):
        record = state["items"][name]
        record["minimum"] = record["stock"] + rng.randint(1, 20)
    calls = [call("list_items")]
    for name, record in state["items"].items():
        if record["shelf"] in (one, two):
            calls.append(call("move_item", item=name, shelf=target))
        if record["stock"] < record["minimum"]:
            missing = 2 * record["minimum"] - record["stock"]
            calls.append(call("add_stock", item=name, quantity=missing))
    return Case(
        request=f"Everything on {one} and {two} goes to {target}. Besides, every item (on any "
        "shelf) whose stock is below its minimum is filled up to twice its minimum.",
        state=state,
        calls=tuple(calls),
    )


def _which_shelf(rng: random.Random) -> Case:
    state = store(rng, 6)
    item = rng.choice(sorted(state["items"]))
    return Case(
        request=f"Some {item} arrived, but I have not counted them. Do not book anything; just "
        "answer with the one word: waiting.",
        state=state,
        answer="waiting",
    )


def _hypothetical(rng: random.Random) -> Case:
    state = store(rng, 6)
    item, have, sold = rng.choice(sorted(state["items"])), rng.randint(20, 40), rng.randint(2, 9)
    return Case(
        request=f"Suppose a shop, not ours, has {have} {item} and sells {sold}. How many are left "
        "there? Answer with the number.",
        state=state,
        answer=str(have - sold),
    )


LEVELS: dict[int, tuple[Kind, ...]] = {
    1: tuple(
        Kind(name=f"{tool}-{number}", make=_one(text, tool), tools=(tool,))
        for tool, texts in LEVEL_1.items()
        for number, text in enumerate(texts)
    ),
    2: (Kind(name="restock-move", make=_restock_move), Kind(name="how-many", make=_how_many)),
    3: (
        Kind(name="to-the-minimum", make=_to_the_minimum),
        Kind(name="orders-of", make=_orders_of),
    ),
    4: (Kind(name="short-of", make=_short_of),),
    5: (Kind(name="reorganise", make=_reorganise),),
}
NO_CALL = (
    Kind(name="which-shelf", make=_which_shelf),
    Kind(name="hypothetical", make=_hypothetical),
)

OFFICE = Office(
    name="inventory",
    operations=OPERATIONS,
    shown=SHOWN,
    tool_sets=TOOL_SETS,
    levels=LEVELS,
    no_call=NO_CALL,
)
