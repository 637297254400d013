from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from qbench.errors import ConfigError, Forbidden, TooManyRequests
from qbench.service.access import ApiKey, Caller
from qbench.service.binding import check_binding, is_loopback
from qbench.service.keys import moment_of
from qbench.service.rates import Rates, provider_limits
from qbench.service.redaction import MASK, Redacting, environment_secrets, redact
from qbench.service.secretfile import load_secrets, parse_secrets

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
STRONG = "n3Zq8wYt5Kp1"


def a_key(**values: object) -> ApiKey:
    known = {"id": "k", "account_id": "a", "account": "ann", "name": "n", "hint": "qb_1234"}
    return ApiKey(**({**known, "scopes": ("read",), "created_at": NOW} | values))  # type: ignore[arg-type]


def test_each_scope_includes_those_before_it() -> None:
    runner = Caller(account_id="a", name="ann", scopes=("run",))
    runner.must("read")
    runner.must("run")
    with pytest.raises(Forbidden, match="scope 'admin'"):
        runner.must("admin")


def test_a_key_ends_when_revoked_or_at_its_end() -> None:
    assert a_key().ended(NOW) == ""
    assert a_key(expires_at=NOW + timedelta(seconds=1)).ended(NOW) == ""
    assert a_key(expires_at=NOW).ended(NOW) == "expired"
    assert a_key(expires_at=NOW, revoked_at=NOW).ended(NOW) == "revoked"


def test_what_is_left_of_no_budget_is_unknown_and_not_zero() -> None:
    assert a_key(spent=Decimal(3)).left is None
    assert a_key(budget=Decimal(5), spent=Decimal("5.25")).left == Decimal("-0.25")


def test_ends_are_read_as_ages_and_as_dates() -> None:
    assert moment_of("", NOW) is None
    assert moment_of("30d", NOW) == NOW + timedelta(days=30)
    assert moment_of("2w", NOW) == NOW + timedelta(days=14)
    assert moment_of("2027-01-31", NOW) == datetime(2027, 1, 31, tzinfo=UTC)
    for bad in ("soon", "-1d", "3y", "d"):
        with pytest.raises(ConfigError, match="Cannot read a time"):
            moment_of(bad, NOW)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "::1", "[::1]"])
def test_loopback_needs_no_key_and_no_strong_secret(host: str) -> None:
    assert is_loopback(host)
    assert check_binding(host, has_keys=False, secrets={"S": "changeme"}) == ()


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::", "192.168.1.4", "gpu-box", "127.0.0.1.x.org"])  # noqa: S104
def test_a_public_address_needs_a_key(host: str) -> None:
    with pytest.raises(ConfigError, match="without a key") as caught:
        check_binding(host, has_keys=False, secrets={})
    assert "qbench keys add" in caught.value.hint
    assert check_binding(host, has_keys=True, secrets={}) == ()


@pytest.mark.parametrize(
    "value",
    [
        "changeme",
        "Password",
        "x7$Qz",
        "aaaaaaaaaaaa",
        "postgresql://qbench:postgres@db/qbench",
        "postgresql://qbench:p%6Fstgres@db/qbench",
        "amqp://guest:guest@broker/",
        "redis://:secret@cache:6379/0",
    ],
)
def test_a_weak_secret_keeps_a_service_off_the_network(value: str) -> None:
    with pytest.raises(ConfigError, match="QBENCH_X") as caught:
        check_binding("10.0.0.1", has_keys=True, secrets={"QBENCH_X": value})
    assert value not in str(caught.value)


def test_strong_secrets_pass_and_an_open_redis_is_warned_of() -> None:
    secrets = {
        "QBENCH_SECRET": STRONG,
        "QBENCH_DATABASE": f"postgresql://qbench:{STRONG}@db/qbench",
        "QBENCH_BROKER": "amqp://guest:guest@127.0.0.1/",
        "QBENCH_UNSET": "",
    }
    assert check_binding("10.0.0.1", has_keys=True, secrets=secrets) == ()
    open_redis = {"QBENCH_REDIS": "redis://cache:6379/0"}
    (warning,) = check_binding("10.0.0.1", has_keys=True, secrets=secrets | open_redis)
    assert warning.startswith("QBENCH_REDIS has no password")


