"""Continuous batching gives each sequence what it would get alone."""

import queue
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaForCausalLM

from qbench.workers.embedded import batching
from qbench.workers.embedded.batching import CHUNK, Batcher
from qbench.workers.embedded.cache import Piece, Slots, Step
from qbench.workers.embedded.generation import Generation
from qbench.workers.embedded.loading import Loaded, load
from qbench.workers.embedded.sampling import Sampler, draw_together
from qbench.workers.embedded.scores import Scores
from tests.generations import finished, prompts, submit
from tests.tiny_model import save_tiny_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def loaded(folder: Path) -> Loaded:
    return load(folder, "fp32", device="cpu")


@pytest.fixture
def slots(loaded: Loaded) -> Slots:
    config: Any = loaded.model.config
    made = Slots(config, 6, 2048, dtype=torch.float32, device="cpu")
    made.keys.fill_(torch.nan)  # whoever reads what nobody wrote will show it
    made.values.fill_(torch.nan)
    return made


@pytest.fixture
def batcher(loaded: Loaded, slots: Slots) -> Iterator[Batcher]:
    made = Batcher(loaded.model, slots, concurrency=4)
    made.start()
    yield made
    made.close()


def alone(folder: Path, tokens: Sequence[int], most: int) -> list[int]:
    """Greedy decoding by transformers itself, without any cache."""
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    known = list(tokens)
    with torch.inference_mode():
        for _ in range(most):
            known.append(int(model(torch.tensor([known])).logits[0, -1].argmax()))
    return known[len(tokens) :]


def test_a_batch_gives_what_each_prompt_gives_alone(folder: Path, batcher: Batcher) -> None:
    asked = prompts(7, 20)
    made = [submit(batcher, tokens) for tokens in asked]
    assert [finished(one) for one in made] == [alone(folder, tokens, 12) for tokens in asked]


def test_so_does_a_batch_whose_single_tokens_are_attended_together(
    folder: Path, slots: Slots, batcher: Batcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "Step", partial(Step, together=True))  # as on a GPU
    slots.keys.zero_()  # where memory begins as zeros: what is masked is still multiplied
    slots.values.zero_()
    asked = prompts(6, 20)
    made = [submit(batcher, tokens) for tokens in asked]
    assert [finished(one) for one in made] == [alone(folder, tokens, 12) for tokens in asked]


def test_log_probabilities_are_the_models_own(loaded: Loaded, batcher: Batcher) -> None:
    """Of a prompt longer than a chunk, against one forward pass in a piece."""
    tokens = prompts(1, CHUNK + 40)[0]
    generation, heard = submit(batcher, [*tokens], most=1, scores=Scores(top=5, of_prompt=True))
    assert finished((generation, heard))
    assert generation.scores is not None
    scored = generation.scores.prompt
    assert [one.token for one in scored] == tokens[1:]
    config: Any = loaded.model.config
    slots = Slots(config, 1, 2048, dtype=torch.float32, device="cpu")
    step = Step(slots, [Piece(0, 0, len(tokens))])
    with torch.inference_mode():
        logits = loaded.model(
            input_ids=torch.tensor([tokens]),
            position_ids=step.positions[None],
            use_cache=False,
            step=step,
        ).logits[0]
    shares = torch.log_softmax(logits.double(), dim=-1)
    for place in (0, 7, CHUNK - 1, CHUNK, len(tokens) - 2):
        expected, one = shares[place], scored[place]
        assert one.logprob == pytest.approx(float(expected[one.token]), abs=1e-4)
        assert one.rank == 1 + int((expected > expected[one.token]).sum())
        assert [token for token, _ in one.top] == expected.topk(5).indices.tolist()
    assert len(generation.scores.generated) == 1


def test_a_prompt_longer_than_a_chunk_is_computed_piecewise(folder: Path, batcher: Batcher) -> None:
    long, short = prompts(2, CHUNK + 90)[0], prompts(1, 10)[0]
    made = [submit(batcher, long, most=4), submit(batcher, short, most=4)]
    assert [finished(one) for one in made] == [alone(folder, t, 4) for t in (long, short)]


def test_a_prompt_that_comes_again_is_reused_and_says_the_same(batcher: Batcher) -> None:
    tokens = prompts(1, 80)[0]
    first = submit(batcher, tokens)
    said = finished(first)
    again = submit(batcher, tokens)
    assert finished(again) == said
    assert first[0].cached == 0
    assert again[0].cached == len(tokens) - 1


