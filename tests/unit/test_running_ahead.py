"""What a batch asks beside greedy answers, with steps that run ahead of the host."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from qbench.kernels.formats import get_format
from qbench.kernels.linears.applying import apply_kernels
from qbench.workers.embedded.batching import Batcher
from qbench.workers.embedded.cache import Slots
from qbench.workers.embedded.decoder import Decoder
from qbench.workers.embedded.grammar import Grammars
from qbench.workers.embedded.graphs import Steps
from qbench.workers.embedded.loading import Loaded, load
from qbench.workers.embedded.scores import Scores
from tests.generations import Made, finished, prompts, submit
from tests.tiny_model import save_tiny_model

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"day": {"enum": ["Mon", "Tue"]}, "n": {"type": "integer", "maximum": 99}},
    "required": ["day", "n"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    made = load(save_tiny_model(tmp_path_factory.mktemp("tiny")), "fp32", device="cpu")
    apply_kernels(made.model, get_format("fp32"))  # one product of several layers, as on a GPU
    return made


def batcher_of(loaded: Loaded, *, ahead: bool) -> Batcher:
    config: Any = loaded.model.config
    slots = Slots(config, 8, 512, dtype=torch.float32, device="cpu")
    steps = Steps(Decoder(loaded.model, slots, 6), 6) if ahead else None
    made = Batcher(loaded.model, slots, concurrency=6, steps=steps)
    made.start()
    return made


@pytest.fixture
def pair(loaded: Loaded) -> Iterator[tuple[Batcher, Batcher]]:
    made = batcher_of(loaded, ahead=False), batcher_of(loaded, ahead=True)
    yield made
    for one in made:
        one.close()


def mixed(batcher: Batcher, loaded: Loaded) -> list[Made]:
    """Ask for greedy, drawn, guided and scored answers at the same time."""
    texts = prompts(5, 25)
    grammars = Grammars(loaded.tokenizer, len(loaded.tokenizer))
    return [
        submit(batcher, texts[0], most=20),
        submit(batcher, texts[1], most=15, temperature=0.9, seed=11),
        submit(batcher, texts[2], most=60, guide=grammars.for_schema(SCHEMA)),
        submit(batcher, texts[3], most=9, scores=Scores(top=3, of_prompt=True)),
        submit(batcher, texts[4], most=40),
    ]


def test_everything_that_can_be_asked_is_answered_alike(
    loaded: Loaded, pair: tuple[Batcher, Batcher]
) -> None:
    plain, ahead = (mixed(batcher, loaded) for batcher in pair)
    said, too = [finished(one) for one in plain], [finished(one) for one in ahead]
    assert said == too
    found = json.loads(str(loaded.tokenizer.decode(too[2])))
    assert found["day"] in ("Mon", "Tue")
    for one, other in zip(plain, ahead, strict=True):
        if one[0].scores is None or other[0].scores is None:
            continue
        for mine, theirs in (
            (one[0].scores.prompt, other[0].scores.prompt),
            (one[0].scores.generated, other[0].scores.generated),
        ):
            assert [score.token for score in mine] == [score.token for score in theirs]
            assert [score.logprob for score in mine] == pytest.approx(
                [score.logprob for score in theirs], abs=1e-4
            )


def test_who_leaves_makes_room_and_disturbs_nobody(pair: tuple[Batcher, Batcher]) -> None:
    plain, ahead = pair
    texts = prompts(8, 20)
    expected = [finished(submit(plain, tokens, most=30)) for tokens in texts[6:]]
    stuck = [submit(ahead, tokens, most=400) for tokens in texts[:6]]
    for _, heard in stuck:
        heard.get(timeout=60)  # all of them run
    made = [submit(ahead, tokens, most=30) for tokens in texts[6:]]
    for generation, _ in stuck[:3]:
        generation.cancelled = True
    assert [finished(one) for one in made] == expected
    assert all(not generation.finish for generation, _ in stuck[:3])


def test_a_prompt_that_comes_again_is_reused(pair: tuple[Batcher, Batcher]) -> None:
    _, ahead = pair
    (tokens,) = prompts(1, 80)
    first, again = submit(ahead, tokens), None
    said = finished(first)
    again = submit(ahead, tokens)
    assert finished(again) == said
    assert again[0].cached == len(tokens) - 1
    longer = submit(ahead, [*tokens, *said])
    assert finished(longer)
    assert longer[0].cached >= len(tokens) + len(said) - 1


def test_who_has_ended_is_computed_once_more_and_never_again(
    loaded: Loaded, pair: tuple[Batcher, Batcher]
) -> None:
    """Else it would write beyond its slot while others go on."""
    texts = prompts(2, 20)
    whole = finished(submit(pair[0], texts[0], most=30))
    end = next(token for at, token in enumerate(whole) if at > 2 and token not in whole[:at])
    config: Any = loaded.model.config
    slots = Slots(config, 4, 128, dtype=torch.float32, device="cpu")
    slots.keys.fill_(torch.nan)
    steps = Steps(Decoder(loaded.model, slots, 2), 2)
    batcher = Batcher(loaded.model, slots, concurrency=2, steps=steps)
    batcher.start()
    ended = submit(batcher, texts[0], most=90, ends=frozenset({end}))
    made = [ended, submit(batcher, texts[1], most=90)]
    for one in made:
        finished(one)
    batcher.close()
    assert ended[0].end == end
    for generation, _ in made:
        written = ~slots.keys[0, generation.slot, 0, :, 0].isnan()
        assert len(generation.tokens) - 1 <= int(written.sum()) <= len(generation.tokens) + 1
