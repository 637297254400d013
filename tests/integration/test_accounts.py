from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from msgspec.structs import replace
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from qbench.errors import ConfigError, NotFound
from qbench.service.access import LOCAL, Account, AuditEntry
from qbench.service.domain import new_id
from qbench.service.keys import KeyOrder, audited, digest_of, issue, revoke
from qbench.service.store import Store
from qbench.service.store.accounts import add_spent
from qbench.service.tables import API_KEY

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with Store.open(url) as opened:
        yield opened


def test_an_account_is_made_once_however_many_ask(store: Store) -> None:
    def make(_: int) -> Account:
        return store.create_account(Account(id=new_id(), name="ann", created_at=NOW))

    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(make, range(8)))
    assert len({account.id for account in made}) == 1
    assert store.accounts() == (made[0],)


def test_a_key_is_read_back_as_it_was_issued(store: Store) -> None:
    assert not store.has_keys()
    end = datetime(2100, 1, 1, tzinfo=UTC)
    order = KeyOrder(name="ci", account="ann", scope="run", budget=Decimal("0.10"), per_minute=60)
    issued = issue(store, replace(order, expires_at=end), LOCAL)
    assert store.has_keys()
    assert store.keys() == (issued.key,)
    assert store.key_by_digest(digest_of(issued.secret)) == issued.key
    assert store.key_by_digest(digest_of(issued.secret + "x")) is None
    assert (issued.key.account, issued.key.scopes, issued.key.left) == (
        "ann",
        ("run",),
        Decimal("0.10"),
    )


def test_the_database_holds_no_key(store: Store) -> None:
    secret = issue(store, KeyOrder(name="ci"), LOCAL).secret
    with store.reading() as view:
        row = view.execute(select(API_KEY)).mappings().one()
    assert not any(secret[7:] in str(value) for value in row.values())
    assert not any(secret[7:] in str(entry) for entry in store.audit_entries())


def test_two_keys_of_one_account_share_it(store: Store) -> None:
    one = issue(store, KeyOrder(name="a", account="ann"), LOCAL).key
    other = issue(store, KeyOrder(name="b", account="ann"), LOCAL).key
    assert one.account_id == other.account_id
    assert store.keys() == (one, other)


@pytest.mark.parametrize(
    "order",
    [
        KeyOrder(name=" "),
        KeyOrder(name="a", budget=Decimal(0)),
        KeyOrder(name="a", budget=Decimal("NaN")),
        KeyOrder(name="a", per_minute=0),
        KeyOrder(name="a", expires_at=NOW - timedelta(days=9999)),
        KeyOrder(name="a", expires_at=datetime(2100, 1, 1)),  # noqa: DTZ001
    ],
)
def test_a_key_that_allows_nothing_is_not_made(store: Store, order: KeyOrder) -> None:
    with pytest.raises(ConfigError):
        issue(store, order, LOCAL)
    assert store.keys() == ()
    assert store.audit_entries() == []


def test_a_key_is_revoked_once_and_stays_known(store: Store) -> None:
    issued = issue(store, KeyOrder(name="ci"), LOCAL)
    assert revoke(store, issued.key.id, LOCAL)
    first = store.api_key(issued.key.id).revoked_at
    assert first is not None
    assert not revoke(store, issued.key.id, LOCAL)
    assert store.api_key(issued.key.id).revoked_at == first
    assert store.has_keys()
    assert [entry.act for entry in store.audit_entries()] == ["key.revoke", "key.create"]
    with pytest.raises(NotFound, match="There is no key named 'nobody'"):
        revoke(store, "nobody", LOCAL)


def test_use_is_noted_once_a_minute(store: Store) -> None:
    key_id = issue(store, KeyOrder(name="ci"), LOCAL).key.id
    assert store.touch_key(key_id, NOW)
    assert not store.touch_key(key_id, NOW + timedelta(seconds=59))
    assert store.api_key(key_id).used_at == NOW
    assert store.touch_key(key_id, NOW + timedelta(seconds=60))


def test_spending_is_exact_and_none_is_lost_among_threads(store: Store) -> None:
    key_id = issue(store, KeyOrder(name="ci"), LOCAL).key.id
    cent = Decimal("0.010000000001")

    def spend(_: int) -> None:
        with store.writing() as tx:
            add_spent(tx, key_id, cent)

    with Store.open(store.database.url.render_as_string(hide_password=False)) as other:

        def spend_too(_: int) -> None:
            with other.writing() as tx:
                add_spent(tx, key_id, cent)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(spend, range(20)))
            both = [pool.submit(act, 0) for act in (spend, spend_too) * 20]
            assert [one.result() for one in both] == [None] * 40
    assert store.api_key(key_id).spent == 60 * cent


def test_spending_has_more_digits_than_a_float_or_the_default_context(store: Store) -> None:
    key_id = issue(store, KeyOrder(name="ci"), LOCAL).key.id
    for amount in ("12345678901234567890", "0.000000000000000000001"):
        with store.writing() as tx:
            add_spent(tx, key_id, Decimal(amount))
    assert store.api_key(key_id).spent == Decimal("12345678901234567890.000000000000000000001")


def test_spending_of_an_unknown_key_is_refused(store: Store) -> None:
    with pytest.raises(NotFound), store.writing() as tx:
        add_spent(tx, "nobody", Decimal(1))


def test_what_a_failed_transaction_spent_is_not_spent(store: Store) -> None:
    key_id = issue(store, KeyOrder(name="ci"), LOCAL).key.id
    with pytest.raises(RuntimeError), store.writing() as tx:
        add_spent(tx, key_id, Decimal(1))
        raise RuntimeError
    assert store.api_key(key_id).spent == 0


def test_a_key_is_not_made_without_its_audit(store: Store) -> None:
    issued = issue(store, KeyOrder(name="ci"), LOCAL)
    twice = replace(issued.key, id=new_id())
    entry = AuditEntry(at=NOW, act="key.create", target=twice.id)
    with pytest.raises(Exception, match="digest") as caught:
        store.create_key(twice, digest_of(issued.secret), [entry])
    assert isinstance(caught.value.__cause__, IntegrityError)
    assert len(store.audit_entries()) == 1


def test_the_audit_is_read_in_pages_newest_first(store: Store) -> None:
    caller = replace(LOCAL, address="10.1.2.3")
    for number in range(5):
        audited(store, caller, "run.submit", f"run{number}", {"budget": Decimal("0.5")})
    first = store.audit_entries(limit=2)
    assert [entry.target for entry in first] == ["run4", "run3"]
    rest = store.audit_entries(first[-1].id, limit=9)
    assert [entry.target for entry in rest] == ["run2", "run1", "run0"]
    assert rest[0].detail == {"budget": "0.5"}
    assert (rest[0].address, rest[0].at.utcoffset()) == ("10.1.2.3", timedelta(0))
