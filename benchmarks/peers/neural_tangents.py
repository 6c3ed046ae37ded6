# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "neural-tangents==0.6.5",
#   "jax==0.5.3",
#   "jaxlib==0.5.3",
#   "numpy==2.2.6",
#   "safetensors",
# ]
# ///
"""Kernels by neural-tangents, the outside oracle for ntkjax's exact kernels.

    uv run --python 3.11 benchmarks/peers/neural_tangents.py

Writes `tests/golden/neural_tangents/{mlp,lm}.safetensors` (their README.md is
`tests/golden/README.md`): a tanh MLP, and the golden Llama checkpoint `llama/plain`
with the adapter `adapters/default`, in a forward pass of its own that must first
reproduce the logits of transformers and PEFT. θ of the MLP is all of its weights, θ of
the language model the LoRA matrices. Everything is computed in float64, by Jacobian
contraction and by NTK-vector products, and the two must agree. (The third
implementation, structured derivatives, fails on JAX 0.5.3: it reads
`jax.interpreters.ad.source_info_util`, which is gone.)

neural-tangents divides a traced kernel by the number of outputs. What is stored is the
sum, tr Θ = Σ_j Θ_jj: its result times that number.

This file needs an environment of its own: neural-tangents 0.6.5 cannot be imported on
the versions of JAX that ntkjax runs on.
"""

import sys


del sys.path[0]  # this folder: the script's own name would hide the package's

import importlib.metadata
import itertools
import json
import pathlib
import platform

import jax
import jax.numpy as jnp
import neural_tangents as nt
import numpy as np
from safetensors.numpy import load_file, save_file


GOLDEN = pathlib.Path(__file__).parents[2] / "tests" / "golden"
BASE, ADAPTER = GOLDEN / "llama" / "plain", GOLDEN / "adapters" / "default"
OUT = GOLDEN / "neural_tangents"
SEED = 0

IMPLEMENTATIONS = (
    nt.NtkImplementation.JACOBIAN_CONTRACTION,
    nt.NtkImplementation.NTK_VECTOR_PRODUCTS,
)


def main():
    jax.config.update("jax_enable_x64", True)
    check_language_model()
    OUT.mkdir(exist_ok=True)
    for name, tensors in (("mlp", mlp_kernels()), ("lm", language_model_kernel())):
        save_file(tensors, OUT / f"{name}.safetensors", metadata=versions())
        print(name, {key: value.shape for key, value in tensors.items()})


def kernel(f, theta, x, y, trace):
    """tr Θ [n, m], or Θ [n, m, s, s], by two implementations that must agree."""
    first, second = (
        np.asarray(
            nt.empirical_ntk_fn(
                f, trace_axes=(-1,) if trace else (), implementation=implementation
            )(x, y, theta)
        )
        for implementation in IMPLEMENTATIONS
    )
    error = np.abs(second - first).max() / np.abs(first).max()
    print(f"kernel {first.shape}: the implementations differ by {error:.1e}")
    assert error < 1e-12, "the implementations disagree"
    num_outputs = f(theta, x).shape[-1]
    return first * num_outputs if trace else first


def mlp_kernels():
    """Θ [5, 7, 3, 3] and tr Θ [5, 7] of a 4-8-6-3 perceptron."""
    rng = np.random.default_rng(SEED)
    draw = lambda *shape: rng.standard_normal(shape).astype(np.float32)
    sizes = (4, 8, 6, 3)
    weights = {}
    for i, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
        weights[f"w{i}"] = draw(fan_in, fan_out) / np.float32(fan_in**0.5)
        weights[f"b{i}"] = np.float32(0.3) * draw(fan_out)
    x, y = draw(5, sizes[0]), draw(7, sizes[0])

    theta = widened(weights)
    full = kernel(mlp, theta, x.astype(np.float64), y.astype(np.float64), trace=False)
    traced = kernel(mlp, theta, x.astype(np.float64), y.astype(np.float64), trace=True)
    np.testing.assert_allclose(np.trace(full, axis1=2, axis2=3), traced, rtol=1e-12)
    return {**weights, "x": x, "y": y, "full": full, "traced": traced}


def mlp(theta, x):
    """tanh(tanh(x w0 + b0) w1 + b1) w2 + b2, [n, 4] to [n, 3]."""
    for i in range(2):
        x = jnp.tanh(x @ theta[f"w{i}"] + theta[f"b{i}"])
    return x @ theta["w2"] + theta["b2"]


def language_model_kernel():
    """tr Θ [4, 5] of token-mean logits, over the LoRA matrices."""
    model, theta = load_language_model()
    rng = np.random.default_rng(SEED)
    vocab_size, length = model.config["vocab_size"], 9
    x, y = (rng.integers(0, vocab_size, (n, length)).astype(np.int32) for n in (4, 5))
    mean_logits = lambda theta, tokens: model(theta, tokens).mean(axis=1)
    return {
        "x": x,
        "y": y,
        "weights_x": np.full(x.shape, 1 / length, np.float32),
        "weights_y": np.full(y.shape, 1 / length, np.float32),
        "traced": kernel(mean_logits, theta, x, y, trace=True),
    }


