import numpy as np
import pytest

from ntkjax.errors import InputError
from ntkjax.kernels.readout import UnreadReadout, check_columns, read_readout
from ntkjax.models.lora import LoraSettings
from tests.kernels.problem import cached_problem


def test_eigenpairs_rebuild_the_head_largest_first():
    readout = read_readout(cached_problem(tie_embeddings=True).model)
    values, vectors = readout.eigenpairs
    assert (np.diff(values) <= 0).all()
    rebuilt = (vectors * values) @ vectors.T
    assert np.allclose(rebuilt, readout.matrix @ readout.matrix.T)


@pytest.fixture(params=["θ in the head", "soft-cap"])
def nonlinear(request):
    """Readouts of models whose logits are not Wᵀh with a frozen W."""
    if request.param == "soft-cap":
        return read_readout(cached_problem(final_softcap=2.0).model)
    lora = LoraSettings(rank=2, targets=("lm_head",))
    return read_readout(cached_problem(lora=lora).model)


def test_without_a_linear_head_the_readout_is_an_identity(nonlinear):
    identity = np.eye(40)
    coefficients = np.random.default_rng(0).normal(size=(40, 3))
    tokens = np.array([7, 3])
    for readout, matrix in (
        (nonlinear, identity),
        (nonlinear.centered, identity - 1 / 40),
    ):
        assert np.allclose(readout.mixed(coefficients), matrix @ coefficients)
        # The columns are float32.
        assert np.allclose(readout.columns(tokens), matrix[:, tokens], atol=1e-7)
        total = matrix.sum(axis=1, keepdims=True)
        assert np.allclose(readout.total, total, atol=1e-6)


def test_without_a_linear_head_there_is_no_spectrum(nonlinear):
    with pytest.raises(InputError, match=r"not exact here: (θ has a leaf|.*soft-caps)"):
        _ = nonlinear.eigenpairs


def test_a_large_vocabulary_without_a_linear_head_has_cheap_kernels_only():
    readout = read_readout(cached_problem(final_softcap=2.0).model, 20_000)
    assert readout.total.shape == (20_000, 1)
    message = "soft-caps its logits, so .* 20000 backward passes .* select can take"
    with pytest.raises(InputError, match=message):
        readout.columns(np.arange(20_000))


def test_centered_columns_sum_to_zero():
    readout = read_readout(cached_problem().model).centered
    assert np.abs(readout.matrix.sum(axis=1)).max() < 1e-5
    assert readout.centered.variant == "centered"


def test_an_unread_readout_counts_the_eigenpairs_of_full_rank():
    assert UnreadReadout(12, 40, None).num_eigenpairs == 12
    wide = UnreadReadout(12, 5, None)  # centering takes the direction of all ones
    assert (wide.num_eigenpairs, wide.centered.num_eigenpairs) == (5, 4)
    with pytest.raises(InputError, match="not exact here: a soft-cap"):
        _ = UnreadReadout(12, 40, "a soft-cap").num_eigenpairs


def test_many_columns_are_refused_without_a_linear_head_alone():
    check_columns(UnreadReadout(12, 20_000, None), 20_000)
    with pytest.raises(InputError, match="20000 backward passes"):
        check_columns(UnreadReadout(12, 20_000, "a soft-cap"), 20_000)
