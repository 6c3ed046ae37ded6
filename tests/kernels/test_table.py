import pytest

from ntkjax.errors import InputError
from ntkjax.kernels.readout import read_readout
from ntkjax.kernels.table import (
    DEFAULT_KERNELS,
    check_kernel,
    kernel_summaries,
    named_kernel,
    num_probes,
    possible_kernels,
)
from ntkjax.models.lora import LoraSettings
from tests.kernels.problem import cached_problem


NAMES = [
    ("exact", 12),
    ("full_vocabulary", 40),
    ("summed", 1),
    ("centered", 13),
    ("spectral_4", 4),
    ("random_16", 16),
    ("deflated_4_12", 16),
    ("centered_spectral_2", 2),
    ("centered_random_3", 3),
    ("centered_deflated_2_5", 7),
    ("centered_full_vocabulary", 40),
]


@pytest.mark.parametrize(("name", "outputs"), NAMES)
def test_names_make_kernels_of_that_name(name, outputs):
    readout = read_readout(cached_problem().model)
    kernel = named_kernel(name, readout, seed=0)
    assert (kernel.name, kernel.num_outputs) == (name, outputs)
    assert num_probes(name, readout) == outputs
    assert len(set(kernel.labels)) == outputs


@pytest.mark.parametrize(
    "name",
    [
        "sumed",
        "spectral",
        "spectral_1_2",
        "exact_3",
        "spectral4",
        "spectral_4_",
        "centered_centered",
        "",
    ],
)
def test_unknown_names_list_the_known_ones(name):
    with pytest.raises(InputError, match=r"there are exact, .*deflated_RANK_PROBES"):
        named_kernel(name, read_readout(cached_problem().model), seed=0)


def test_a_name_that_no_model_can_have_is_refused_without_one():
    for name in (*DEFAULT_KERNELS, "exact", "spectral_9999", "centered_random_3"):
        check_kernel(name, "kernel")
    for name in ("random", "random_0", "deflated_4_0", "centered_summed", "x"):
        with pytest.raises(InputError) as caught:
            check_kernel(name, "kernel")
        assert str(caught.value).startswith(f"kernel {name}: ")


def test_one_kernel_has_one_name():
    with pytest.raises(InputError, match="is called centered"):
        named_kernel("centered_exact", read_readout(cached_problem().model), seed=0)


def test_centered_summed_is_refused():
    with pytest.raises(InputError, match="gradient vanishes"):
        named_kernel("centered_summed", read_readout(cached_problem().model), seed=0)


def test_default_kernels_leave_out_what_the_readout_rules_out():
    readout = read_readout(cached_problem().model)  # 12 eigenpairs
    left_out = {"spectral_16"}
    assert set(possible_kernels(readout)) == set(DEFAULT_KERNELS) - left_out
    lora = LoraSettings(rank=2, targets=("q_proj", "lm_head"))
    readout = read_readout(cached_problem(lora=lora).model)
    expected = ("summed", "centered", "random_1", "random_16")
    assert possible_kernels(readout) == expected


def test_summaries_are_called_as_users_write_them():
    found = dict(kernel_summaries())
    assert {"exact", "spectral_RANK", "deflated_RANK_PROBES"} < set(found)
    assert all(found.values())
