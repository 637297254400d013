"""The ledger world: accounts in whole dollars, transfers, invoices."""

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

ACCOUNTS = tuple("travel office food rent taxes training repairs marketing savings gifts".split())
PARTNERS = tuple(
    "Alder Bexley Cromer Dunn Everton Falmouth Garrick Holt Ives Jarrow Kendal Lowick".split()
)


def _account(state: State, account: str) -> str:
    if account not in state["accounts"]:
        raise Refused(f"There is no account {account}. Known: {listed(sorted(state['accounts']))}.")
    return account


def _positive(amount: int) -> None:
    if amount < 1:
        raise Refused("An amount is a whole number of dollars, at least 1.")


def deposit(state: State, account: str, amount: int) -> str:
    """Deposit money into an account."""
    _positive(amount)
    state["accounts"][_account(state, account)] += amount
    return f"{account} has {state['accounts'][account]}."


def withdraw(state: State, account: str, amount: int) -> str:
    """Withdraw money from an account."""
    _positive(amount)
    balance = state["accounts"][_account(state, account)]
    if balance < amount:
        raise Refused(f"{account} has only {balance}.")
    state["accounts"][account] = balance - amount
    return f"{account} has {balance - amount}."


def transfer(state: State, source: str, target: str, amount: int) -> str:
    """Transfer money between accounts."""
    _account(state, target)
    withdraw(state, source, amount)
    deposit(state, target, amount)
    return f"{amount} went from {source} to {target}."


def close_account(state: State, account: str) -> str:
    """Close an account; it must be empty."""
    if state["accounts"][_account(state, account)]:
        raise Refused(f"{account} still has {state['accounts'][account]}: transfer it first.")
    del state["accounts"][account]
    return f"{account} is closed."


def open_account(state: State, account: str) -> str:
    """Open a new account."""
    if account in state["accounts"]:
        raise Refused(f"There is already an account {account}.")
    state["accounts"][account] = 0
    return f"{account} is open."


def show_balance(state: State, account: str) -> str:
    """Show the balance of an account."""
    return f"{account} has {state['accounts'][_account(state, account)]}."


def list_accounts(state: State) -> str:
    """List all accounts with their balances."""
    return "\n".join(f"{name}: {amount}" for name, amount in sorted(state["accounts"].items()))


def list_invoices(state: State) -> str:
    """List the unpaid invoices with partner, amount and account."""
    lines = [
        f"{number}: {invoice['partner']}, {invoice['amount']}, account {invoice['account']}"
        for number, invoice in state["invoices"].items()
        if not invoice["paid"]
    ]
    return "\n".join(lines) or "Every invoice is paid."


def pay_invoice(state: State, invoice: str) -> str:
    """Pay an invoice from its account."""
    found: State | None = state["invoices"].get(invoice)
    if found is None or found["paid"]:
        raise Refused(f"There is no unpaid invoice {invoice}.")
    withdraw(state, found["account"], found["amount"])
    found["paid"] = True
    return f"{invoice} is paid."


OPERATIONS: dict[str, Operation] = {
    made.__name__: made
    for made in (
        deposit,
        withdraw,
        transfer,
        close_account,
        open_account,
        show_balance,
        list_accounts,
        list_invoices,
        pay_invoice,
    )
}
TOOL_SETS = (("deposit", "withdraw"), ("deposit", "open_account", "transfer"))
SHOWN = (
    Shown(
        request="Put 40 into the account fun.",
        call=call("deposit", account="fun", amount=40),
        result="fun has 90.",
    ),
    Shown(
        request="I need 30 from fun.",
        call=call("withdraw", account="fun", amount=30),
        result="fun has 60.",
    ),
    Shown(
        request="Start a new account pets.",
        call=call("open_account", account="pets"),
        result="pets is open.",
    ),
    Shown(
        request="Shift 20 from fun to pets.",
        call=call("transfer", source="fun", target="pets", amount=20),
        result="20 went from fun to pets.",
    ),
)


