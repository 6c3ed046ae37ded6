"""Whole runs on the tiny world; arrays against what the run's own files imply."""

import html
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
import scipy.stats

from ntkjax.checkpoints.adapter import read_adapter, read_adapter_settings
from ntkjax.checkpoints.loading import load_model
from ntkjax.commands.fidelity import run as module
from ntkjax.commands.fidelity.run import run_fidelity
from ntkjax.commands.fidelity.settings import FidelitySettings
from ntkjax.errors import InputError
from ntkjax.fidelity.result import FidelityResult
from ntkjax.math.bootstrap import Estimate
from ntkjax.math.seeds import stream
from ntkjax.reports.fidelity.tables import fidelity_cells
from ntkjax.runs.model import LoraOptions
from ntkjax.settings.config_file import read_config_file
from ntkjax.store.results import read_result
from tests.commands.world import NUM_QUERIES, SMALL_ALPHABET, build_world
from tests.oracles import jacobians, normwise, to_float64


pytestmark = pytest.mark.slow


KERNELS = ("summed", "centered", "spectral_1", "random_2", "deflated_1_2")


def run(world, **changes) -> FidelityResult:
    return run_fidelity(FidelitySettings(**world.settings(**changes))).result


def read(out, name="fidelity.json"):
    def refuse(constant):
        raise AssertionError(f"{constant} in {name}")

    return json.loads((out / name).read_text(), parse_constant=refuse)


def arrays_of(out) -> dict:
    return safetensors.numpy.load_file(out / "kernels.safetensors")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = build_world(tmp_path_factory.mktemp("world"))
    world.write_adapter("a", seed=1)
    world.write_adapter("b", seed=2)
    return world


@pytest.fixture(scope="module")
def finished(world):
    """A run at adapter A that compares it with adapter B."""
    out = world.root / "finished"
    run(
        world,
        out=out,
        kernels=KERNELS,
        adapter=world.root / "a",
        compare_adapter=world.root / "b",
    )
    return out


def logit_jacobians(model_folder, adapter, examples, vocab_size) -> np.ndarray:
    """∇ Σ_t ω_t logits_t in float64 from stored tokens and weights, [n, V, P]."""
    model = load_model(model_folder, read_adapter_settings(adapter))
    theta = read_adapter(adapter, model)
    longest = max(len(example["tokens"]) for example in examples)

    def filled(name):
        return [e[name] + [0] * (longest - len(e[name])) for e in examples]

    with jax.enable_x64(True):
        wide = model.astype(jnp.float64)
        xs = (
            jnp.asarray(filled("tokens"), jnp.int32),
            jnp.asarray(filled("weights"), jnp.float64),
        )

        def f(theta, x):
            tokens, weights = x
            logits = wide.logits(theta, wide.hidden(theta, tokens))
            return weights @ logits[:, :vocab_size]

        return jacobians(f, to_float64(theta), xs)


@pytest.fixture(scope="module")
def dense(world, finished):
    stored = read(finished, "examples.json")
    return [
        logit_jacobians(world.model, finished / "adapter", stored[name], 64)
        for name in ("queries", "candidates")
    ]


def true_kernel(name, at_x, at_y, model_folder) -> np.ndarray:
    exact = np.einsum("nvp,mvp->nm", at_x, at_y)
    summed = at_x.sum(axis=1) @ at_y.sum(axis=1).T
    if name == "exact":
        return exact
    if name == "summed":
        return summed
    if name == "centered":
        return exact - summed / at_x.shape[1]
    # e_1ᵀh̄ · σ_1 is the first right singular vector of W [d, V] on the logits
    head = safetensors.numpy.load_file(model_folder / "model.safetensors")
    right = np.linalg.svd(head["lm_head.weight"].astype(np.float64).T)[2]
    return (right[0] @ at_x) @ (right[0] @ at_y).T


@pytest.mark.parametrize("name", ["exact", "summed", "centered", "spectral_1"])
def test_arrays_follow_from_examples_and_adapter_alone(world, finished, dense, name):
    """float32 derivatives of a one-layer model: 1e-6; 1e-4 leaves room for cores."""
    expected = true_kernel(name, *dense, world.model)
    assert normwise(arrays_of(finished)[name], expected) < 1e-4


