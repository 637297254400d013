"""The questions of the sqlite server: a shop's tables, five levels."""
# ruff: noqa: S608 - queries are put together from our own words

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

from qbench.benchmarks.servers.world import State
from qbench.benchmarks.suites.mcp_servers.cases import Example, Job, look
from qbench.benchmarks.suites.mcp_servers.tables import (
    CITIES,
    ITEMS,
    NAMES,
    SCHEMA,
    make_tables,
    run_query,
)
from qbench.benchmarks.worlds.cases import Case, Kind, Operation, call

READING = ("read_query", "list_tables", "describe_table")
OPERATIONS: dict[str, Operation] = {
    **dict.fromkeys(READING, look),
    "write_query": run_query,
    "create_table": run_query,
}
EXAMPLES = (
    Example(
        request="Set the stock of item zipper to 5.",
        call=call("write_query", query="UPDATE items SET stock = 5 WHERE name = 'zipper'"),
        result="[{'affected_rows': 1}]",
    ),
    Example(
        request="Make a table notes with the column body (text).",
        call=call("create_table", query="CREATE TABLE notes (body TEXT)"),
        result="Table created successfully",
    ),
    Example(
        request="What is the price of item zipper?",
        call=call("read_query", query="SELECT price FROM items WHERE name = 'zipper'"),
        result="[{'price': 3}]",
        answer="3",
    ),
)
TOOL_SETS = (("write_query", "create_table"), ("read_query", "write_query"))
TABLE = "There is a table items with the columns name, price and stock. "


def shop(rng: random.Random, items: int, customers: int = 0, orders: int = 0) -> State:
    """Draw a shop's tables; without customers there are items only."""
    names = rng.sample(ITEMS, items)
    stock = [
        {"name": name, "price": price, "stock": rng.randint(2, 40)}
        for name, price in zip(names, rng.sample(range(3, 90), items), strict=True)
    ]
    tables = {"items": _rows(stock, {"name": "TEXT", "price": "INTEGER", "stock": "INTEGER"})}
    if customers:
        people = [
            {"id": number + 1, "name": name, "city": rng.choice(CITIES)}
            for number, name in enumerate(rng.sample(NAMES, customers))
        ]
        kinds = {"id": "INTEGER", "name": "TEXT", "city": "TEXT"}
        tables["customers"] = _rows(people, kinds)
        bought = [
            {
                "id": number + 101,
                "customer": rng.randint(1, customers),
                "item": rng.choice(names),
                "amount": rng.randint(1, 6),
            }
            for number in range(orders)
        ]
        kinds = {"id": "INTEGER", "customer": "INTEGER", "item": "TEXT", "amount": "INTEGER"}
        tables["orders"] = _rows(bought, kinds)
    return {"tables": tables}


def _rows(rows: list[dict[str, Any]], columns: dict[str, str]) -> dict[str, Any]:
    return {"columns": columns, "rows": rows}


def _answer(state: State, query: str) -> Any:
    """Return the first value that a query gives on the state."""
    with closing(sqlite3.connect(":memory:")) as base:
        make_tables(base, state)
        return base.execute(query).fetchone()[0]


def _one(text: str, tool: str) -> Callable[[random.Random], Case]:
    """Make cases of one obvious call from a text with {item}, {number}, {table}, {new}."""

    def make(rng: random.Random) -> Case:
        state = shop(rng, 4)
        item = rng.choice(state["tables"]["items"]["rows"])["name"]
        table, number = rng.choice(("suppliers", "visits", "repairs")), rng.randint(41, 90)
        query = {
            "write_query": f"UPDATE items SET stock = {number} WHERE name = '{item}'",
            "create_table": f"CREATE TABLE {table} (title TEXT, amount INTEGER)",
            "read_query": f"SELECT price FROM items WHERE name = '{item}'",
        }[tool]
        reading = tool == "read_query"
        return Case(
            request=TABLE + text.format(item=item, number=number, table=table),
            state=state,
            calls=(call(tool, query=query),),
            answer=str(_answer(state, query)) if reading else None,
        )

    return make


