import numpy as np
import pytest

from ntkjax.devices.mesh import data_mesh, replicate
from ntkjax.errors import InputError
from ntkjax.training.rows import Layout
from ntkjax.training.validation import Validation, name_some, non_finite
from tests.training.problem import EXAMPLES, MAX_LENGTH, mean_loss, small_model


@pytest.mark.parametrize("batch_size", [3, 4])
def test_loss_is_the_mean_over_all_target_tokens(batch_size):
    mesh = data_mesh()
    model, theta = small_model()
    found = Validation(EXAMPLES, batch_size, MAX_LENGTH, mesh)(
        *replicate((model, theta), mesh)
    )
    expected = float(mean_loss(model, theta, EXAMPLES))
    assert found == pytest.approx(expected, rel=1e-6)


def test_an_example_that_overflows_is_named():
    mesh = data_mesh()
    model, theta = small_model()
    token = EXAMPLES[2].tokens[0]
    embedding = "model.embed_tokens.weight"
    broken = model.frozen[embedding].at[token].set(np.nan)
    model.frozen[embedding] = broken
    bad = [e.id for e in EXAMPLES if token in e.tokens]
    assert 0 < len(bad) < len(EXAMPLES)
    loss = Validation(EXAMPLES, 4, MAX_LENGTH, mesh)
    with pytest.raises(InputError, match=r"validation loss of example '") as caught:
        loss(*replicate((model, theta), mesh))
    assert str(caught.value).split("'")[1] in bad
    assert str(caught.value).endswith(
        "; try a lower training.learning_rate, or dtype float32."
    )


def test_non_finite_rows_are_found_in_their_place():
    sums = np.zeros((2, 4))
    sums[1, 0] = np.inf
    sums[0, 3] = np.nan  # an empty row
    found = non_finite(sums, EXAMPLES[:6], Layout(2, 3, 2))
    assert [example.id for example in found] == ["3"]


def test_many_names_are_cut_short():
    assert name_some(EXAMPLES[:1]) == "example '0'"
    assert name_some(EXAMPLES[:6]) == "examples '0', '1', '2', '3' and 2 more"