def test_stored_adapter_is_the_one_given(world, finished):
    model = load_model(world.model, read_adapter_settings(world.root / "a"))
    given = read_adapter(world.root / "a", model)
    stored = read_adapter(finished / "adapter", model)
    for name, leaf in given.items():
        np.testing.assert_array_equal(leaf, stored[name])
    assert read_adapter_settings(finished / "adapter").scale == model.lora.scale


def test_result_agrees_with_the_arrays(finished):
    result, arrays = read(finished), arrays_of(finished)
    assert [k["name"] for k in result["kernels"]] == ["exact", *KERNELS]
    assert [k["name"] for k in result["sketches"]] == [
        "exact·shift_64",
        "summed·shift_64",
    ]
    assert set(arrays) == {
        "exact@compare_adapter",
        *(k["name"] for k in result["kernels"] + result["sketches"]),
    }
    exact = arrays["exact"].astype(np.float64)
    for kernel in result["kernels"] + result["sketches"]:
        values = arrays[kernel["name"]].astype(np.float64)
        ratio = np.median(np.abs(values - exact) / np.abs(exact))
        # stored as float32, measured in float64
        found = kernel["cross_terms"]["raw_pairs"]["q50"]
        assert found == pytest.approx(ratio, rel=1e-4, abs=1e-7)
        rank = scipy.stats.spearmanr(values.mean(axis=0), exact.mean(axis=0))
        found = kernel["mean_score"]["spearman"]["value"]
        assert found == pytest.approx(rank.statistic, abs=1e-12)
        rows = [
            scipy.stats.spearmanr(a, b).statistic
            for a, b in zip(values, exact, strict=True)
        ]
        found = kernel["per_query"]["spearman"]["value"]
        assert found == pytest.approx(np.mean(rows), abs=1e-12)
    assert result["readout"] == "hidden"
    assert result["num_parameters"] == 2 * (32 + 32) + 2 * (32 + 48)
    assert (result["vocab_size"], result["padded_rows"]) == (64, 0)


def test_page_has_the_numbers_of_the_result(finished):
    result = read_result(finished / "fidelity.json", FidelityResult)
    page = (finished / "report.html").read_text()
    rows = re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', page, re.DOTALL)
    shown = [
        (html.unescape(name), *map(html.unescape, re.findall(r"<td>(.*?)</td>", cells)))
        for name, cells in rows
    ]
    kernels = [*result.kernels, *result.sketches, result.stability]
    for kernel in kernels:
        assert fidelity_cells(kernel) in shown


def test_other_files_say_what_was_run(world, finished):
    manifest = read(finished, "manifest.json")
    assert manifest["command"] == "fidelity"
    assert manifest["precision"] == "float32 matrix products"
    assert manifest["padded_head_rows_left_out"] == 0
    assert f"compare_adapter: {world.root / 'b'}" in (
        (finished / "run.yaml").read_text()
    )
    assert not list(finished.glob("*.partial"))


def test_another_adapter_gives_another_kernel(finished):
    result, arrays = read(finished), arrays_of(finished)
    stability = result["stability"]
    assert stability["cross_terms"]["cosine"] < 0.999
    exact, other = (
        arrays[name].astype(np.float64) for name in ("exact", "exact@compare_adapter")
    )
    cosine = np.sum(exact * other) / np.linalg.norm(exact) / np.linalg.norm(other)
    assert stability["cross_terms"]["cosine"] == pytest.approx(cosine, abs=1e-6)


def test_the_kernel_at_the_other_adapter(world, finished):
    stored = read(finished, "examples.json")
    at_x, at_y = (
        logit_jacobians(world.model, world.root / "b", stored[name], 64)
        for name in ("queries", "candidates")
    )
    expected = np.einsum("nvp,mvp->nm", at_x, at_y)
    assert normwise(arrays_of(finished)["exact@compare_adapter"], expected) < 1e-4