LEVEL_1 = {
    "write_query": (
        "Update the stock of {item} to {number}.",
        "Set the stock of {item} to {number}.",
        "We have {number} pieces of {item} in stock now.",
        "The stock of {item} is {number}: correct it.",
    ),
    "create_table": (
        "Create the table {table} with the columns title (text) and amount (integer).",
        "Make a table {table}: title (text), amount (integer).",
        "I need to keep {table}, each with a title (text) and an amount (integer).",
        "There should be {table} as well: title (text), amount (integer).",
    ),
    "read_query": (
        "Read the price of {item}.",
        "What is the price of {item}?",
        "How much does {item} cost?",
        "Tell me what {item} sells for.",
    ),
}


def _dearest(rng: random.Random) -> Case:
    state = shop(rng, 8)
    query = "SELECT name FROM items ORDER BY price DESC LIMIT 1"
    return Case(
        request=f"{TABLE}Which item has the highest price? Answer with its name.",
        state=state,
        calls=(call("read_query", query=query),),
        answer=_answer(state, query),
    )


def _new_item(rng: random.Random) -> Case:
    state = shop(rng, 6)
    known = [row["name"] for row in state["tables"]["items"]["rows"]]
    new, price, stock = (
        rng.choice([item for item in ITEMS if item not in known]),
        rng.randint(3, 90),
        rng.randint(2, 40),
    )
    cheap = rng.randint(20, 60)
    return Case(
        request=f"{TABLE}Add the item {new} with price {price} and stock {stock}, and delete all "
        f"items that cost more than {cheap + 25}.",
        state=state,
        calls=(
            call("write_query", query=f"INSERT INTO items VALUES ('{new}', {price}, {stock})"),
            call("write_query", query=f"DELETE FROM items WHERE price > {cheap + 25}"),
        ),
    )


def _best_customer(rng: random.Random) -> Case:
    """Nothing is said about the tables: look, then join."""
    while True:
        state = shop(rng, 6, customers=4, orders=10)
        spent = _spent(state)
        if len(spent) > 1 and spent[0][1] > spent[1][1]:
            break
    return Case(
        request="Which customer has spent the most on orders in all (amount times price)? Give "
        "every item that this customer ordered one piece more of stock, and answer with the "
        "customer's name.",
        state=state,
        calls=(
            call("list_tables"),
            call("describe_table", table_name="orders"),
            call("describe_table", table_name="customers"),
            call("describe_table", table_name="items"),
            call("read_query", query=SPENT),
            call(
                "write_query",
                query="UPDATE items SET stock = stock + 1 WHERE name IN (SELECT item FROM orders "
                f"JOIN customers c ON c.id = customer WHERE c.name = '{spent[0][0]}')",
            ),
        ),
        answer=spent[0][0],
    )


SPENT = (
    "SELECT c.name, SUM(o.amount * i.price) AS spent FROM orders o JOIN customers c ON c.id = "
    "o.customer JOIN items i ON i.name = o.item GROUP BY c.name ORDER BY spent DESC"
)


def _spent(state: State) -> list[tuple[str, int]]:
    with closing(sqlite3.connect(":memory:")) as base:
        make_tables(base, state)
        return base.execute(SPENT).fetchall()


