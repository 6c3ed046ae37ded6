"""The correctness gate: no measurement with a kernel that is wrong.

The exact kernel through the head (d probes) has to equal the trace over the whole
vocabulary (V probes), which is its definition, on a small random model.
"""

from collections.abc import Callable

import numpy as np

from benchmarks.decoders import random_decoder, random_texts, start
from benchmarks.records import NotMeasured
from ntkjax.data.batches import make_batch
from ntkjax.devices.mesh import data_mesh
from ntkjax.fidelity.study import kernel_values
from ntkjax.kernels.exact import exact, full_vocabulary
from ntkjax.kernels.probe_kernel import ProbeKernel
from ntkjax.kernels.readout import Readout, read_readout, readout_function
from ntkjax.models.lora import LoraSettings


TOLERANCE = 1e-4
"""Of ‖K − K_full‖_F / ‖K_full‖_F: both are sums of float32 products."""


def require_exact(kernel: Callable[[Readout], ProbeKernel] = exact) -> float:
    """The distance of `kernel` from the definition, at most `TOLERANCE`.

    Raises:
        NotMeasured: If it is larger, at B = 0 or at B ≠ 0, on pairs or the diagonal.
    """
    model = random_decoder(16, 48, LoraSettings(rank=2), seed=0)
    readout = read_readout(model)
    whole, other = full_vocabulary(readout), kernel(readout)
    texts = random_texts(6, 8, 48, seed=0)
    queries, candidates = make_batch(texts[:2], "all"), make_batch(texts[2:], "all")
    worst = 0.0
    for random_b in (False, True):
        found = kernel_values(
            readout_function(model, readout),
            start(model, 0, random_b),
            queries,
            candidates,
            [whole, other],
            {},
            mesh=data_mesh(),
        )
        for part in ("values", "diagonal"):
            truth = getattr(found[whole.name], part)
            error = getattr(found[other.name], part) - truth
            worst = max(worst, np.linalg.norm(error) / np.linalg.norm(truth))
    if not worst <= TOLERANCE:
        raise NotMeasured(
            f"the gate refuses: {other.name} is {worst:.1e} away from the trace over "
            f"the whole vocabulary (at most {TOLERANCE:.0e} is allowed)."
        )
    return float(worst)
