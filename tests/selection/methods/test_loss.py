import dataclasses

import numpy as np
import pytest

from ntkjax.selection.methods import loss
from tests.oracles import normwise
from tests.selection.loss_oracle import explicit, rebatched
from tests.selection.small_problem import LONGEST, small_problem


def test_equals_explicit_losses():
    problem = small_problem()
    found = loss.score(problem)
    examples = problem.candidates.read(np.arange(9))
    expected, _ = explicit(problem.model, problem.snapshot.theta, examples, LONGEST)
    # float32 logits of size 10 round to 1e-6
    assert normwise(found.scores, expected) < 1e-5
    assert found.facts["mean_loss"] == pytest.approx(expected.mean(), rel=1e-5)


def test_batches_and_devices_do_not_matter():
    problem = small_problem()
    found = loss.score(rebatched(problem)).scores
    assert normwise(found, loss.score(problem).scores) < 1e-5


def test_the_target_does_not_matter_but_the_snapshot_does():
    problem = small_problem(num_snapshots=2)
    once = loss.score(problem).scores
    np.testing.assert_array_equal(loss.score(problem.limited_to([1])).scores, once)
    assert problem.candidates.computed == ["losses"]
    earlier = dataclasses.replace(problem, snapshots=problem.snapshots[:1])
    assert normwise(loss.score(earlier).scores, once) > 1e-3
    assert problem.candidates.computed == ["losses"] * 2
