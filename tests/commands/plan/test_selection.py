import itertools
from dataclasses import replace

import pytest

from ntkjax.checkpoints.loading import load_model
from ntkjax.commands.plan.run import read_selection
from ntkjax.errors import InputError
from ntkjax.kernels.readout import read_readout
from ntkjax.kernels.table import KERNELS, named_kernel
from ntkjax.models.lora import LAYER_MATRICES, LoraSettings
from ntkjax.runs.model import LoraOptions
from ntkjax.selection.methods.ntk import count_probes
from ntkjax.training.settings import TrainingSettings
from tests.commands.plan.problem import small_selection, small_settings
from tests.golden.parity import folders


FOLDERS = [folder for paths in folders().values() for folder in paths]


@pytest.mark.parametrize(
    ("kernel", "probes"),
    [
        ("summed", 1),
        ("exact", 12),
        ("centered", 13),
        ("spectral_4", 4),
        ("deflated_4_12", 16),
        ("centered_random_3", 3),
        ("full_vocabulary", 40),
    ],
)
def test_kernels_have_so_many_probes(kernel, probes):
    assert count_probes(small_selection(kernel=kernel).outline) == probes


TARGETS = (
    LAYER_MATRICES,
    ("q_proj", "v_proj"),
    ("lm_head",),
    (*LAYER_MATRICES, "lm_head"),
)


def kernel_names() -> list[str]:
    """Every kernel with every mixture of some numbers, centered as well."""
    numbers = ("0", "1", "4", "24", "25")
    names = [
        "_".join([row.name, *chosen])
        for row in KERNELS.values()
        for chosen in itertools.product(numbers, repeat=row.numbers.count("_"))
    ]
    return [*names, *(f"centered_{name}" for name in names), "best", "summed_2"]


def said(function, *args):
    """What it gives, or why it does not, without the flag in front."""
    try:
        return function(*args)
    except InputError as error:
        return error.message


@pytest.mark.slow
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: "-".join(path.parts[-2:]))
@pytest.mark.parametrize("targets", TARGETS, ids=lambda targets: targets[-1])
def test_plan_counts_and_refuses_as_the_kernels_of_select_do(folder, targets):
    """For every family, kernel and place of θ; a tied head has no lm_head to adapt."""
    settings = small_settings(lora=LoraOptions(rank=2, targets=targets))
    model = said(load_model, folder, LoraSettings(rank=2, targets=targets))
    planned = said(read_selection, settings, folder)
    if isinstance(model, str):
        assert planned == model
        return
    readout = read_readout(model)
    found = {
        name: (
            said(count_probes, replace(planned, settings=changed).outline),
            said(lambda name: named_kernel(name, readout, 0).num_outputs, name),
        )
        for name in kernel_names()
        for changed in [replace(settings, kernel=name)]
    }
    assert {name: both for name, both in found.items() if len(set(both)) > 1} == {}


def test_the_shortlist_is_four_times_the_budget():
    assert small_selection().scored == 40
    assert small_selection(shortlist_size=15).scored == 15
    assert small_selection(budget=60).scored == 100
    assert small_selection(shortlist="none").scored == 100
    assert small_selection(budget=None, budget_tokens=320).budget == 20


@pytest.mark.parametrize(
    ("training", "seen", "snapshots"),
    [
        (TrainingSettings(), 15, 1),  # one step
        (TrainingSettings(batch_size=5), 15, 3),
        (
            TrainingSettings(batch_size=5, epochs=20.0),
            100,
            7,
        ),  # at most eight: each third
        (TrainingSettings(batch_size=2, steps=3), 6, 1),
        (TrainingSettings(batch_size=2, token_budget=100), 8, 2),
    ],
)
def test_the_warm_up_sees_so_many_examples(training, seen, snapshots):
    found = small_selection(training=training)
    assert (found.warmup_seen, found.snapshots) == (seen, snapshots)


def test_warm_ups_take_the_target_or_a_share_of_the_pool():
    assert small_selection(warmup="target").warmup_examples == 5
    assert small_selection(warmup="pool").warmup_examples == 5  # 5% of 100
    none = small_selection(warmup="none")
    assert (none.warmup_examples, none.warmup_seen, none.snapshots) == (0, 0, 1)