def test_secrets_are_masked_by_value_and_by_shape() -> None:
    environ = {
        "OPENAI_API_KEY": "sk-abcdefgh",
        "LONGER_TOKEN": "sk-abcdefgh-ijkl",
        "A_KEY": "short",
    }
    secrets = environment_secrets(environ)
    assert secrets == ("sk-abcdefgh-ijkl", "sk-abcdefgh")
    assert redact("a sk-abcdefgh-ijkl b sk-abcdefgh short", secrets) == f"a {MASK} b {MASK} short"
    assert redact("key qb_" + "x" * 43 + ".", ()) == f"key {MASK}."
    assert redact("postgresql://me:pw@db/x", ()) == f"postgresql://me:{MASK}@db/x"
    assert redact("Authorization: Bearer abcd1234.ef", ()) == f"Authorization: Bearer {MASK}"
    assert redact("see https://example.org/a:b@c", ()) == "see https://example.org/a:b@c"


def test_logs_and_their_tracebacks_are_masked(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_API_KEY", "hunter2hunter2")
    caplog.handler.addFilter(masking := Redacting())
    try:
        int("hunter2hunter2")
    except ValueError:
        logging.getLogger("t").exception("sent %s", "hunter2hunter2")
    caplog.handler.removeFilter(masking)
    assert "hunter2hunter2" not in caplog.text
    assert caplog.text.count(MASK) >= 2


def test_a_secrets_file_fills_in_what_is_not_set(tmp_path: Path) -> None:
    file = tmp_path / "secrets"
    file.write_text("# keys\n\nexport ONE='first value'\nTWO=a=b\nTHREE=loaded-not\n")
    file.chmod(0o600)
    environ = {"QBENCH_SECRETS_FILE": str(file), "THREE": "mine"}
    assert load_secrets(environ) == ("ONE", "TWO")
    assert (environ["ONE"], environ["TWO"], environ["THREE"]) == ("first value", "a=b", "mine")
    assert redact("said first value, loaded-not") == f"said {MASK}, {MASK}"
    assert load_secrets({}) == ()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_secrets_file_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "secrets"
    file.write_text("ONE=1\n")
    file.chmod(mode)
    environ = {"QBENCH_SECRETS_FILE": str(file)}
    with pytest.raises(ConfigError, match="used by others") as caught:
        load_secrets(environ)
    assert "chmod 600" in caught.value.hint
    assert "ONE" not in environ


def test_a_bad_line_is_named_by_its_number_alone() -> None:
    with pytest.raises(ConfigError, match="line 2") as caught:
        list(parse_secrets("A=1\nsk-my-secret\n", "file"))
    assert "sk-my-secret" not in str(caught.value)


def test_a_missing_secrets_file_is_told() -> None:
    with pytest.raises(ConfigError, match="Cannot read the secrets file"):
        load_secrets({"QBENCH_SECRETS_FILE": "/nowhere/at/all"})


def test_a_rate_admits_so_many_and_says_when_to_come_back() -> None:
    rates = Rates(environ={})
    for _ in range(3):
        rates.admit("one", 3)
    rates.admit("other", 3)
    with pytest.raises(TooManyRequests, match="3 requests a minute") as caught:
        rates.admit("one", 3)
    assert 50 < caught.value.retry_after_s <= 60


def test_providers_have_the_limits_of_their_variables() -> None:
    limits = provider_limits(
        {"QBENCH_RATE_TOGETHER_AI": "600/minute", "QBENCH_RATE_X": "5 per 2 seconds"}
    )
    assert limits["TOGETHER_AI"].amount == 600
    assert limits["X"].get_expiry() == 2


@pytest.mark.parametrize(
    "text", ["600", "many/minute", "0/minute", "1/fortnight", "1/minute;2/day"]
)
def test_a_bad_rate_is_refused_by_name(text: str) -> None:
    with pytest.raises(ConfigError, match="QBENCH_RATE_OPENAI"):
        Rates(environ={"QBENCH_RATE_OPENAI": text})


@pytest.mark.parametrize("url", ["nonsense", "what://host", "redis://host:port/x"])
def test_a_bad_store_of_rates_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="Cannot count rates"):
        Rates(url, environ={})
