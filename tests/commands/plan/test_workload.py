import numpy as np
import pytest

from ntkjax.checkpoints.text_encoder import text_encoder
from ntkjax.commands.plan.run import read_selection
from ntkjax.commands.plan.settings import PlanSettings
from ntkjax.commands.plan.workload import Lengths, lengths_of, read_workload
from ntkjax.commands.select.inputs import read_inputs
from ntkjax.commands.select.settings import with_defaults
from ntkjax.data.examples import read_examples
from ntkjax.errors import InputError
from tests.commands.plan.problem import small_settings
from tests.commands.select.problem import settings_of, write_problem
from tests.commands.world import build_world


def test_lengths_are_padded_as_batches_are():
    found = lengths_of(np.array([100, 250, 250, 256]), (104, 256), 256)
    assert found.shares == ((104, 0.25), (256, 0.75))
    assert found.steps == ((112, 0.25), (256, 0.75))
    assert (found.longest, found.mean) == (256, 214)
    assert found.commonest == 256


def test_few_examples_join_longer_ones():
    lengths = Lengths(((16, 0.1), (32, 0.6), (64, 0.3)), 20.0)
    assert lengths.merged(100, lambda length: 10) == lengths
    assert lengths.merged(50, lambda length: 8).shares == ((32, 0.7), (64, 0.3))
    assert lengths.merged(50, lambda length: 80 // length) == lengths
    assert lengths.merged(5, lambda length: 8).shares == ((64, 1.0),)


def test_a_step_is_as_long_as_its_longest():
    halves = ((16, 0.5), (32, 0.5))
    found = Lengths(halves, 20.0).of_longest(3)
    assert found.shares == ((16, 0.125), (32, 0.875))
    assert Lengths(((32, 1.0),), 20.0, halves).of_longest(3) == found


def test_without_files_the_flags_count(tmp_path):
    found = read_workload(small_settings(max_length=100), tmp_path)
    assert (found.num_pool, found.num_target) == (100, 5)
    assert found.pool.shares == ((100, 1.0),)
    found = read_workload(small_settings(tokens_per_example=30), tmp_path)
    assert found.pool.mean == 30


def test_files_are_counted_and_tokenized(tmp_path):
    world = build_world(tmp_path)
    settings = small_settings(
        pool=(world.candidates,),
        num_pool=None,
        target=(world.queries,),
        num_target=7,
        max_length=24,
    )
    found = read_workload(settings, world.model)
    assert (found.num_pool, found.num_target) == (30, 7)
    encode = text_encoder(world.model, 24)
    tokens = [len(e.tokens) for e in encode(read_examples((world.candidates,)))]
    assert found.pool == lengths_of(np.array(tokens), (24,), 24)
    (world.model / "tokenizer.json").unlink()
    assert read_workload(settings, world.model).pool.mean == 24


def test_too_few_rows_are_refused(tmp_path):
    world = build_world(tmp_path)
    small = small_settings(pool=(world.candidates,), num_pool=None, budget=31)
    with pytest.raises(InputError, match="budget 31: the pool has only 30"):
        read_workload(small, tmp_path)
    few = small_settings(target=(world.queries,), num_target=21)
    with pytest.raises(InputError, match="num_target 21: there are only 20"):
        read_workload(few, world.model)


@pytest.mark.parametrize("warmup", ["target", "pool", "none"])
@pytest.mark.parametrize(
    "changes",
    [
        {"method": "ntk"},
        {"method": "dualsft", "validation_share": 0.4},
        {"method": "dualsft", "validation": True},
    ],
    ids=["ntk", "share", "validation"],
)
def test_select_reads_as_many(world, changes, warmup):
    """For the warm-up, and for what the method looks at."""
    write_problem(world)
    given = {"warmup": warmup, "adapter": None, **changes}
    if "validation" in changes:
        given["validation"] = (world.queries,)
    settings = with_defaults(settings_of(world, **given))
    inputs = read_inputs(settings, world.model)
    planned = read_selection(PlanSettings(**vars(settings)), world.model)
    assert planned.workload.num_target == len(inputs.examples)
    assert planned.counts.target == len(inputs.aim)
    assert planned.warmup_examples == len(inputs.warmup)
    if "validation" in changes:
        tokens = [len(example.tokens) for example in inputs.encode(inputs.aim)]
        assert planned.workload.of("target") == lengths_of(np.array(tokens), (16,), 16)
