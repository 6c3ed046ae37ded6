"""Facts of a run, made from parts; whole runs are in `test_select`."""

import math

import jax
import numpy as np
import pytest
import scipy.stats

from ntkjax.commands.select.facts import run_facts
from ntkjax.commands.select.inputs import read_inputs
from ntkjax.commands.select.pool_passes import PoolCandidates, Stages
from ntkjax.commands.select.result import Selection
from ntkjax.devices.mesh import data_mesh
from ntkjax.passes.run_pass import Batching
from ntkjax.selection.problem import Scored
from ntkjax.selection.result import SelectionResult
from ntkjax.store.results import read_result, write_result
from tests.commands.select.problem import (
    NUM_POOL,
    NUM_TARGET,
    settings_of,
    write_problem,
)
from tests.commands.world import write_records


@pytest.fixture
def facts(world, tmp_path):
    """Function (history, changes) ↦ the facts of a run that chose the first four."""
    write_problem(world)

    def facts(history=(), **changes):
        settings = settings_of(world, **changes)
        inputs = read_inputs(settings, world.model)
        stages = Stages(tmp_path / "stages", {}, 10)
        candidates = PoolCandidates(inputs.pool, inputs.encode, stages, {})
        scores = np.arange(NUM_POOL, 0, -1.0)
        rows = np.arange(NUM_POOL)
        tokens = candidates.lengths()
        found = Selection(tokens, None, rows, scores, rows, rows[:4])
        scored = Scored(scores, facts={"noted": 1})
        how = Batching("all", 64, 16, data_mesh()).fitted(tokens, NUM_POOL)
        assert found.tokens.max() <= 16
        given = (settings, inputs, found, scored, list(history), candidates, how)
        return run_facts(*given)

    return facts


def test_what_is_written_is_read_again(facts, tmp_path):
    found = facts()
    write_result(tmp_path / "selection.json", found)
    assert read_result(tmp_path / "selection.json", SelectionResult) == found
    assert (found.num_target, found.num_aim) == (NUM_TARGET, NUM_TARGET)
    assert (found.num_selected, found.num_neighbors) == (4, None)
    assert (found.num_pool, found.num_shortlisted) == (NUM_POOL, None)
    sample = found.distributions.length_score
    assert found.pool_tokens == sum(sample.tokens)
    chosen = zip(sample.tokens, sample.selected, strict=True)
    assert found.selected_tokens == sum(t for t, is_chosen in chosen if is_chosen)
    rank = scipy.stats.spearmanr(sample.tokens, sample.score).statistic
    assert found.length_score_spearman == pytest.approx(rank)
    assert found.method_facts == {"noted": 1}
    rows = 4 * len(jax.devices())  # of 16 tokens each, in shards of ten candidates
    shards = [min(10, NUM_POOL - start) for start in range(0, NUM_POOL, 10)]
    computed = sum(16 * rows * math.ceil(size / rows) for size in shards)
    assert found.padding == pytest.approx(computed / found.pool_tokens - 1)
    assert (found.method, found.kernel) == ("ntk", "summed")


def test_the_warm_up(facts):
    assert facts().warmup.kind == "adapter"
    rows = [{"step": k, "loss": 3.0 - k, "learning_rate": 0.1} for k in (1, 2)]
    found = facts(rows, warmup="pool", warmup_share=0.25).warmup
    assert (found.kind, found.examples, found.steps) == ("pool", 10, 2)
    assert (found.first_loss, found.last_loss) == (2.0, 1.0)
    assert facts(method="loss", adapter=None).warmup.kind == "none"


def test_dualsft_looks_at_a_share_of_the_target_or_at_files(facts, world):
    found = facts(method="dualsft", validation_share=0.5)
    assert (found.num_target, found.num_aim) == (NUM_TARGET, 4)
    assert (found.kernel, found.validation) == (None, ())
    path = world.root / "validation.jsonl"
    write_records(path, [{"id": "v", "text": "one more"}])
    found = facts(method="dualsft", validation=(path,))
    assert (found.num_aim, found.validation) == (1, (str(path),))
