"""What the verbs and sketches cost: `uv run python -m benchmarks.verbs`.

Four measurements, each after a correctness gate, compile time apart, the two sides
taking turns in one run, medians with the middle half of the runs beside them:

- `head`: the exact kernel through the head against the full-vocabulary contraction.
  Read `ratio` as how many times faster the same number is had.
- `directional`: one JVP against one forward pass, and against the explicit gradient.
  Read `ratio` as forward passes per example; 2 is what the operation count says.
- `sketch`: mean squared error of sketched products of the shift sketch over that of
  dense Rademacher signs at equal dimension (`error_ratio`, 1 is equal), and how many
  times faster it is (`speedup`); z-scores say whether either is biased.
- `memory`: peak memory of a process that computes a 64 × 512 gram with 4 probes.
"""

import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.decoders import random_decoder, start
from benchmarks.records import RESULTS, NotMeasured, record, shared_folder
from ntkjax.checkpoints.loading import load_model
from ntkjax.data.batches import Batch
from ntkjax.gradients.directional import directional, mean_gradients
from ntkjax.gradients.gram import gram
from ntkjax.kernels.exact import exact, full_vocabulary
from ntkjax.kernels.random_signs import random_signs
from ntkjax.kernels.readout import read_readout
from ntkjax.math.sketches import SKETCHES
from ntkjax.models.lora import LoraSettings
from ntkjax.outputs.pooled import PooledHidden, Probed
from ntkjax.store.atomic import write_json


MEMORY_FLAG = "--memory-of-gram"


def main() -> int:
    try:
        base4m = shared_folder() / "models" / "base4m"
    except NotMeasured as absent:
        print(f"benchmarks.verbs: {absent}", file=sys.stderr)
        return 2
    if MEMORY_FLAG in sys.argv:
        large_gram(base4m)
        return 0
    started = time.perf_counter()
    findings = {
        "directional": directional_against_forward(),
        "sketch": shift_against_dense(),
        "memory": memory_of_large_gram(),
        "head": head_against_vocabulary(base4m),
    }
    seconds = time.perf_counter() - started
    write_json(RESULTS / "verbs.json", record("verbs", {}, seconds, findings))
    return 0


def head_against_vocabulary(folder: Path) -> dict:
    """Both sides by the same verb on base4m, 4 × 4 examples of 16 tokens."""
    model = load_model(folder, LoraSettings())
    theta = start(model, seed=0, random_b=True)
    readout = read_readout(model)
    tokens, vocab_size = 16, readout.vocab_size
    xs = batch(4, tokens, vocab_size, seed=1)
    ys = batch(4, tokens, vocab_size, seed=2)
    base = PooledHidden(model)

    def run(kernel) -> Callable[[], np.ndarray]:
        f = Probed(base, jnp.asarray(kernel.probes, jnp.float32))
        verb = jax.jit(lambda f, theta, xs, ys: gram(f)(theta, xs, ys))
        return lambda: np.asarray(verb(f, theta, xs, ys))

    through_head, through_vocabulary = (
        run(exact(readout)),
        run(full_vocabulary(readout)),
    )
    error = normwise(through_head(), through_vocabulary())
    require(error < 1e-4, f"head and vocabulary differ by {error:.1e}")
    times = take_turns(through_head, through_vocabulary, repeats=2)
    return {
        "model": "base4m",
        "examples": [4, 4],
        "tokens": tokens,
        "outputs": [exact(readout).num_outputs, vocab_size],
        "relative_difference": error,
        "seconds_head": times[0],
        "seconds_vocabulary": times[1],
        "ratio": times[1]["median"] / times[0]["median"],
    }


