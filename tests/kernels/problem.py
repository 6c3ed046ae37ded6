"""A tiny language model and the dense truth about its kernels, in float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from ntkjax.data.batches import make_batch
from ntkjax.gradients.gram import gram
from ntkjax.kernels.probe_kernel import ProbeKernel
from ntkjax.models.lora import LoraSettings
from ntkjax.outputs.pooled import PooledHidden, PooledLogits, Probed
from tests.oracles import jacobians, to_float64
from tests.problems import random_examples, random_model, tiny_config


@jax.jit
def channel_values(f, theta, xs, ys):
    return gram(f, outputs="diagonal")(theta, xs, ys)


def _pooled_logits(model, theta, x):
    logits = model.logits(theta, model.hidden(theta, x.tokens))
    return jnp.sum(x.weights[:, None].astype(jnp.float64) * logits, axis=0)


@functools.cache
def cached_problem(**changes) -> "Problem":
    """A problem that several tests share; none may change it."""
    return Problem(**changes)


class Problem:
    """Model, θ, two batches, and per-token-logit Jacobians computed the slow way."""

    def __init__(self, pooling="response", rank_deficient=False, lora=None, **changes):
        settings = lora or LoraSettings(rank=2, targets=("q_proj", "down_proj"))
        self.model, self.theta = random_model(tiny_config(**changes), settings)
        if rank_deficient:
            name = "lm_head.weight"
            head = np.array(self.model.frozen[name])
            head[:, 5:] = head[:, :5] @ np.random.default_rng(3).normal(size=(5, 7))
            self.model.frozen[name] = jnp.asarray(head)
        self.xs = make_batch(random_examples(3, seed=1), pooling)
        self.ys = make_batch(random_examples(4, seed=2), pooling)
        self.readout_size = self.model.config.vocab_size

    def base(self):
        linear = self.model.head_obstacle is None
        vocab = self.readout_size
        return PooledHidden(self.model) if linear else PooledLogits(self.model, vocab)

    @functools.cache  # noqa: B019 (a handful of tiny problems)
    def logit_jacobians(self):
        """∇ Σ_t ω_t logits_t, one logit at a time, in float64: [n, V, P], [m, V, P]."""
        with jax.enable_x64(True):
            model = self.model.astype(jnp.float64)
            theta = to_float64(self.theta)

            f = Partial(_pooled_logits, model)
            return jacobians(f, theta, self.xs), jacobians(f, theta, self.ys)

    def values(self, kernel: ProbeKernel, double: bool = False) -> np.ndarray:
        """The kernel by the library, in float32 or float64."""
        with jax.enable_x64(double):
            dtype = jnp.float64 if double else jnp.float32
            model = self.model.astype(dtype)
            theta = to_float64(self.theta) if double else self.theta
            base = type(self.base())(model, *self._rest())
            f = Probed(base, jnp.asarray(kernel.probes, dtype))
            each = channel_values(f, theta, self.xs, self.ys)
            return np.tensordot(kernel.weights, np.asarray(each, np.float64), axes=1)

    def _rest(self):
        return () if self.model.head_obstacle is None else (self.readout_size,)
