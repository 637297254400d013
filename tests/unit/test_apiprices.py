from __future__ import annotations

import json
import socket
from datetime import UTC, datetime
from decimal import Decimal
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any, NoReturn

import pytest
from genai_prices import Usage, calc_price
from genai_prices.data_snapshot import get_snapshot

from qbench.benchmarks.chat import TokenUsage
from qbench.service.apiprices import (
    LITELLM_FILE,
    LitellmMap,
    api_price,
    installed_litellm,
    price_lookup,
    price_missing,
    read_litellm,
)
from qbench.service.money import token_cost
from qbench.service.pricebook import PriceBook, read_book

D = Decimal
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
EMPTY = PriceBook(machines=(), models=())


def litellm_map(tmp_path: Path, models: dict[str, dict[str, Any]]) -> LitellmMap:
    info = tmp_path / "litellm-9.9.9.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: litellm\nVersion: 9.9.9\n")
    file = tmp_path / LITELLM_FILE
    file.parent.mkdir()
    file.write_text(json.dumps(models))
    found = read_litellm(Distribution.at(info))
    assert found is not None
    return found


@pytest.mark.parametrize("name", ["gpt-5", "openai/gpt-5"])
def test_listed_model_has_rates_source_and_origin(name: str) -> None:
    price = api_price(name, NOW, book=EMPTY)
    assert price is not None
    assert price.name == name
    assert (price.rates.input, price.rates.cached_input) == (D("1.25"), D("0.125"))
    assert price.source.startswith("https://")
    assert price.origin.startswith("genai-prices ")
    assert token_cost(TokenUsage(prompt_tokens=1_000_000), price) == D("1.25")


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("gemini/gemini-2.5-pro", "google/gemini-2.5-pro"),
        ("vertex_ai/gemini-2.5-pro", "google/gemini-2.5-pro"),
        ("xai/grok-4", "x-ai/grok-4"),
        ("azure_ai/gpt-4.1", "azure/gpt-4.1"),
    ],
)
def test_litellms_providers_are_translated(ours: str, theirs: str) -> None:
    first, second = (api_price(name, NOW, book=EMPTY) for name in (ours, theirs))
    assert first is not None
    assert second is not None
    assert (first.rates, first.tiers) == (second.rates, second.tiers)


def test_tiers_by_prompt_length_are_kept() -> None:
    price = api_price("gemini/gemini-2.5-pro", NOW, book=EMPTY)
    assert price is not None
    assert [tier.above for tier in price.tiers] == [200_000]
    short, long = price.rates_at(200_000), price.rates_at(200_001)
    assert (short.input, long.input) == (D("1.25"), D("2.5"))
    assert (short.output, long.output) == (D(10), D(15))


def test_price_follows_the_time_of_the_request() -> None:
    day, night = (datetime(2025, 6, 1, hour, tzinfo=UTC) for hour in (12, 20))
    prices = [api_price("deepseek/deepseek-chat", at, book=EMPTY) for at in (day, night)]
    assert prices[0] is not None
    assert prices[1] is not None
    assert prices[0].rates.input == 2 * prices[1].rates.input
    assert prices[0].id != prices[1].id


@pytest.mark.parametrize(
    "name",
    [
        "openai/no-such-model",
        "hosted_vllm/gpt-5",
        "meta-llama/Llama-3.1-8B-Instruct",
        "nonsense",
        "/tmp/gpt-5",  # noqa: S108 - a local checkpoint's folder, nothing is opened
        "",
    ],
)
def test_unlisted_or_local_model_is_unpriced(name: str) -> None:
    assert api_price(name, NOW, book=EMPTY) is None


