"""Steps of single tokens over static memory give what the model itself gives."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

from qbench.errors import Unsupported
from qbench.kernels.formats import get_format
from qbench.kernels.linears.applying import apply_kernels
from qbench.workers.embedded import batching
from qbench.workers.embedded.batching import Batcher
from qbench.workers.embedded.cache import ATTENTION, Piece, Slots, Step
from qbench.workers.embedded.decoder import Decoder
from qbench.workers.embedded.graphs import Steps, sizes
from tests.generations import finished, prompts, submit

SHAPE: dict[str, Any] = {
    "vocab_size": 260,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "max_position_embeddings": 512,
    "initializer_range": 0.2,
    "attn_implementation": ATTENTION,
}


def model_of(kind: str, dtype: torch.dtype = torch.float32, **more: Any) -> nn.Module:
    """Make a model with random weights; fused, as on a GPU."""
    torch.manual_seed(7)
    made: nn.Module
    if kind == "llama":
        made = LlamaForCausalLM(LlamaConfig(**SHAPE | more))
    else:
        made = Qwen3ForCausalLM(Qwen3Config(**SHAPE | more))
        for name, parameter in made.named_parameters():
            if "norm" in name:
                parameter.data.uniform_(0.5, 1.5)
    for parameter in made.parameters():
        parameter.data = parameter.data.to(dtype)
    made.eval()
    return made


def fused(model: nn.Module) -> nn.Module:
    name = {torch.float32: "fp32", torch.bfloat16: "bf16"}[next(model.parameters()).dtype]
    apply_kernels(model, get_format(name))
    return model


def slots_of(model: nn.Module, count: int) -> Slots:
    config: Any = model.config
    made = Slots(config, count, 512, dtype=next(model.parameters()).dtype, device="cpu")
    made.keys.fill_(torch.nan)  # whoever reads what nobody wrote will show it
    made.values.fill_(torch.nan)
    return made


def computed(model: nn.Module, slots: Slots, pieces: Sequence[Piece], ids: list[int]) -> Tensor:
    """Return the model's own logits of a step."""
    step = Step(slots, pieces)
    with torch.inference_mode():
        out = model(
            input_ids=torch.tensor([ids]),
            position_ids=step.positions[None],
            use_cache=False,
            step=step,
        )
    found: Tensor = out.logits[0]
    return found


