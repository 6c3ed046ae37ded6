import pytest

from benchmarks.gate import TOLERANCE, require_exact
from benchmarks.records import NotMeasured
from ntkjax.kernels.exact import exact
from ntkjax.kernels.probe_kernel import ProbeKernel
from ntkjax.kernels.summed import summed


pytestmark = pytest.mark.slow  # compiles each kernel for two devices


def test_gate_lets_the_exact_kernel_through():
    assert require_exact() <= TOLERANCE


def _nearly_exact(readout) -> ProbeKernel:
    right = exact(readout)
    weights = right.weights * (1 + 3 * TOLERANCE)
    labels = tuple(("wrong", *label) for label in right.labels)
    return ProbeKernel("nearly_exact", right.probes, weights, labels)


@pytest.mark.parametrize("wrong", [summed, _nearly_exact])
def test_gate_refuses_wrong_kernels(wrong):
    with pytest.raises(NotMeasured, match="the gate refuses"):
        require_exact(wrong)