def test_prompts_that_begin_alike_share_what_the_first_computed(
    folder: Path, batcher: Batcher
) -> None:
    start = prompts(1, 200)[0]
    asked = [start + tail for tail in prompts(4, 5)]
    made = [submit(batcher, tokens, most=5) for tokens in asked]
    assert [finished(one) for one in made] == [alone(folder, tokens, 5) for tokens in asked]
    assert sorted(one[0].cached >= 200 for one in made) == [False, True, True, True]


def test_lengths_and_ends_stop_a_sequence(folder: Path, batcher: Batcher) -> None:
    tokens = prompts(1, 30)[0]
    end = alone(folder, tokens, 3)[2]
    heard: queue.Queue[tuple[list[int], str]] = queue.Queue()
    batcher.submit(
        Generation(
            tokens=list(tokens),
            sampler=Sampler(temperature=0.0, top_p=1.0, seed=0),
            told=lambda new, finish: heard.put((list(new), finish)),
            max_tokens=50,
            ends=frozenset({end}),
        )
    )
    reasons = [heard.get(timeout=60)[1]]
    while not reasons[-1]:
        reasons.append(heard.get(timeout=60)[1])
    assert reasons[-1] == "stop"
    assert len(reasons) <= 3
    assert len(finished(submit(batcher, tokens, most=2))) == 2


def test_a_cancelled_sequence_makes_room(batcher: Batcher) -> None:
    stuck = [submit(batcher, tokens, most=1500)[0] for tokens in prompts(4, 10)]
    for generation in stuck:
        generation.cancelled = True
    assert len(finished(submit(batcher, prompts(5, 12)[4], most=3))) == 3


def test_the_meter_counts_every_token(batcher: Batcher) -> None:
    asked = prompts(3, 40)
    for one in [submit(batcher, tokens, most=6) for tokens in asked]:
        finished(one)
    meter = batcher.meter
    assert meter.prompt_tokens + meter.cached_tokens == sum(map(len, asked))
    assert meter.generated_tokens == 18
    spent = meter.seconds(load=1.0)
    assert spent.busy == pytest.approx((spent.prefill or 0) + (spent.decode or 0))


def test_the_same_seed_draws_the_same_tokens() -> None:
    logits = torch.randn(50, generator=torch.Generator().manual_seed(3))
    samplers = [Sampler(temperature=0.9, top_p=0.8, seed=7) for _ in range(2)]
    drawn = [[sampler.draw(logits) for _ in range(20)] for sampler in samplers]
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) > 1


def test_a_narrow_nucleus_is_greedy() -> None:
    logits = torch.randn(50, generator=torch.Generator().manual_seed(3))
    sampler = Sampler(temperature=1.0, top_p=1e-6, seed=1)
    assert {sampler.draw(logits) for _ in range(10)} == {int(logits.argmax())}


def test_rows_drawn_together_keep_to_their_nucleus_and_seed() -> None:
    logits = torch.randn(3, 50, generator=torch.Generator().manual_seed(3))

    def drawn() -> list[list[int]]:
        shapes = ((1e-3, 1.0), (1.0, 1e-6), (0.8, 0.5))
        samplers = [Sampler(temperature=t, top_p=p, seed=5) for t, p in shapes]
        return [draw_together(samplers, logits) for _ in range(40)]

    found = drawn()
    assert drawn() == found
    assert {tokens[0] for tokens in found} == {int(logits[0].argmax())}
    assert {tokens[1] for tokens in found} == {int(logits[1].argmax())}
    shares, ids = torch.softmax(logits[2] / 0.8, dim=-1).sort(descending=True)
    nucleus = set(ids[: int((shares.cumsum(-1) < 0.5).sum()) + 1].tolist())
    assert 1 < len({tokens[2] for tokens in found}) <= len(nucleus)
    assert {tokens[2] for tokens in found} <= nucleus


def test_rows_drawn_together_come_as_often_as_their_shares_say() -> None:
    logits = torch.tensor([[0.0, 1.0, 2.0, -1.0]])
    sampler = Sampler(temperature=1.0, top_p=1.0, seed=1)
    many = 4000
    found = draw_together([sampler] * many, logits.expand(many, 4))
    counts = torch.bincount(torch.tensor(found), minlength=4) / many
    assert torch.allclose(counts, torch.softmax(logits[0], -1), atol=0.03)
