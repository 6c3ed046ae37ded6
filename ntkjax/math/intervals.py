"""The mean of a few repetitions and how far it can be trusted."""

from collections.abc import Sequence

import numpy as np
import scipy

from ntkjax.math.bootstrap import Estimate


def mean_interval(values: Sequence[float]) -> Estimate:
    """Mean of repetitions and its 95% interval by Student's t.

        mean ± t(0.975; n - 1) · s / √n

    Right for independent values that are about normal, such as accuracies over seeds;
    for paired methods give it the differences seed by seed.

    Raises:
        ValueError: With fewer than two values: one says nothing about the spread.
    """
    if len(values) < 2:
        raise ValueError(f"an interval of a mean needs two values, got {len(values)}.")
    mean = float(np.mean(values))
    half = float(scipy.stats.sem(values) * scipy.stats.t.ppf(0.975, len(values) - 1))
    return Estimate(mean, mean - half, mean + half)
