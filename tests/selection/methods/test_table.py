import numpy as np
import pytest

from ntkjax.errors import InputError
from ntkjax.selection.methods.table import METHODS, named_method
from ntkjax.selection.options import MethodOptions, SketchOptions
from ntkjax.selection.pickers.table import PICKERS
from tests.selection.small_problem import small_problem


def test_names_are_those_of_the_command():
    assert list(METHODS) == [
        "ntk",
        "dualsft",
        "less",
        "rds",
        "dsir",
        "vote",
        "embedding",
        "gradient-dot",
        "cosine",
        "fisher",
        "loss",
        "random",
        "length-matched",
    ]
    for name, method in METHODS.items():
        assert named_method(name) is method
        assert method.picker in PICKERS
        assert method.warmup in ("target", "pool", "none")
        assert method.shortlist in ("vote", "none")
    with pytest.raises(InputError, match="method best: expected one of ntk, dualsft"):
        named_method("best")


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_methods_keep_their_word(name):
    """Finite scores of all candidates; features where the table promises them."""
    options = MethodOptions(sketch=SketchOptions(64))
    problem = small_problem(moments=True, options=options)
    method = METHODS[name]
    method.check(problem.outline)
    found = method.score(problem)
    k = len(problem.candidates)
    assert found.scores.shape == (k,)
    assert np.isfinite(found.scores).all()
    assert (found.features is not None) == ("features" in method.gives)
    assert (found.rankings is not None) >= method.ranks_itself
    if found.features is not None:
        positions = np.array([5, 2])
        both = found.features(positions)
        every = found.features(np.arange(k))
        assert len(both) == 2
        np.testing.assert_allclose(both, every[positions], rtol=1e-6, atol=1e-7)
