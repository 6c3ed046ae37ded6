import numpy as np

from ntkjax.selection.embedding_pass import embedded
from ntkjax.selection.methods.embedding import score
from ntkjax.selection.options import MethodOptions
from ntkjax.selection.rows import unit_rows
from tests.selection.small_problem import small_problem


def test_mean_cosine_to_the_target():
    problem = small_problem(options=MethodOptions(embedding="last"))
    found = score(problem)
    both = embedded(problem, "last")
    pool = np.concatenate(list(both.tiles()))
    expected = (unit_rows(pool) @ unit_rows(both.target).T).mean(axis=1)
    assert np.abs(found.scores - expected).max() < 1e-10  # cosines are rounded to it
    assert np.ptp(found.scores) > 1e-3
    assert found.facts == {"pooling": "last"}
    assert found.rankings is None


def test_inner_products_of_features_are_cosines():
    problem = small_problem()
    found = score(problem)
    pool = unit_rows(np.concatenate(list(embedded(problem, "all").tiles())))
    features = found.features(np.array([5, 2]))
    assert np.abs(features @ features.T - pool[[5, 2]] @ pool[[5, 2]].T).max() < 1e-6


def test_shares_its_pass():
    problem = small_problem()
    found = score(problem)
    found.features(np.arange(3))
    score(problem)
    assert problem.candidates.computed == ["embeddings"]
