"""Who makes what, what is refused, and formats in the words of compressed-tensors."""

import msgspec
import pytest

from qbench.errors import ConfigError, NotFound, Unsupported
from qbench.kernels.formats import FORMATS, fitted, get_format
from qbench.workers.quantize.calibration import Calibration
from qbench.workers.quantize.layouts import scheme_of, schemes
from qbench.workers.quantize.makers import MAKERS, OPTIONS, RECIPES, choose


def test_every_quantized_format_has_a_maker_and_no_other_has() -> None:
    assert set(MAKERS) == {name for name, fmt in FORMATS.items() if fmt.weights}
    assert all(recipes for recipes in MAKERS.values())


def test_the_formats_own_recipe_is_one_that_fits() -> None:
    for name in MAKERS:
        assert choose(name).recipe == FORMATS[name].recipe


@pytest.mark.parametrize(
    ("name", "recipe", "said"),
    [
        ("fp8", "awq", "What fits: rtn, mse"),
        ("bf16", "gptq", "no quantization"),
        ("w4a16", "smoothquant+gptq", "What fits: rtn, gptq, awq, mse"),
        ("mxfp4-mr", "awq", "What fits: rtn, gptq"),
    ],
)
def test_pairs_that_make_no_sense_are_refused_with_what_fits(
    name: str, recipe: str, said: str
) -> None:
    with pytest.raises(Unsupported, match=said):
        choose(name, recipe)


def test_unknown_names_get_close_ones() -> None:
    with pytest.raises(NotFound, match="gptq"):
        choose("w4a16", "gtpq")
    with pytest.raises(NotFound, match="dampening"):
        choose("w4a16", "gptq", options={"damping": 0.1})


def test_options_are_checked_against_their_defaults() -> None:
    assert choose("w4a16", "gptq", options={"dampening": 1}).options["dampening"] == 1
    assert choose("w4a16", "gptq").options == OPTIONS["gptq"]
    wrongs = ({"dampening": "much"}, {"block": 1.5}, {"block": True}, {"observer": "best"})
    for wrong in wrongs:
        with pytest.raises(ConfigError, match="cannot be"):
            choose("w4a16", "gptq", options=wrong)


def test_data_is_needed_where_it_changes_the_bytes() -> None:
    assert not choose("w4a16", "rtn").needs_data
    assert not choose("w4a16", "mse").needs_data
    assert not choose("fp8").needs_data
    assert choose("w4a16", "gptq").needs_data
    assert choose("nvfp4", "rtn").needs_data  # the global scale of inputs is stored
    assert not choose("nvfp4a16", "rtn").needs_data


def test_a_low_rank_correction_is_our_own_makers() -> None:
    assert choose("w4a16", "rtn", low_rank=16).maker == "own"
    assert choose("mxfp4-mr", low_rank=16).maker == "own"
    with pytest.raises(Unsupported, match="low-rank"):
        choose("w4a16", "awq", low_rank=16)


def test_mixed_layers_are_checked_against_the_maker() -> None:
    assert not choose("w4a16", others=["bf16", "w8a16"]).needs_data
    assert choose("w4a16", others=["nvfp4"]).needs_data  # a scale of inputs is stored
    assert choose("mxfp4-mr", others=["mxfp4"]).maker == "own"
    for other, said in (("nf4", "beside formats"), ("mxfp4-mr", "beside"), ("fp32", "bf16")):
        with pytest.raises(Unsupported, match=said):
            choose("w4a16", others=[other])


def test_schemes_are_fitted_and_leave_out_what_does_not_fit() -> None:
    found = schemes(get_format("w4a16"), {576, 1536, 49152, 9})
    assert set(found) == {"576", "1536", "49152"}
    assert found["576"]["weights"]["group_size"] == 64
    assert found["1536"]["weights"]["group_size"] == 128
    assert set(schemes(get_format("nvfp4"), {576, 24})) == {"576"}


def test_schemes_say_what_the_format_says() -> None:
    nvfp4 = scheme_of(fitted(get_format("nvfp4"), 576))
    assert nvfp4["weights"] == {
        "num_bits": 4,
        "type": "float",
        "symmetric": True,
        "strategy": "tensor_group",
        "dynamic": False,
        "group_size": 16,
        "scale_dtype": "torch.float8_e4m3fn",
        "zp_dtype": "torch.float8_e4m3fn",
    }
    assert nvfp4["input_activations"]["dynamic"] == "local"
    assert scheme_of(get_format("w4a16-awq"))["weights"]["symmetric"] is False
    assert scheme_of(get_format("fp8-block"))["weights"]["block_structure"] == [128, 128]
    assert scheme_of(get_format("w4a8"))["format"] == "pack-quantized"
    assert "input_activations" not in scheme_of(get_format("w8a16"))


def test_calibration_is_told_in_words_and_refuses_nonsense() -> None:
    assert Calibration().about == (
        "128 of mcp's training samples, at most 2048 tokens each, seed 0"
    )
    for samples, length, seed in ((0, 1, 0), (1, 0, 0), (1, 1, -1)):
        with pytest.raises(ConfigError):
            Calibration(samples=samples, length=length, seed=seed)


def test_recipes_are_the_formats_recipes() -> None:
    assert set(OPTIONS) == set(RECIPES)
    assert msgspec.json.encode(OPTIONS)