def books(rng: random.Random, accounts: int, invoices: int = 0) -> State:
    """Draw books with ``accounts`` accounts and ``invoices`` unpaid invoices."""
    names = sorted(rng.sample(ACCOUNTS, accounts))
    return {
        "accounts": {name: rng.randint(200, 900) for name in names},
        "invoices": {
            f"I-{200 + number}": {
                "partner": rng.choice(PARTNERS),
                "amount": rng.randint(10, 90),
                "account": rng.choice(names),
                "paid": False,
            }
            for number in range(1, invoices + 1)
        },
    }


def _one(text: str, tool: str) -> Callable[[random.Random], Case]:
    """Make cases of one obvious call from a text with {one}, {two}, {new}, {amount}."""

    def make(rng: random.Random) -> Case:
        state = books(rng, 4)
        one, two = rng.sample(sorted(state["accounts"]), 2)
        new = rng.choice([name for name in ACCOUNTS if name not in state["accounts"]])
        amount = rng.randint(11, 99)
        arguments = {
            "deposit": {"account": one, "amount": amount},
            "withdraw": {"account": one, "amount": amount},
            "open_account": {"account": new},
            "transfer": {"source": one, "target": two, "amount": amount},
        }[tool]
        request = text.format(one=one, two=two, new=new, amount=amount)
        return Case(request=request, state=state, calls=(call(tool, **arguments),))

    return make


LEVEL_1 = {
    "deposit": (
        "Deposit {amount} into {one}.",
        "Make a deposit of {amount} into {one}.",
        "{one} receives {amount}.",
        "{amount} came in for {one}.",
    ),
    "withdraw": (
        "Withdraw {amount} from {one}.",
        "Please withdraw {amount} from {one}.",
        "We spent {amount} on {one}.",
        "Take {amount} out of {one}.",
    ),
    "open_account": (
        "Open the account {new}.",
        "Open an account called {new}.",
        "We need something to book {new} on.",
        "From now on there is also {new}.",
    ),
    "transfer": (
        "Transfer {amount} from {one} to {two}.",
        "Please transfer {amount} from {one} to {two}.",
        "{one} gives {amount} to {two}.",
        "Move {amount} from {one} over to {two}.",
    ),
}


def _pay_one(rng: random.Random) -> Case:
    state = books(rng, 5, invoices=3)
    number = rng.choice(sorted(state["invoices"]))
    account, amount = rng.choice(sorted(state["accounts"])), rng.randint(10, 90)
    return Case(
        request=f"Pay invoice {number}, then deposit {amount} into {account}.",
        state=state,
        calls=(
            call("pay_invoice", invoice=number),
            call("deposit", account=account, amount=amount),
        ),
    )


def _balance(rng: random.Random) -> Case:
    state = books(rng, 5)
    account = rng.choice(sorted(state["accounts"]))
    return Case(
        request=f"How much is in {account}? Answer with the number.",
        state=state,
        calls=(call("show_balance", account=account),),
        answer=str(state["accounts"][account]),
    )


def _close(rng: random.Random) -> Case:
    """What is left must be moved before an account can be closed."""
    state = books(rng, 6)
    one, two = rng.sample(sorted(state["accounts"]), 2)
    left = state["accounts"][one]
    return Case(
        request=f"Close {one}; what is left in it goes to {two}. How much was that?",
        state=state,
        calls=(
            call("show_balance", account=one),
            call("transfer", source=one, target=two, amount=left),
            call("close_account", account=one),
        ),
        answer=str(left),
    )


def _invoices_of(rng: random.Random) -> Case:
    state = books(rng, 6, invoices=6)
    partner = rng.choice([invoice["partner"] for invoice in state["invoices"].values()])
    numbers = [n for n, invoice in state["invoices"].items() if invoice["partner"] == partner]
    return Case(
        request=f"Pay every invoice of {partner}.",
        state=state,
        calls=(call("list_invoices"), *(call("pay_invoice", invoice=n) for n in numbers)),
    )


