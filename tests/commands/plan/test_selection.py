import pytest

from ntkjax.errors import InputError
from ntkjax.training.settings import TrainingSettings
from tests.commands.plan.problem import small_selection
from tests.problems import tiny_config


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
    assert small_selection(kernel=kernel).num_probes == probes


def test_a_soft_cap_makes_the_exact_kernel_dear():
    config = tiny_config(final_softcap=5.0)
    assert small_selection(config, kernel="exact").num_probes == 40


@pytest.mark.parametrize("kernel", ["spectral", "summed_2", "deflated_4", "best"])
def test_an_unknown_kernel_is_refused(kernel):
    with pytest.raises(InputError, match="expected summed, exact"):
        _ = small_selection(kernel=kernel).num_probes


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