def directional_against_forward() -> dict:
    """24M parameters, 16 examples of 128 tokens; one and four directions."""
    model = random_decoder(
        384, 12_800, LoraSettings(), seed=0, num_layers=11, max_positions=128
    )
    theta = start(model, seed=0, random_b=True)
    xs = batch(16, 128, model.config.vocab_size, seed=1)
    probes = random_signs(read_readout(model), 4, seed=0).scaled_probes
    return {
        "weights": sum(leaf.size for leaf in model.frozen.values()),
        "parameters": sum(leaf.size for leaf in theta.values()),
        "tokens": 128,
        "batch": 16,
        **{
            f"directions_{s}": one_directional(model, theta, xs, probes[:, :s])
            for s in (1, 4)
        },
    }


def one_directional(model, theta, xs, probes) -> dict:
    f = Probed(PooledHidden(model), jnp.asarray(probes, jnp.float32))
    domain = batch(4, 128, model.config.vocab_size, seed=2)
    u = jax.jit(lambda f, theta, xs: mean_gradients(f)(theta, xs))(f, theta, domain)
    forward = jax.jit(lambda f, theta, xs: jax.vmap(lambda x: f(theta, x))(xs))
    verb = jax.jit(lambda f, theta, xs, u: directional(f)(theta, xs, u))
    found = np.asarray(verb(f, theta, xs, u))[:4]
    error = normwise(found, products_in_float64(f, theta, xs, u, num_examples=4))
    require(error < 1e-5, f"directional is off by {error:.1e}")
    one_pass, along = take_turns(
        lambda: forward(f, theta, xs), lambda: verb(f, theta, xs, u), repeats=9
    )
    return {
        "relative_error": error,
        "seconds_forward": one_pass,
        "seconds_directional": along,
        "ratio": along["median"] / one_pass["median"],
    }


def products_in_float64(f: Probed, theta, xs, u, num_examples: int) -> np.ndarray:
    """Σ_j ⟨∇f_j(x), u_j⟩ by one Jacobian per example, the slow obvious way."""
    with jax.enable_x64(True):
        wide = lambda tree: jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), tree)
        f = Probed(PooledHidden(f.base.model.astype(jnp.float64)), wide(f.probes))
        theta, u = wide(theta), wide(u)

        @jax.jit
        def one(f, theta, x, u):
            jacobian = jax.jacrev(lambda t: f(t, x))(theta)
            return sum(jnp.vdot(jacobian[name], u[name]) for name in u)

        rows = [jax.tree.map(lambda a, i=i: a[i], xs) for i in range(num_examples)]
        return np.array([float(one(f, theta, x, u)) for x in rows])


def shift_against_dense() -> dict:
    """Errors over 48 keys and four shapes of θ, time at P = 165,888, k = 8192."""
    shapes = {
        "one square matrix": [(8, 192), (192, 8)],
        "attention": [(8, 192), (192, 8), (8, 192), (96, 8)] * 2,
        "feed-forward": [(8, 192), (512, 8), (8, 512), (192, 8)],
        "a bias and a wide matrix": [(7,), (3, 2048)],
    }
    size, keys = 512, jax.random.split(jax.random.key(0), 48)
    rows = {}
    for index, (name, matrices) in enumerate(shapes.items()):
        g, h = two_gradients(matrices, seed=index)
        truth = float(np.vdot(np.asarray(g, np.float64), np.asarray(h, np.float64)))
        row = {"P": int(g.size)}
        for kind, make in SKETCHES.items():

            def product(key, make=make, g=g, h=h):
                sketch = make(g.size, size, key)
                return jnp.vdot(sketch(g), sketch(h))

            values = np.asarray(jax.jit(lambda ks, p=product: jax.lax.map(p, ks))(keys))
            deviations = values.astype(np.float64) - truth
            standard_error = deviations.std(ddof=1) / np.sqrt(len(keys))
            row[f"{kind}_mean_squared_error"] = float(np.mean(deviations**2))
            row[f"{kind}_z"] = float(deviations.mean() / standard_error)
            require(abs(row[f"{kind}_z"]) < 4, f"{kind} is biased on {name}: {row}")
        row["error_ratio"] = (
            row["shift_mean_squared_error"] / row["rademacher_mean_squared_error"]
        )
        rows[name] = row
    vectors = jax.random.normal(jax.random.key(1), (16, 165_888))
    sides = []
    for make in SKETCHES.values():
        sketch = make(vectors.shape[1], 8192, jax.random.key(2))
        run = jax.jit(lambda sketch, vectors: jax.vmap(sketch)(vectors))
        sides.append(lambda s=sketch, r=run: r(s, vectors))
    shift, dense = take_turns(*sides, repeats=5)
    return {
        "k": size,
        "keys": len(keys),
        "shapes": rows,
        "mean_error_ratio": float(np.mean([r["error_ratio"] for r in rows.values()])),
        "timed": {"P": 165_888, "k": 8192, "vectors": 16},
        "seconds_shift": shift,
        "seconds_rademacher": dense,
        "speedup": dense["median"] / shift["median"],
    }


