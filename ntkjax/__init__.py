"""Exact and approximate neural tangent kernels of LoRA-adapted language models.

The core is a product: scalar outputs f(θ, x) × three verbs (`gram`, `directional`,
`features`). The verbs take any JAX function; `ntkjax.outputs` has those of language
models, `ntkjax.kernels` the named kernels, and `ntkjax.fidelity` measures how far an
approximate kernel is from the exact one.
"""

from ntkjax.errors import InputError
from ntkjax.gradients.directional import directional, mean_gradients
from ntkjax.gradients.features import features
from ntkjax.gradients.gram import gram, grams
from ntkjax.gradients.own import own_blocks
from ntkjax.math.sketches import rademacher_sketch, shift_sketch


__all__ = [
    "InputError",
    # the three verbs
    "directional",
    "features",
    "gram",
    # their companions
    "grams",
    "mean_gradients",
    "own_blocks",
    # sketches
    "rademacher_sketch",
    "shift_sketch",
]
