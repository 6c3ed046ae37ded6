"""The summed-logit kernel, "Jacobian-free" in NTK-Selector (2511.07380, Def. 3.3).

    k(x, y) = ⟨∇ Σ_v f_v(x), ∇ Σ_v f_v(y)⟩ = tr Θ + Σ_{u≠v} Θ_uv

One probe, W·1. It is biased by all cross terms, and 1 is the very direction that
softmax ignores.
"""

import numpy as np

from ntkjax.errors import InputError
from ntkjax.kernels.probe_kernel import ProbeKernel
from ntkjax.kernels.readout import AnyReadout, Readout


def summed(readout: Readout) -> ProbeKernel:
    """The gradient of the sum of all logits. Cost: F + B.

    Raises:
        InputError: For a centered readout, where the sum is zero.
    """
    summed_probes(readout)
    ones = readout.total
    return ProbeKernel("summed", ones, np.ones(1), ((readout.variant, "summed"),))


def summed_probes(readout: AnyReadout) -> int:
    """How many probes `summed` has; errors as there."""
    if readout.variant:
        raise InputError(
            "centered_summed is no kernel: centered logits sum to zero, so their "
            "gradient vanishes; take centered_random_1 at the same price."
        )
    return 1
