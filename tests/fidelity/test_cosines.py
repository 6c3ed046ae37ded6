from dataclasses import asdict

import numpy as np
import pytest

from ntkjax.fidelity.cosines import output_cosines
from ntkjax.math.bootstrap import bootstrap_rows


def draw(seed=0, num=6, outputs=5, width=8):
    grads = np.random.default_rng(seed).normal(size=(num, outputs, width)) + 0.4
    return grads, np.einsum("njp,nkp->njk", grads, grads)


def cosines_by_loop(grads):
    found = []
    for query in grads:
        for j in range(len(query)):
            for k in range(j):
                lengths = np.linalg.norm(query[j]) * np.linalg.norm(query[k])
                found.append(query[j] @ query[k] / lengths if lengths else None)
    return np.array([cosine for cosine in found if cosine is not None])


def test_loop_oracle():
    grads, blocks = draw()
    found = output_cosines(blocks, bootstrap_rows(6, 400, 0))
    cosines = cosines_by_loop(grads)
    assert found.signed.mean.value == pytest.approx(cosines.mean())
    assert found.signed.std == pytest.approx(cosines.std())
    assert found.absolute.mean.value == pytest.approx(np.abs(cosines).mean())
    assert found.absolute.quantiles.q75 == pytest.approx(
        np.quantile(np.abs(cosines), 0.75)
    )
    assert found.num_pairs == len(cosines) == 6 * 10
    assert sum(found.histogram) == found.num_pairs
    for count, low, high in zip(
        found.histogram, found.edges, found.edges[1:], strict=False
    ):
        assert count == ((cosines >= low) & (cosines < high)).sum()
    assert found.signed.mean.low < found.signed.mean.value < found.signed.mean.high


def test_intervals_resample_queries():
    grads, blocks = draw(1)
    rows = bootstrap_rows(6, 50, 0)
    means = [cosines_by_loop(grads[row]).mean() for row in rows]
    found = output_cosines(blocks, rows).signed.mean
    assert (found.low, found.high) == pytest.approx(
        tuple(np.quantile(means, [0.025, 0.975]))
    )


def test_closed_forms():
    rows = bootstrap_rows(3, 20, 0)
    shared = output_cosines(np.ones((3, 4, 4), np.float32), rows)
    assert (shared.signed.mean.value, shared.histogram[-1]) == (1, 18)
    apart = output_cosines(np.tile(np.eye(4), (3, 1, 1)), rows)
    assert (apart.absolute.mean.high, apart.histogram[20]) == (0, 18)
    opposed = output_cosines(np.tile([[4.0, -6.0], [-6.0, 9.0]], (3, 1, 1)), rows)
    assert (opposed.signed.mean.value, opposed.absolute.mean.value) == (-1, 1)
    assert len(opposed.edges) == 42


def test_length_of_gradients_does_not_matter():
    grads, blocks = draw(2)
    scale = np.random.default_rng(0).uniform(0.1, 10, (6, 5, 1))
    rows = bootstrap_rows(6, 20, 0)
    once = output_cosines(blocks, rows)
    scaled = output_cosines(
        np.einsum("njp,nkp->njk", scale * grads, scale * grads), rows
    )
    assert asdict(once.signed.mean) == pytest.approx(asdict(scaled.signed.mean))


def test_zero_gradients_are_left_out_and_counted():
    grads, _ = draw(3)
    grads[0, 1] = 0
    grads[2] = 0
    blocks = np.einsum("njp,nkp->njk", grads, grads)
    # The first resample holds nothing but the query without a gradient.
    rows = np.concatenate([np.full((1, 6), 2), bootstrap_rows(6, 100, 0)])
    found = output_cosines(blocks, rows)
    assert found.num_zero_outputs == 6
    assert found.num_pairs == 4 * 10 + 6
    cosines = cosines_by_loop(grads)
    assert found.signed.mean.value == pytest.approx(cosines.mean())
    assert found.signed.std == pytest.approx(cosines.std())
    assert found.signed.mean.low > 0


def test_what_is_no_gram_matrix_is_refused():
    rows = bootstrap_rows(2, 5, 0)
    with pytest.raises(ValueError, match="negative diagonal"):
        output_cosines(np.tile(-np.eye(3), (2, 1, 1)), rows)
    with pytest.raises(ValueError, match="a cosine of 2"):
        output_cosines(np.tile([[1.0, 2.0], [2.0, 1.0]], (2, 1, 1)), rows)
    with pytest.raises(ValueError, match="blocks has 2 non-finite"):
        output_cosines(np.tile([[1.0, np.nan], [0.0, 1.0]], (2, 1, 1)), rows)
    with pytest.raises(ValueError, match="two outputs"):
        output_cosines(np.zeros((2, 3, 3)), rows)
