import numpy as np
import pytest

from ntkjax.kernels.exact import centered
from ntkjax.kernels.probe_kernel import shared_channels
from ntkjax.kernels.readout import read_readout
from ntkjax.kernels.table import named_kernel
from tests.kernels.problem import cached_problem


def test_shared_channels_keep_every_kernel_and_add_none_twice():
    readout = read_readout(cached_problem().model)
    names = ["exact", "summed", "centered", "spectral_4", "random_2", "random_5"]
    kernels = [named_kernel(name, readout, seed=0) for name in names]
    probes, weights = shared_channels(kernels)
    assert probes.shape == (12, 12 + 1 + 5)
    for kernel in kernels:
        whole = (probes * weights[kernel.name]) @ probes.T
        own = (kernel.probes * kernel.weights) @ kernel.probes.T
        assert np.allclose(whole, own)


def test_scaled_probes_have_unit_weights():
    kernel = named_kernel("random_4", read_readout(cached_problem().model), seed=0)
    expected = (kernel.probes * kernel.weights) @ kernel.probes.T
    assert np.allclose(kernel.scaled_probes @ kernel.scaled_probes.T, expected)


def test_negative_weights_cannot_be_scaled_away():
    kernel = centered(read_readout(cached_problem().model))
    with pytest.raises(ValueError, match="negative weights"):
        _ = kernel.scaled_probes