def load_language_model():
    config = json.loads((BASE / "config.json").read_text())
    lora = json.loads((ADAPTER / "adapter_config.json").read_text())
    frozen = widened(load_file(BASE / "model.safetensors"))
    theta = widened(load_file(ADAPTER / "adapter_model.safetensors"))
    return Llama(config, frozen, lora["lora_alpha"] / lora["r"]), theta


def check_language_model():
    """With and without the adapter: the logits of PEFT and transformers."""
    model, theta = load_language_model()
    expected = load_file(ADAPTER / "expected.safetensors")
    adapted = model(theta, expected["tokens"])
    assert_close("adapters/default", adapted, expected["logits"])

    expected = load_file(BASE / "expected.safetensors")
    lengths, tokens = expected["lengths"], expected["tokens"]
    real = np.arange(tokens.shape[1])[None, :] < lengths[:, None]
    plain = model({}, tokens)
    assert_close("llama/plain", plain[real], expected["logits"][real])


def assert_close(name, logits, expected):
    error = np.abs(logits - expected).max() / np.abs(expected).max()
    print(f"logits of {name}: relative error {error:.1e}")
    assert error < 1e-5, f"this forward pass is not that of {name}"


class Llama:
    """Llama with LoRA: θ and tokens [n, T] to logits [n, T, V].

    Full multi-head attention, SiLU, no biases, no rotary scaling: what `llama/plain`
    needs. Weights and θ keep the names of their files.
    """

    def __init__(self, config, frozen, lora_scale):
        self.config, self.frozen, self.lora_scale = config, frozen, lora_scale

    def __call__(self, theta, tokens):
        x = self.frozen["model.embed_tokens.weight"][tokens]
        for i in range(self.config["num_hidden_layers"]):
            layer = f"model.layers.{i}"
            normed = self.norm(f"{layer}.input_layernorm", x)
            x = x + self.attention(theta, f"{layer}.self_attn", normed)
            normed = self.norm(f"{layer}.post_attention_layernorm", x)
            x = x + self.mlp(theta, f"{layer}.mlp", normed)
        return self.linear(theta, "lm_head", self.norm("model.norm", x))

    def linear(self, theta, name, x):
        y = x @ self.frozen[f"{name}.weight"].T
        lora = f"base_model.model.{name}.lora_"
        if f"{lora}A.weight" in theta:
            update = x @ theta[f"{lora}A.weight"].T @ theta[f"{lora}B.weight"].T
            y = y + self.lora_scale * update
        return y

    def norm(self, name, x):
        mean_square = (x * x).mean(axis=-1, keepdims=True)
        normed = x / jnp.sqrt(mean_square + self.config["rms_norm_eps"])
        return self.frozen[f"{name}.weight"] * normed

    def attention(self, theta, name, x):
        n, T, d = x.shape
        heads, H = self.config["num_attention_heads"], self.config["head_dim"]
        q, k, v = (
            self.linear(theta, f"{name}.{part}_proj", x).reshape(n, T, heads, H)
            for part in "qkv"
        )
        scores = jnp.einsum("nthi,nuhi->nhtu", self.rotate(q), self.rotate(k))
        causal = np.tril(np.ones((T, T), bool))
        attention = jax.nn.softmax(jnp.where(causal, scores / H**0.5, -jnp.inf))
        mixed = jnp.einsum("nhtu,nuhi->nthi", attention, v).reshape(n, T, d)
        return self.linear(theta, f"{name}.o_proj", mixed)

    def rotate(self, x):
        """Rotates the pair (i, i + H/2) at position t by t θ^(-2i/H)."""
        _, T, _, H = x.shape
        base = self.config["rope_parameters"]["rope_theta"]
        angles = np.arange(T)[:, None] * base ** (-2 * np.arange(H // 2) / H)
        cos, sin = np.cos(angles)[:, None, :], np.sin(angles)[:, None, :]
        a, b = x[..., : H // 2], x[..., H // 2 :]
        return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)

    def mlp(self, theta, name, x):
        gate = jax.nn.silu(self.linear(theta, f"{name}.gate_proj", x))
        up = self.linear(theta, f"{name}.up_proj", x)
        return self.linear(theta, f"{name}.down_proj", gate * up)


def widened(weights):
    """The same numbers in float64."""
    return {name: jnp.asarray(array, jnp.float64) for name, array in weights.items()}


def versions():
    """One metadata entry: safetensors writes several in random order."""
    packages = ("neural-tangents", "jax", "jaxlib", "numpy", "safetensors")
    found = {name: importlib.metadata.version(name) for name in packages}
    return {"versions": json.dumps({"python": platform.python_version(), **found})}


if __name__ == "__main__":
    main()
