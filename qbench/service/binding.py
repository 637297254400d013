"""Whether an address may be listened on: nobody opens a service to a network by accident."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import SplitResult, unquote, urlsplit

from qbench.errors import ConfigError

SHORTEST = 8
DEFAULTS = frozenset(
    "admin changeme change-me change_me default example guest letmein minio minioadmin passw0rd "
    "password password1 postgres postgresql qbench rabbitmq redis root secret supersecret test "
    "user 12345678 123456789 1234567890".split()
)
"""What is tried first; lower case."""

REDIS = ("redis", "rediss")
BROKERS = ("amqp", "amqps")


def is_loopback(host: str) -> bool:
    """Say whether only programs of this machine reach ``host``; an empty host is every address."""
    name = host.strip("[]").lower()
    if name == "localhost" or name.startswith(("unix:", "/")):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def check_binding(host: str, *, has_keys: bool, secrets: Mapping[str, str]) -> tuple[str, ...]:
    """Refuse to listen on a public address without a key, or with a secret that anyone guesses.

    Args:
        host: the address to listen on; a loopback address is always fine.
        has_keys: whether the service has a key.
        secrets: settings that hold secrets, by name: passwords, or URLs that contain one.

    Returns:
        Warnings, one sentence each.

    Raises:
        ConfigError: says which setting, never what it is set to.

    """
    if is_loopback(host):
        return ()
    shown = host or "every address"
    if not has_keys:
        raise ConfigError(
            f"Listening on {shown} without a key would let anyone in.",
            hint="Make a key with `qbench keys add NAME --scope admin`, or listen on 127.0.0.1.",
        )
    for name, value in secrets.items():
        if fault := _fault(value):
            raise ConfigError(
                f"Listening on {shown} is refused: {name} {fault}.",
                hint="Set a random one, for example from `openssl rand -hex 24`.",
            )
    return tuple(_warnings(secrets))


def _fault(value: str) -> str:
    """Say what is wrong with a secret; empty when nothing is."""
    url = _url(value)
    if url is None:
        return _weakness(value) if value else ""
    if url.password is None or _guest_at_home(url):
        return ""
    weakness = _weakness(unquote(url.password))
    return f"has a password that {weakness}" if weakness else ""


def _weakness(secret: str) -> str:
    if secret.lower() in DEFAULTS or len(set(secret)) < 3:
        return "is a default that anyone would try"
    return f"is shorter than {SHORTEST} characters" if len(secret) < SHORTEST else ""


def _guest_at_home(url: SplitResult) -> bool:
    """Say whether it is RabbitMQ's own guest, whom it lets in from its own machine only."""
    home = is_loopback(url.hostname or "?")
    return url.scheme in BROKERS and home and (url.username, url.password) == ("guest", "guest")


def _warnings(secrets: Mapping[str, str]) -> list[str]:
    return [
        f"{name} has no password: whoever reaches that Redis can change what the service counts."
        for name, value in secrets.items()
        if (url := _url(value)) is not None and url.scheme in REDIS and not url.password
    ]


def _url(value: str) -> SplitResult | None:
    if "://" not in value:
        return None
    try:
        return urlsplit(value)
    except ValueError:
        return None