def _short_account(rng: random.Random) -> Case:
    """An account cannot pay: fill it up from another one by just what is missing."""
    state = books(rng, 6, invoices=5)
    number = rng.choice(sorted(state["invoices"]))
    invoice = state["invoices"][number]
    short, source = invoice["account"], "reserve"
    state["accounts"][short] = invoice["amount"] - rng.randint(3, 9)
    state["accounts"][source] = 1000
    missing = invoice["amount"] - state["accounts"][short]
    return Case(
        request=f"Pay invoice {number}. If its account has too little, first transfer just the "
        f"missing amount from {source}. Then close no account, but tell me what is left in "
        f"{source}: answer with the number.",
        state=state,
        calls=(
            call("list_invoices"),
            call("show_balance", account=short),
            call("transfer", source=source, target=short, amount=missing),
            call("pay_invoice", invoice=number),
            call("show_balance", account=source),
        ),
        answer=str(1000 - missing),
    )


def _settle_all(rng: random.Random) -> Case:
    """Pay what can be paid by a rule, then level the accounts."""
    state = books(rng, 8, invoices=14)
    floor = rng.choice((100, 150, 200))
    calls = [call("list_invoices"), call("list_accounts")]
    left = dict(state["accounts"])
    for number, invoice in state["invoices"].items():
        if left[invoice["account"]] - invoice["amount"] >= floor:
            left[invoice["account"]] -= invoice["amount"]
            calls.append(call("pay_invoice", invoice=number))
    richest = max(sorted(left), key=lambda name: left[name])
    for name in sorted(left):
        if left[name] < 2 * floor and name != richest:
            gap = 2 * floor - left[name]
            if left[richest] - gap >= 2 * floor:
                left[richest] -= gap
                calls.append(call("transfer", source=richest, target=name, amount=gap))
    return Case(
        request=f"Go through the invoices by number and pay each one that leaves its account with "
        f"at least {floor}. Then take the account with the most money and, going through the "
        f"others in alphabetical order, fill each one that has less than {2 * floor} up to "
        f"{2 * floor} from it, as long as it keeps at least {2 * floor} itself (skip a transfer "
        "that would break this).",
        state=state,
        calls=tuple(calls),
    )


def _which_account(rng: random.Random) -> Case:
    return Case(
        request=f"I paid {rng.randint(20, 90)} in cash somewhere, but I forgot for what. Leave the "
        "books as they are and answer with the one word: later.",
        state=books(rng, 5),
        answer="later",
    )


def _sum_only(rng: random.Random) -> Case:
    one, two = rng.randint(20, 90), rng.randint(20, 90)
    return Case(
        request=f"A friend has {one} dollars and gets {two} more. How many are that? It does not "
        "concern our books. Answer with the number.",
        state=books(rng, 5),
        answer=str(one + two),
    )


LEVELS: dict[int, tuple[Kind, ...]] = {
    1: tuple(
        Kind(name=f"{tool}-{number}", make=_one(text, tool), tools=(tool,))
        for tool, texts in LEVEL_1.items()
        for number, text in enumerate(texts)
    ),
    2: (Kind(name="pay-one", make=_pay_one), Kind(name="balance", make=_balance)),
    3: (Kind(name="close", make=_close), Kind(name="invoices-of", make=_invoices_of)),
    4: (Kind(name="short-account", make=_short_account),),
    5: (Kind(name="settle-all", make=_settle_all),),
}
NO_CALL = (
    Kind(name="which-account", make=_which_account),
    Kind(name="sum-only", make=_sum_only),
)

OFFICE = Office(
    name="ledger",
    operations=OPERATIONS,
    shown=SHOWN,
    tool_sets=TOOL_SETS,
    levels=LEVELS,
    no_call=NO_CALL,
)
