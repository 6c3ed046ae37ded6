"""Self-checks: does this machine compute derivatives that can be trusted?

jaxlib 0.10.2 gave vmapped VJPs under `jit` off by half and more on CPU, only for
some shapes. So every local device computes derivatives of a small random decoder both
ways, jitted and operation by operation, for several shapes, and both must agree.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from ntkjax.devices.precision import full_precision
from ntkjax.gradients.directional import directional
from ntkjax.gradients.gram import gram
from ntkjax.math.sketches import shift_sketch
from ntkjax.models.config import DecoderConfig, LayerKind, Rotary
from ntkjax.models.language_model import LanguageModel, split_model
from ntkjax.models.lora import LoraSettings
from ntkjax.runs import environment


# Two orders of operations in float32; a wrong program is off by 1e-1.
_TOLERANCE = 1e-4
# Standard deviations by which a sketch may miss (one-sided chance 3e-7 at 5).
_DEVIATIONS = 6.0
# (examples, tokens): several shapes, since jaxlib 0.10.2 was right for one example and
# wrong for two side by side.
_SHAPES = ((1, 64), (2, 32))


_REMEDY = (
    "This installation computes wrong numbers: do not use its kernels. Install another "
    "jax and jaxlib (0.10.2 is known to be wrong on CPU; the tested versions stand in "
    "pyproject.toml), then run ntkjax doctor again."
)


@dataclass(frozen=True)
class Check:
    """One check: what was compared, and how it came out.

    Attributes:
        name: What was compared.
        passed: Whether it came out well.
        detail: How, in words.
        warns: Whether it passed, but is worth a look.
    """

    name: str
    passed: bool
    detail: str
    warns: bool = False


@dataclass(frozen=True)
class Report:
    """What was found.

    Attributes:
        facts: About the installation.
        checks: In their order.
        remedy: What to do when one failed.
    """

    facts: dict[str, str]
    checks: list[Check]
    remedy: str = _REMEDY

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)

    @property
    def advice(self) -> str:
        """What to do when one did not."""
        return "" if self.passed else self.remedy


def examine() -> Report:
    """Facts and checks of every local device. Takes about a minute on two cores."""
    facts = {
        **environment.versions(),
        "device": environment.device(),
        "precision": environment.precision(),
    }
    checks = []
    for device in jax.local_devices():
        with jax.default_device(device):
            checks += [_check_vjps(device, *shape) for shape in _SHAPES]
            checks += [_check_verbs(device), _check_precision(device)]
            checks.append(_check_sketch(device))
    return Report(facts, checks)


def _check_vjps(device, batch: int, T: int) -> Check:
    """The case that jaxlib 0.10.2 got wrong: VJPs vmapped over all hidden outputs."""
    model, theta = _small_model()
    tokens = _tokens(batch, T)

    def jacobian(model: LanguageModel, theta, tokens):
        def one(row):
            pooled = lambda t: jnp.mean(model.hidden(t, row), axis=0)
            _, pullback = jax.vjp(pooled, theta)
            return jax.vmap(lambda e: pullback(e)[0])(jnp.eye(64, dtype=jnp.float32))

        return jax.vmap(one)(tokens)

    with full_precision():
        jitted = _flat(jax.jit(jacobian)(model, theta, tokens))
        plain = _flat(jacobian(model, theta, tokens))
    name = f"{device}: Jacobian, jitted against un-jitted, {batch} × {T} tokens"
    return _compare(name, jitted, plain)


def _check_verbs(device) -> Check:
    """`directional` (forward mode) against `gram` (reverse mode) along a gradient."""
    model, theta = _small_model()
    tokens = _tokens(4, 48)
    f = lambda t, row: jnp.mean(model.hidden(t, row), axis=0)[0]
    target = tokens[:1]
    direction = jax.tree.map(lambda g: g[None], jax.grad(f)(theta, target[0]))
    forward = jax.jit(directional(f))(theta, tokens, direction)
    reverse = jax.jit(gram(f))(theta, target, tokens)[0]
    name = f"{device}: directional against gram"
    return _compare(name, np.asarray(forward), np.asarray(reverse))


def _check_precision(device) -> Check:
    """A float32 matrix product against float64: TF32 and bf16 passes show here."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 256, 256)).astype(np.float32)
    with full_precision():
        found = np.asarray(jax.jit(jnp.matmul)(a, b))
    exact = a.astype(np.float64) @ b.astype(np.float64)
    name = f"{device}: float32 matrix product against float64"
    return _compare(name, found, exact, tolerance=5e-6)


def _check_sketch(device) -> Check:
    """Sketched products under 64 keys against the plain one, by z-score."""
    size, keys = 512, jax.random.split(jax.random.key(0), 64)
    g, h = jax.random.normal(jax.random.key(1), (2, 20_000))
    h = g + h

    def product(key):
        sketch = shift_sketch(g.size, size, key)
        return jnp.vdot(sketch(g), sketch(h))

    values = np.asarray(jax.jit(lambda keys: jax.lax.map(product, keys))(keys))
    truth = float(np.vdot(np.asarray(g, np.float64), np.asarray(h, np.float64)))
    error = values.std(ddof=1) / np.sqrt(values.size)
    z = abs(values.mean() - truth) / error
    spread = values.std(ddof=1) / truth
    passed = bool(np.isfinite(z) and z < _DEVIATIONS and spread < 0.5)
    detail = f"{z:.1f} standard errors off (at most {_DEVIATIONS:.0f})"
    return Check(f"{device}: sketched product against the plain one", passed, detail)


def _compare(name: str, found, expected, tolerance: float = _TOLERANCE) -> Check:
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    error = float(np.linalg.norm(found - expected) / np.linalg.norm(expected))
    passed = bool(error <= tolerance)  # false for NaN
    detail = f"relative difference {error:.1e} (at most {tolerance:.0e})"
    return Check(name, passed, detail)


def _small_model() -> tuple[LanguageModel, dict]:
    config = DecoderConfig(
        vocab_size=128,
        hidden_size=64,
        intermediate_size=172,
        layers=(LayerKind(Rotary(10_000.0)),),
        num_heads=8,
        num_kv_heads=8,
        head_dim=8,
        max_positions=128,
        norm_eps=1e-5,
        activation="silu",
        tie_embeddings=True,
    )
    lora = LoraSettings()
    graphdef, theta_shapes, shapes = split_model(config, lora)
    rng = np.random.default_rng(0)

    def draw(shape: tuple[int, ...]) -> jax.Array:
        scale = shape[-1] ** -0.5 if len(shape) == 2 else 1.0
        return jnp.asarray(rng.normal(size=shape) * scale, jnp.float32)

    frozen = {name: draw(leaf.shape) for name, leaf in shapes.items()}
    theta = {name: draw(leaf.shape) for name, leaf in theta_shapes.items()}
    return LanguageModel(config, lora, graphdef, frozen), theta


def _tokens(batch: int, T: int) -> jax.Array:
    return jax.random.randint(jax.random.key(2), (batch, T), 0, 128)


def _flat(tree) -> np.ndarray:
    return np.concatenate([np.asarray(leaf).ravel() for leaf in jax.tree.leaves(tree)])
