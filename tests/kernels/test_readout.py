import numpy as np
import pytest

from ntkjax.errors import InputError
from ntkjax.kernels.readout import read_readout
from ntkjax.models.lora import LoraSettings
from tests.kernels.problem import cached_problem


def test_eigenpairs_rebuild_the_head_largest_first():
    readout = read_readout(cached_problem(tie_embeddings=True).model)
    values, vectors = readout.eigenpairs
    assert (np.diff(values) <= 0).all()
    rebuilt = (vectors * values) @ vectors.T
    assert np.allclose(rebuilt, readout.matrix @ readout.matrix.T)


def test_a_trained_head_of_a_large_vocabulary_is_refused():
    lora = LoraSettings(rank=2, targets=("lm_head",))
    problem = cached_problem(lora=lora, vocab_size=20_000)
    with pytest.raises(InputError, match=r"20000 backward passes .* leave lm_head out"):
        read_readout(problem.model)


def test_centered_columns_sum_to_zero():
    readout = read_readout(cached_problem().model).centered
    assert np.abs(readout.matrix.sum(axis=1)).max() < 1e-5
    assert readout.centered.variant == "centered"
