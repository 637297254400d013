"""The layer time: kernels by GPU and engine, calibration, what it refuses."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

from qbench.errors import NotFound, StoreError, Unsupported
from qbench.kernels.layertime.agreement import agreement
from qbench.kernels.layertime.endtoend import EndToEnd, Served, measured, read
from qbench.kernels.layertime.kernels import Kernels, is_gpu, kernels_of
from qbench.kernels.layertime.serving import Overhead, Traffic, largest_batch
from qbench.kernels.layertime.transformer import Transformer, transformer_of
from qbench.kernels.sizes import LLAMA_8B
from qbench.kernels.speed.shapes import DECODERS
from tests.layer_rows import GPU, MADE, SETTING, Made, made_kernels, made_rows

MODEL = Transformer(decoder=DECODERS["llama-3.1-8b"], shape=LLAMA_8B)
TRUTH = Overhead(per_layer=2e-5, per_cached_byte=2e-13)
CONFIG = measured()[0].config


def engine_rows(formats: dict[str, str], *, slower: float = 1.0, doubt: str = "") -> EndToEnd:
    """Make what an engine with a known overhead would measure; others are slower by a factor."""
    kernels = made_kernels()
    rows = []
    for fmt, kernel in formats.items():
        time = kernels.layer_time(MODEL, fmt, kernel, TRUTH)
        for streams in (1, 64, 256):
            rate = time.tokens_per_second(Traffic(prompt=512, output=128, batch=streams))
            rate /= 1.0 if fmt == "bf16" else slower
            rows.append(
                Served(
                    format=fmt, kernel=kernel, streams=streams, tokens_per_second=rate, doubt=doubt
                )
            )
    return EndToEnd(
        gpu=GPU,
        engine="vllm",
        engine_version="0",
        model="Llama-3.1-8B",
        config=CONFIG,
        prompt=512,
        output=128,
        date="2026-11-26",
        source="made up",
        rows=tuple(rows),
    )


def test_the_config_of_a_model_and_the_timed_decoder_agree() -> None:
    found = transformer_of(CONFIG, "llama-3.1-8b")
    assert found.decoder == MODEL.decoder
    assert found.shape.linears == MODEL.shape.linears
    assert sum(one.rows * one.columns * one.count for one in found.products) == sum(
        one.weights for one in found.shape.linears
    )


def test_the_cache_of_a_token_of_an_8b_model_is_128_kib() -> None:
    assert MODEL.cache_bytes == 128 * 1024


def test_calibration_on_16_bits_finds_the_overhead_and_predicts_the_rest() -> None:
    known = engine_rows({"bf16": "cublas", "fp8": "cutlass product", "w4a16": "machete"})
    found = agreement(made_kernels(), "vllm", [known])
    assert found.overhead.per_layer == pytest.approx(TRUTH.per_layer, rel=1e-6)
    assert found.overhead.per_cached_byte == pytest.approx(TRUTH.per_cached_byte, rel=1e-6)
    assert found.error == pytest.approx(0.0, abs=1e-6)
    assert [row.calibrated for row in found.rows] == [True] * 3 + [False] * 6


def test_other_formats_never_move_the_overhead() -> None:
    formats = {"bf16": "cublas", "w4a16": "machete"}
    found = agreement(made_kernels(), "vllm", [engine_rows(formats, slower=1.25)])
    assert found.overhead.per_layer == pytest.approx(TRUTH.per_layer, rel=1e-6)
    assert found.error == pytest.approx(0.25)


def test_one_16_bit_row_gives_an_overhead_per_layer_alone() -> None:
    whole = engine_rows({"bf16": "cublas"})
    found = agreement(made_kernels(), "vllm", [replace(whole, rows=whole.rows[:1])])
    assert found.overhead.per_cached_byte == 0
    assert found.overhead.per_layer > TRUTH.per_layer


def test_steps_timed_by_themselves_tell_what_prompts_take_beside_their_products() -> None:
    truth = replace(TRUTH, per_prompt_token=3e-5)
    whole = engine_rows({"bf16": "cublas"})
    time = made_kernels().layer_time(MODEL, "bf16", "cublas", truth)
    rows = []
    for row in whole.rows:
        traffic = whole.traffic(row)
        rate = time.tokens_per_second(traffic)
        step = time.decode(row.streams, 640).seconds
        rows.append(replace(row, tokens_per_second=rate, step_s=step))
    found = agreement(made_kernels(), "vllm", [replace(whole, rows=tuple(rows))])
    assert found.overhead.per_layer == pytest.approx(truth.per_layer, rel=1e-6)
    assert found.overhead.per_cached_byte == pytest.approx(truth.per_cached_byte, rel=1e-6)
    assert found.overhead.per_prompt_token == pytest.approx(truth.per_prompt_token, rel=1e-6)
    assert [row.what for row in found.rows] == ["requests", "step"] * 3
    assert all(abs(row.error) < 1e-6 for row in found.rows)


def test_doubted_rows_judge_nothing_and_calibrate_nothing() -> None:
    known = engine_rows(
        {"bf16": "cublas", "fp8": "cutlass product"}, doubt="the client was the limit"
    )
    found = agreement(made_kernels(), "vllm", [known])
    assert found.overhead == Overhead()
    assert found.error is None
    assert "no overhead" in found.note


def test_an_engine_that_nobody_measured_has_no_error_and_says_so() -> None:
    found = agreement(made_kernels(), "embedded", [engine_rows({"bf16": "cublas"})])
    assert found.error is None
    assert found.rows == ()
    assert "embedded was never measured" in found.note


def test_engines_take_their_own_kernels() -> None:
    kernels = made_kernels()
    assert kernels.taken("w4a16", "embedded").contestant == "qbench"
    assert kernels.taken("w4a16", "vllm").contestant == "machete"
    assert kernels.taken("bf16", "machete").contestant == "cublas"
    assert kernels.formats("vllm") == ("bf16", "fp8", "w4a16")
    with pytest.raises(NotFound, match="No kernel of vllm was timed in w8a8"):
        kernels.taken("w8a8", "vllm")


def test_rounding_is_added_where_the_rows_leave_it_out() -> None:
    parts = [Made("bf16", "cublas"), Made("fp8", "qbench", "fp8", part="product")]
    apart = made_kernels(parts).layer_time(MODEL, "fp8", "embedded").decode(64, 100)
    whole = made_kernels().layer_time(MODEL, "fp8", "embedded").decode(64, 100)
    added = 32 * (3 * 4096 - 2 * 4096 - 14336)  # a byte less of each norm's and gate's numbers
    assert apart.small - whole.small == pytest.approx(64 * added / 3e12)


def test_the_newest_measurement_of_a_product_counts() -> None:
    rows = made_rows(MADE[:1], ["llama-3.1-8b"])
    later = replace(SETTING, date="2026-12-01")
    again = [replace(row, setting=later, median_us=2 * row.median_us) for row in rows]
    kernels = Kernels([*again, *rows])
    found = kernels.taken("bf16", "embedded").curve.seconds(4096, 4096, 1)
    assert found.value == pytest.approx(
        2 * made_kernels().taken("bf16", "cublas").curve.seconds(4096, 4096, 1).value
    )


def test_an_engine_takes_16_bits_from_the_days_on_which_its_kernels_were_timed() -> None:
    before = made_rows()
    later = replace(SETTING, date="2027-01-01T00:00:00+00:00")
    both = [
        *before,
        *(
            replace(row, setting=later, median_us=row.median_us * 1.2)
            for row in before
            if row.contestant == "cublas"
        ),
    ]
    known = engine_rows({"bf16": "cublas", "fp8": "cutlass product", "w4a16": "machete"})
    assert agreement(Kernels(both), "vllm", [known]).error == pytest.approx(0.0, abs=1e-6)
    assert agreement(Kernels(both), "embedded", [known]).rows == ()
    slower = Kernels(both).layer_time(MODEL, "bf16", "cublas").decode(1, 640).seconds
    assert slower > Kernels(before).layer_time(MODEL, "bf16", "cublas").decode(1, 640).seconds


@pytest.mark.parametrize(
    ("wanted", "name", "same"),
    [
        ("h100", "NVIDIA H100 80GB HBM3", True),
        ("h100-sxm", "NVIDIA H100 80GB HBM3", True),
        ("nvidia-h100-80gb-hbm3", "NVIDIA H100 80GB HBM3", True),
        ("h100-pcie", "NVIDIA H100 80GB HBM3", False),
        ("h200", "NVIDIA H100 80GB HBM3", False),
        ("", "NVIDIA H100 80GB HBM3", False),
    ],
)
def test_gpus_are_known_by_the_names_people_use(wanted: str, name: str, *, same: bool) -> None:
    assert is_gpu(wanted, name) is same


def test_a_gpu_without_rows_names_the_command_that_times_it() -> None:
    with pytest.raises(NotFound, match="qbench kernels speed"):
        kernels_of(made_rows(MADE[:1]), "l40s")
    with pytest.raises(NotFound, match="no GPU"):
        kernels_of([], "h100")


def test_two_shapes_are_too_few_to_guess_a_third() -> None:
    rows = [row for row in made_rows(MADE[:1], ["llama-3.1-8b"]) if row.layer in ("o", "down")]
    curve = Kernels(rows).taken("bf16", "embedded").curve
    assert not curve.seconds(4096, 4096, 3).extrapolated
    with pytest.raises(Unsupported, match="too few"):
        curve.seconds(1000, 1000, 3)


def test_what_is_extrapolated_says_so_and_how_far_it_may_be_off() -> None:
    curve = made_kernels().taken("w4a16", "embedded").curve
    found = curve.seconds(6144, 2048, 16)
    assert found.extrapolated
    assert found.error == curve.error > 0


def test_memory_bounds_the_batch() -> None:
    assert largest_batch(72e9, 16e9, MODEL.cache_bytes, 640) == int(56e9 / 131072 / 640)
    assert largest_batch(8e9, 16e9, MODEL.cache_bytes, 640) == 0


def test_prompts_are_read_in_passes_of_at_most_8192_tokens() -> None:
    time = made_kernels().layer_time(MODEL, "bf16", "embedded")
    one, two = time.prefill(512, 16), time.prefill(512, 17)
    assert one.head == pytest.approx(time.prefill(8192, 1).head, rel=0.1)
    assert two.head > 1.9 * one.head


def test_the_shipped_measurements_can_be_read_and_name_their_source() -> None:
    (vllm,) = (one for one in measured() if one.engine == "vllm")
    assert "measured.md" in vllm.source
    assert {row.streams for row in vllm.rows} == {1, 64, 256}
    assert all(row.low is None or row.low <= row.tokens_per_second for row in vllm.rows)


def test_a_file_of_something_else_is_refused_by_name() -> None:
    with pytest.raises(StoreError, match=r"mine\.json holds no end-to-end"):
        read(msgspec.json.encode({"gpu": "x"}), "mine.json")