def _sale(rng: random.Random) -> Case:
    """The stock does not suffice: a rule of the table refuses the straight way."""
    state = shop(rng, 6, customers=4, orders=4)
    item, buyer = rng.choice(state["tables"]["items"]["rows"]), rng.randint(1, 4)
    person = state["tables"]["customers"]["rows"][buyer - 1]["name"]
    have = item["stock"]
    wanted = have + rng.randint(-1, 4)
    sold = min(have, wanted)
    return Case(
        request=f"{person} orders {wanted} pieces of {item['name']}. Take them out of its stock; "
        "when the stock is too small, sell what there is. Add the order with the pieces really "
        "sold; its id is one more than the highest so far. How many were sold? Answer with the "
        "number.",
        state=state,
        calls=(
            call("describe_table", table_name="orders"),
            call(
                "read_query",
                query=f"SELECT stock, (SELECT MAX(id) FROM orders) AS last, (SELECT id FROM "
                f"customers WHERE name = '{person}') AS buyer FROM items WHERE name = "
                f"'{item['name']}'",
            ),
            call(
                "write_query",
                query=f"UPDATE items SET stock = stock - {sold} WHERE name = '{item['name']}'",
            ),
            call(
                "write_query",
                query=f"INSERT INTO orders VALUES (105, {buyer}, '{item['name']}', {sold})",
            ),
        ),
        answer=str(sold),
    )


def _report(rng: random.Random) -> Case:
    """A table of sums is made from a join, and what it counted is removed."""
    state = shop(rng, 8, customers=6, orders=16)
    place = rng.choice([row["city"] for row in state["tables"]["customers"]["rows"]])
    return Case(
        request="Make a table cities with the columns city (text) and pieces (integer): for each "
        "city that customers live in, how many pieces they ordered in all (0 where none). Then "
        f"delete the orders of customers in {place}, and reduce the price of every item that no "
        "order names any more by 1. How many orders are left? Answer with the number.",
        state=state,
        calls=(
            call("list_tables"),
            *(call("describe_table", table_name=name) for name in SCHEMA),
            call("create_table", query="CREATE TABLE cities (city TEXT, pieces INTEGER)"),
            call(
                "write_query",
                query="INSERT INTO cities SELECT c.city, COALESCE(SUM(o.amount), 0) FROM customers "
                "c LEFT JOIN orders o ON o.customer = c.id GROUP BY c.city",
            ),
            call(
                "write_query",
                query="DELETE FROM orders WHERE customer IN (SELECT id FROM customers WHERE city = "
                f"'{place}')",
            ),
            call(
                "write_query",
                query="UPDATE items SET price = price - 1 WHERE name NOT IN (SELECT item FROM "
                "orders)",
            ),
            call("read_query", query="SELECT COUNT(*) FROM orders"),
        ),
        answer=str(
            _answer(
                state,
                "SELECT COUNT(*) FROM orders JOIN customers c ON c.id = customer WHERE c.city <> "
                f"'{place}'",
            )
        ),
    )


def _not_now(rng: random.Random) -> Case:
    state = shop(rng, 4)
    item = state["tables"]["items"]["rows"][0]["name"]
    return Case(
        request=f"We may soon stop selling {item}, but change nothing yet. Just say all right.",
        state=state,
        answer="all right",
    )


def _times(rng: random.Random) -> Case:
    price, count = rng.randint(3, 9), rng.randint(3, 9)
    return Case(
        request=f"If a widget costs {price}, what do {count} widgets cost? Answer with the number.",
        state=shop(rng, 4),
        answer=str(price * count),
    )


JOB = Job(
    name="sqlite",
    tools=tuple(OPERATIONS),
    operations=OPERATIONS,
    examples=EXAMPLES,
    tool_sets=TOOL_SETS,
    levels={
        1: tuple(
            Kind(name=f"{tool}-{number}", make=_one(text, tool), tools=(tool,))
            for tool, texts in LEVEL_1.items()
            for number, text in enumerate(texts)
        ),
        2: (Kind(name="dearest", make=_dearest), Kind(name="new-item", make=_new_item)),
        3: (Kind(name="best-customer", make=_best_customer),),
        4: (Kind(name="sale", make=_sale),),
        5: (Kind(name="report", make=_report),),
    },
    no_call=(Kind(name="not-now", make=_not_now), Kind(name="times", make=_times)),
    needless=call("list_tables"),
)