def memory_of_large_gram() -> dict:
    """Peak resident memory of a process of its own, in MiB."""
    command = [sys.executable, "-m", "benchmarks.verbs", MEMORY_FLAG]
    out = subprocess.run(command, check=True, capture_output=True, text=True)
    return {
        "model": "base4m",
        "examples": [64, 512],
        "tokens": 96,
        "probes": 4,
        "peak_mib": float(out.stdout.split()[-1]),
    }


def large_gram(folder: Path) -> None:
    model = load_model(folder, LoraSettings())
    probes = random_signs(read_readout(model), 4, seed=0).scaled_probes
    f = Probed(PooledHidden(model), jnp.asarray(probes, jnp.float32))
    verb = jax.jit(lambda f, theta, xs, ys: gram(f, tile_size=64)(theta, xs, ys))
    xs, ys = batch(64, 96, 4096, seed=1), batch(512, 96, 4096, seed=2)
    kernel = np.asarray(verb(f, start(model, seed=0, random_b=True), xs, ys))
    require(kernel.shape == (64, 512) and np.isfinite(kernel).all(), "a bad kernel")
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def batch(n: int, T: int, vocab_size: int, seed: int) -> Batch:
    tokens = jax.random.randint(jax.random.key(seed), (n, T), 0, vocab_size)
    return Batch(tokens, jnp.ones((n, T), bool), jnp.full((n, T), 1 / T, jnp.float32))


def two_gradients(matrices: list[tuple[int, ...]], seed: int):
    """Two correlated vectors whose matrices differ in scale, as gradients do."""
    rng = np.random.default_rng(seed)
    parts = [[], []]
    for shape in matrices:
        scale = np.exp(rng.normal())
        first = scale * rng.normal(size=shape)
        parts[0].append(first.ravel())
        parts[1].append((0.5 * first + scale * rng.normal(size=shape)).ravel())
    return [jnp.asarray(np.concatenate(part), jnp.float32) for part in parts]


def take_turns(*sides: Callable[[], object], repeats: int) -> list[dict]:
    """Seconds of each side: compile time, then median and quartiles of `repeats`."""
    compile_times = [seconds(side) for side in sides]
    runs = np.array([[seconds(side) for side in sides] for _ in range(repeats)])
    return [
        {
            "first_call": first,
            "median": float(np.median(column)),
            "quartiles": np.quantile(column, [0.25, 0.75]).tolist(),
            "repeats": repeats,
        }
        for first, column in zip(compile_times, runs.T, strict=True)
    ]


def seconds(side: Callable[[], object]) -> float:
    started = time.perf_counter()
    jax.block_until_ready(side())
    return time.perf_counter() - started


def normwise(found, expected) -> float:
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def require(condition: bool, problem: str) -> None:
    """The correctness gate: nothing wrong is timed."""
    if not condition:
        raise SystemExit(f"not measured: {problem}")


if __name__ == "__main__":
    raise SystemExit(main())