@pytest.mark.parametrize("kind", ["llama", "qwen3"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_step_equals_the_models_own(kind: str, dtype: torch.dtype) -> None:
    """Two sequences of different length, and a row of filling between them."""
    model = model_of(kind, dtype)
    first, second = prompts(2, 40)
    slots, others = slots_of(model, 3), slots_of(model, 3)
    for memory in (slots, others):
        computed(model, memory, [Piece(2, 0, len(first) - 1)], first[:-1])
        computed(model, memory, [Piece(0, 0, len(second) - 1)], second[:-1])
    pieces = [Piece(2, len(first) - 1, 1), Piece(0, len(second) - 1, 1)]
    expected = computed(model, slots, pieces, [first[-1], second[-1]])
    places = [(first[-1], 2, len(first) - 1), (0, 0, -1), (second[-1], 0, len(second) - 1)]
    given = torch.tensor(places, dtype=torch.int32).t()
    with torch.inference_mode():
        found = Decoder(fused(model), others, 4)(*given)[[0, 2]]
    near = 1e-5 if dtype == torch.float32 else 3e-2
    assert float((found - expected).norm() / expected.norm()) < near
    for mine, theirs in ((slots.keys, others.keys), (slots.values, others.values)):
        torch.testing.assert_close(mine, theirs, equal_nan=True, rtol=near, atol=near)


def test_steps_go_on_by_themselves() -> None:
    model = fused(model_of("llama"))
    slots, others = slots_of(model, 2), slots_of(model, 2)
    (tokens,) = prompts(1, 30)
    known = [*tokens]
    for _ in range(6):
        logits = computed(model, slots, [Piece(0, 0, len(known))], known)
        known.append(int(logits[-1].argmax()))
    computed(model, others, [Piece(1, 0, len(tokens) - 1)], tokens[:-1])
    steps = Steps(Decoder(model, others, 2), 2)
    with torch.inference_mode():
        flight = steps.launch([(tokens[-1], 1, len(tokens) - 1)])
        found = [flight.tokens()[0]]
        for _ in range(5):
            flight = steps.again(flight)
            found += flight.tokens()
    assert found == known[len(tokens) :]


@pytest.mark.parametrize("kind", ["llama", "qwen3"])
@pytest.mark.parametrize("together", [False, True])
def test_prompts_in_pieces_equal_the_models_own(kind: str, together: bool) -> None:
    """A new prompt, one that goes on, and two single tokens."""
    model = model_of(kind)
    texts = prompts(4, 40)
    slots, others = slots_of(model, 5), slots_of(model, 5)
    pasts = [0, 17, len(texts[2]) - 1, len(texts[3]) - 1]
    for memory in (slots, others):
        if together:
            memory.keys.zero_()
            memory.values.zero_()
        for slot, (tokens, past) in enumerate(zip(texts, pasts, strict=True)):
            if past:
                computed(model, memory, [Piece(slot, 0, past)], tokens[:past])
    counts = [len(tokens) - past for tokens, past in zip(texts, pasts, strict=True)]
    parts = zip(pasts, counts, strict=True)
    pieces = [Piece(slot, past, count) for slot, (past, count) in enumerate(parts)]
    flat = [t for tokens, past in zip(texts, pasts, strict=True) for t in tokens[past:]]
    expected = computed(model, slots, pieces, flat)
    step = Step(others, pieces, together=together)
    kept = torch.tensor([counts[0] - 1, 3, len(flat) - 1])
    with torch.inference_mode():
        found = Decoder(fused(model), others, 4).flat(step, torch.tensor(flat), kept)
    torch.testing.assert_close(found, expected[kept], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(others.keys, slots.keys, equal_nan=True, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("together", [False, True])
def test_a_batch_with_steps_gives_what_it_gives_without(
    monkeypatch: pytest.MonkeyPatch, together: bool
) -> None:
    """Sequences join, leave and end at different lengths while steps run ahead."""
    monkeypatch.setattr(batching, "Step", partial(Step, together=together))
    model = fused(model_of("llama"))
    asked = prompts(9, 12)
    plain = Batcher(model, slots_of(model, 6), concurrency=4)
    memory = slots_of(model, 6)
    if together:
        for one in (memory.keys, memory.values, plain._slots.keys, plain._slots.values):
            one.zero_()
    quick = Batcher(model, memory, concurrency=4, steps=Steps(Decoder(model, memory, 4), 4))
    said = []
    for batcher in (plain, quick):
        batcher.start()
        made = [submit(batcher, tokens, most=5 + 3 * n) for n, tokens in enumerate(asked)]
        said.append([finished(one) for one in made])
        batcher.close()
    assert said[0] == said[1]
    assert quick.meter.generated_tokens == plain.meter.generated_tokens
    assert quick.meter.prompt_tokens == plain.meter.prompt_tokens


def test_ends_are_heard_while_the_next_step_runs() -> None:
    model = fused(model_of("llama"))
    (tokens,) = prompts(1, 20)
    memory = slots_of(model, 3)
    batcher = Batcher(model, memory, concurrency=2, steps=Steps(Decoder(model, memory, 2), 2))
    batcher.start()
    whole = finished(submit(batcher, tokens, most=12))
    end = next(token for at, token in enumerate(whole) if token not in whole[:at] and at > 3)
    made = submit(batcher, tokens, most=12, ends=frozenset({end}))
    assert finished(made) == whole[: whole.index(end)]
    assert made[0].end == end
    assert finished(submit(batcher, tokens, most=12)) == whole
    batcher.close()


def test_other_models_are_left_to_the_eager_path() -> None:
    model = fused(model_of("llama"))
    config: Any = model.config
    config.hidden_act = "gelu"
    with pytest.raises(Unsupported, match="eager"):
        Decoder(model, slots_of(model, 1), 1)
    unfused = model_of("llama")
    with pytest.raises(Unsupported, match="not one product"):
        Decoder(unfused, slots_of(unfused, 1), 1)


def test_sizes_are_powers_of_two_up_to_the_widest() -> None:
    assert sizes(1) == [1]
    assert sizes(5) == [1, 2, 4, 8]
    assert sizes(64)[-1] == 64