def test_the_same_adapter_and_seed_give_the_same_numbers(world, finished):
    out = world.root / "same"
    adapter = world.root / "a"
    changes = {"kernels": KERNELS, "adapter": adapter, "compare_adapter": adapter}
    stability = run(world, out=out, **changes).stability
    assert stability.cross_terms.cosine == pytest.approx(1, abs=1e-12)
    for order in (stability.per_query, stability.mean_score):
        assert order.spearman == Estimate(1.0, 1.0, 1.0)
    first, second = arrays_of(finished), arrays_of(out)
    for name in first.keys() - {"exact@compare_adapter"}:
        np.testing.assert_array_equal(first[name], second[name])
    np.testing.assert_array_equal(second["exact"], second["exact@compare_adapter"])


def test_interrupted_run_is_not_finished_and_can_be_run_again(world, monkeypatch):
    out = world.root / "interrupted"
    changes = {"out": out, "shuffle": False, "kernels": ("summed",), "sketches": ()}

    def interrupt(*arguments, **named):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_adapter", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run(world, **changes)
    assert (out / "run.yaml").exists()
    assert not (out / "fidelity.json").exists()
    run(world, **changes)
    stored = read(out, "examples.json")
    assert [e["id"] for e in stored["queries"]] == ["q0", "q1", "q2"]
    assert [e["id"] for e in stored["candidates"]] == [f"c{i}" for i in range(6)]
    assert [k["name"] for k in read(out)["kernels"]] == ["exact", "summed"]


def test_shuffle_follows_the_seed(finished):
    ids = [e["id"] for e in read(finished, "examples.json")["queries"]]
    rng = np.random.default_rng(stream(0, "queries"))
    order = rng.permutation(NUM_QUERIES)[:3]
    assert ids == [f"q{i}" for i in order]


def texts(world, pooling):
    settings = FidelitySettings(**world.settings(pooling=pooling))
    found, _ = module._read(settings, world.model)
    return module._examples(found, pooling)["queries"]


def test_pooling_decides_the_weights(world):
    for whole, response, last in zip(
        *(texts(world, pooling) for pooling in ("all", "response", "last")), strict=True
    ):
        assert whole["tokens"] == response["tokens"] == last["tokens"]
        T = len(whole["tokens"])
        newline = whole["tokens"].index(4 + SMALL_ALPHABET.index("Ċ"))
        np.testing.assert_allclose(whole["weights"], np.full(T, 1 / T), rtol=1e-6)
        target = np.arange(T) >= newline
        expected = target / target.sum()
        np.testing.assert_allclose(response["weights"], expected, rtol=1e-6)
        assert last["weights"] == [0.0] * (T - 1) + [1.0]


def test_an_adapter_in_the_head_takes_the_full_logit_path(world):
    out = world.root / "logits"
    lora = LoraOptions(rank=1, targets=("q_proj", "lm_head"))
    changes = {"lora": lora, "num_queries": 2, "num_candidates": 3, "sketches": ()}
    for asked in ("spectral_1", "deflated_1_2", "centered_spectral_1"):
        with pytest.raises(InputError, match=f"kernels {asked}: .*lm_head"):
            run(world, out=out, kernels=(asked,), **changes)
    assert not out.exists()

    default = FidelitySettings.kernels
    result = run(world, out=out, kernels=default, **changes)
    names = [kernel.name for kernel in result.kernels]
    assert names == ["exact", "summed", "centered", "random_1", "random_16"]
    assert result.readout == "logits"
    assert "lm_head" in result.readout_note
    assert read(out, "manifest.json")["readout_note"] == result.readout_note
    stored = read(out, "examples.json")
    at_x, at_y = (
        logit_jacobians(world.model, out / "adapter", stored[name], 64)
        for name in ("queries", "candidates")
    )
    for name in ("exact", "summed", "centered"):
        expected = true_kernel(name, at_x, at_y, world.model)
        assert normwise(arrays_of(out)[name], expected) < 1e-4