def test_own_price_goes_first(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(
        "models: [{name: openai/gpt-5, prices: [{rates: {input: 1, output: 2}, source: 'own: deal',"
        " checked: 2026-01-01, valid_from: 2026-01-01}]}]"
    )
    price = price_lookup("openai/gpt-5", read_book(file))(NOW)
    assert price is not None
    assert (price.rates.input, price.origin) == (D(1), "own.yaml")


def test_lists_that_differ_by_more_than_one_percent_are_reported(tmp_path: Path) -> None:
    entry = {
        "litellm_provider": "openai",
        "mode": "chat",
        "input_cost_per_token": 1.26e-06,
        "output_cost_per_token": 1.1e-05,
        "cache_read_input_token_cost": 0.0,
    }
    price = api_price(
        "openai/gpt-5", NOW, book=EMPTY, litellm=litellm_map(tmp_path, {"gpt-5": entry})
    )
    assert price is not None
    assert price.rates.output == 10
    (found,) = price.disagreements
    assert str(found) == "output: used 10, but litellm 9.9.9 says 11"


def test_litellm_prices_what_only_it_lists(tmp_path: Path) -> None:
    entry: dict[str, Any] = {
        "mode": "chat",
        "input_cost_per_token": 3e-08,
        "output_cost_per_token": 5e-08,
        "input_cost_per_token_above_128k_tokens": 6e-08,
        "source": "https://example.org/prices",
    }
    models = {"deepinfra/some/model": entry, "deepinfra/free": {"mode": "chat"}}
    listed = litellm_map(tmp_path, models)
    price = api_price("deepinfra/some/model", NOW, book=EMPTY, litellm=listed)
    assert price is not None
    assert (price.rates.input, price.rates.cached_input) == (D("0.03"), None)
    assert (price.rates_at(128_001).input, price.rates_at(128_001).output) == (D("0.06"), D("0.05"))
    assert (price.source, price.origin) == ("https://example.org/prices", "litellm 9.9.9")
    assert api_price("deepinfra/free", NOW, book=EMPTY, litellm=listed) is None


def test_bare_entry_of_another_provider_is_not_taken(tmp_path: Path) -> None:
    entry = {"litellm_provider": "other", "mode": "chat"}
    listed = litellm_map(tmp_path, {"gpt-5": entry})
    assert listed.entry("openai/gpt-5") is None
    assert listed.entry("other/gpt-5") == entry


def test_distribution_without_the_map_gives_none(tmp_path: Path) -> None:
    info = tmp_path / "litellm-1.dist-info"
    info.mkdir()
    assert read_litellm(Distribution.at(info)) is None


def test_installed_litellm_is_read_where_it_is_installed() -> None:
    found = installed_litellm()
    assert found is None or len(found.models) > 1000


def test_missing_price_suggests_close_names() -> None:
    error = price_missing("openai/gpt-5-minni", EMPTY)
    assert "no price for the API model 'openai/gpt-5-minni'" in error.what
    assert "openai/gpt-5-mini" in error.hint
    assert "QBENCH_PRICES" in error.hint


@pytest.mark.parametrize("prompt", [200_000, 200_001])
def test_bills_are_those_of_genai_prices_for_every_model_it_lists(prompt: int) -> None:
    usage = TokenUsage(
        prompt_tokens=prompt, cached_tokens=40_000, cache_write_tokens=7, completion_tokens=1234
    )
    compared = 0
    for provider in get_snapshot().providers:
        for model in provider.models:
            price = api_price(f"{provider.id}/{model.id}", NOW, book=EMPTY)
            if price is None:
                continue
            theirs = calc_price(
                Usage(
                    input_tokens=prompt,
                    cache_read_tokens=40_000,
                    cache_write_tokens=7,
                    output_tokens=1234,
                ),
                model.id,
                provider_id=provider.id,
                genai_request_timestamp=NOW,
            )
            assert token_cost(usage, price) == theirs.total_price, price.name
            compared += 1
    assert compared > 1000


def test_nothing_goes_to_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> NoReturn:
        raise AssertionError("a price look-up opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert api_price("anthropic/claude-sonnet-4-5", NOW, book=EMPTY) is not None
    price_missing("x", EMPTY)
