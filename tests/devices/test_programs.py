import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from ntkjax.devices.mesh import MODEL_AXIS, MeshShape, make_mesh, place
from ntkjax.devices.programs import ROWS, SECOND, WHOLE, compiled, on_mesh, over_groups


SHAPES = (MeshShape(2, 1), MeshShape(1, 2), MeshShape(1, 1))
WEIGHTS = np.arange(12, dtype=np.float32).reshape(3, 4)
X = np.arange(24, dtype=np.float32).reshape(8, 3)


def mesh_of(shape):
    return make_mesh(shape, jax.devices()[: shape.data * shape.model])


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_rows_are_cut_over_groups_and_weights_as_they_lie(shape):
    mesh = mesh_of(shape)
    seen = []

    def product(weights, rows):
        seen.append((weights.shape, rows.shape))
        return rows @ weights

    program = on_mesh(product, mesh, (WHOLE, ROWS), ROWS)
    cut = place(WEIGHTS, mesh, PartitionSpec(None, MODEL_AXIS))
    for weights in (WEIGHTS, cut):
        found = program(weights, X)
        np.testing.assert_allclose(found, X @ WEIGHTS)
        assert found.addressable_shards[0].data.shape == (8 // shape.data, 4)
    assert set(seen) == {((3, 4), (8 // shape.data, 3))}
    assert cut.addressable_shards[0].data.shape == (3, 4 // shape.model)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_second_axis_and_results_of_several_kinds(shape):
    def both(weights, rows):
        return {"sum": rows.sum(axis=0)}, weights * 2

    program = on_mesh(both, mesh_of(shape), (WHOLE, SECOND), (ROWS, WHOLE))
    sums, doubled = program(WEIGHTS, X.T)
    np.testing.assert_allclose(sums["sum"], X.sum(axis=1))
    np.testing.assert_allclose(doubled, 2 * WEIGHTS)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_groups_inside_of_a_whole_program(shape):
    mesh = mesh_of(shape)
    sums = over_groups(lambda rows: rows.sum(axis=0)[None], mesh, (ROWS,), ROWS)
    total = compiled(lambda rows: jnp.sum(sums(rows), axis=0), mesh, (ROWS,), WHOLE)
    np.testing.assert_allclose(total(X), X.sum(axis=0))


def test_nothing_in_place_of_an_argument():
    program = compiled(lambda x, mask: x, mesh_of(SHAPES[0]), (ROWS, WHOLE), ROWS)
    np.testing.assert_allclose(program(X, None), X)