def test_padded_rows_of_the_head_are_left_out(tmp_path):
    """A tokenizer of 32 tokens on a head of 64 rows."""
    world = build_world(tmp_path, SMALL_ALPHABET)
    adapter = world.write_adapter("a")
    result = run(world, kernels=("summed",), sketches=(), adapter=adapter)
    assert (result.vocab_size, result.padded_rows) == (32, 32)
    assert read(world.out, "manifest.json")["padded_head_rows_left_out"] == 32
    stored = read(world.out, "examples.json")
    at_x, at_y = (
        logit_jacobians(world.model, adapter, stored[name], 32)
        for name in ("queries", "candidates")
    )
    for name in ("exact", "summed"):
        expected = true_kernel(name, at_x, at_y, world.model)
        assert normwise(arrays_of(world.out)[name], expected) < 1e-4


def test_a_kernel_that_overflows_is_refused_with_the_examples_name(world):
    path = world.root / "a" / "adapter_model.safetensors"
    arrays = safetensors.numpy.load_file(path)
    huge = world.root / "huge"
    huge.mkdir()
    (huge / "adapter_config.json").write_bytes(
        (world.root / "a" / "adapter_config.json").read_bytes()
    )
    scaled = {name: array * np.float32(1e25) for name, array in arrays.items()}
    safetensors.numpy.save_file(scaled, huge / "adapter_model.safetensors")
    with pytest.raises(
        InputError, match=r"the kernel of query '.+' with itself is NaN"
    ):
        run(world, out=world.root / "overflow", adapter=huge)
    assert not (world.root / "overflow" / "fidelity.json").exists()


def test_bfloat16(world, finished):
    """8 bits of mantissa: within a few percent, and not the float32 numbers."""
    out = world.root / "bfloat16"
    adapter = world.root / "a"
    run(world, out=out, kernels=(), sketches=(), adapter=adapter, dtype="bfloat16")
    error = normwise(arrays_of(out)["exact"], arrays_of(finished)["exact"])
    assert 1e-5 < error < 0.1


def test_stories260k_has_large_cross_terms_and_keeps_the_order(shared, tmp_path):
    """Facts of real text, at half of the command's default size."""
    model = shared / "models" / "stories260k"
    out = tmp_path / "run"
    settings = FidelitySettings(
        model=str(model),
        queries=(shared / "data" / "financial_train.jsonl",),
        candidates=(shared / "data" / "pool_cot.jsonl",),
        out=out,
        num_candidates=40,
        kernels=("summed", "spectral_1"),
        sketches=(),
    )
    _, summed, spectral = run_fidelity(settings).result.kernels
    assert (summed.name, spectral.name) == ("summed", "spectral_1")
    assert summed.cross_terms.raw_pairs.q50 > 50
    order = lambda kernel: kernel.mean_score.spearman.value
    assert order(summed) > 0.85
    assert order(spectral) > order(summed) - 0.02
    stored = read(out, "examples.json")
    at_x, at_y = (
        logit_jacobians(model, out / "adapter", stored[name][:number], 512)
        for name, number in (("queries", 1), ("candidates", 2))
    )
    expected = np.einsum("nvp,mvp->nm", at_x, at_y)
    assert normwise(arrays_of(out)["exact"][:1, :2], expected) < 1e-4


def test_run_yaml_can_be_replayed(world, finished):
    values = read_config_file(finished / "run.yaml", FidelitySettings)
    again = run_fidelity(FidelitySettings(**values, out=finished))
    assert again.reused


def test_inputs_are_hashed_in_the_manifest(finished):
    inputs = read(finished, "manifest.json")["inputs"]
    names = {"model", "queries", "candidates", "adapter", "compare_adapter"}
    assert set(inputs) == names
    assert all(len(digest) == 64 for digest in inputs.values())


def test_a_kernel_that_is_zero_is_refused(world):
    zero = world.root / "zero"
    zero.mkdir()
    for path in (world.root / "a").iterdir():
        (zero / path.name).write_bytes(path.read_bytes())
    path = zero / "adapter_model.safetensors"
    arrays = safetensors.numpy.load_file(path)
    zeros = {name: np.zeros_like(array) for name, array in arrays.items()}
    safetensors.numpy.save_file(zeros, path)
    with pytest.raises(InputError, match="the exact kernel is zero everywhere"):
        run(world, out=world.root / "nothing", adapter=zero)
