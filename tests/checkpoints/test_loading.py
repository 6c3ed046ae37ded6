"""Folder to model; parity with transformers is in tests/golden."""

import contextlib

import jax
import ml_dtypes
import numpy as np
import pytest
from jax import numpy as jnp

from ntkjax.checkpoints.embedded import EMBEDDED_MODEL
from ntkjax.checkpoints.loading import (
    FoundModel,
    find_model,
    load_model,
    locate_model,
    model_files,
    stored_dtype,
)
from ntkjax.devices.mesh import MeshShape, make_mesh, replicate
from ntkjax.errors import InputError
from ntkjax.models import stacking
from ntkjax.models.lora import LoraSettings
from tests.checkpoints.files import GOLDEN, PLAIN, plain_tensors, write_plain


LORA = LoraSettings(rank=2)
Q_PROJ = "model.layers.1.self_attn.q_proj.weight"
ONES = np.ones((3, 3), np.float32)


def test_every_tensor_arrives():
    model, stored = load_model(PLAIN, LORA), plain_tensors()
    assert model.frozen.keys() == stored.keys()
    for name, array in stored.items():
        assert (np.asarray(model.frozen[name]) == array).all(), name
    assert model.lora == LORA
    bare = load_model(PLAIN, None)
    assert bare.lora is None
    assert bare.theta_shapes.keys() == stored.keys()


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["plain", "bf16", "f16"])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_weights_are_cast(variant, dtype):
    model = load_model(GOLDEN / "llama" / variant, LORA, dtype)
    assert {leaf.dtype for leaf in model.frozen.values()} == {np.dtype(dtype)}
    theta_types = {np.dtype(np.float32)}
    theta = {name: jnp.zeros(shape) for name, shape in model.theta_shapes.items()}
    assert {leaf.dtype for leaf in theta.values()} == theta_types
    assert model.hidden(theta, jnp.arange(4, dtype=jnp.int32)).dtype == dtype


@pytest.mark.parametrize("shape", [(2, 1), (1, 2)], ids=["data", "model"])
def test_weights_lie_on_a_mesh(shape):
    mesh = make_mesh(MeshShape(*shape), jax.devices())
    seen = []

    @contextlib.contextmanager
    def watch(num_bytes):
        seen.append(-num_bytes)
        yield seen.append

    model, stored = load_model(PLAIN, LORA, watch=watch, mesh=mesh), plain_tensors()
    assert sum(seen) == 0
    assert -seen[0] == sum(array.nbytes for array in stored.values())
    for name, array in stored.items():
        leaf = model.frozen[name]
        assert (np.asarray(leaf) == array).all(), name
        assert leaf is replicate(leaf, mesh)  # it lies on the mesh
    up = model.frozen["model.layers.0.mlp.up_proj.weight"]
    rows = up.shape[0] // shape[1]
    assert {shard.data.shape[0] for shard in up.addressable_shards} == {rows}


@pytest.mark.parametrize(
    "shape", [None, (2, 1), (1, 2)], ids=["whole", "data", "model"]
)
def test_layers_of_a_deep_model_lie_side_by_side(shape, monkeypatch):
    monkeypatch.setattr(stacking, "STACKED_FROM", 2)
    mesh = None if shape is None else make_mesh(MeshShape(*shape), jax.devices())
    seen = []

    @contextlib.contextmanager
    def watch(num_bytes):
        seen.append(-num_bytes)
        yield seen.append

    model, stored = load_model(PLAIN, LORA, watch=watch, mesh=mesh), plain_tensors()
    assert model.is_stacked
    assert sum(seen) == 0
    assert model.weight_shapes == {name: array.shape for name, array in stored.items()}
    for name, array in stored.items():
        assert (np.asarray(model.weight(name)) == array).all(), name
    if mesh is not None:
        assert all(leaf is replicate(leaf, mesh) for leaf in model.frozen.values())
        up = model.frozen["model.layers.*.mlp.up_proj.weight"]
        layers, rows, _ = up.shape
        parts = {shard.data.shape[:2] for shard in up.addressable_shards}
        assert parts == {(layers, rows // shape[1])}


def test_a_number_that_is_not_finite_is_found_in_a_deep_model(tmp_path, monkeypatch):
    monkeypatch.setattr(stacking, "STACKED_FROM", 2)
    tensors = plain_tensors()
    tensors[Q_PROJ][3, 4] = np.nan
    with pytest.raises(InputError, match=r"layers\.1.*q_proj\.weight' has 1 numbers"):
        load_model(write_plain(tmp_path, tensors), LORA)


def test_missing_and_left_over_tensors_are_both_named(tmp_path):
    tensors = plain_tensors(**{Q_PROJ: ..., "model.layers.0.extra": ONES})
    with pytest.raises(InputError) as caught:
        load_model(write_plain(tmp_path, tensors), LORA)
    message = str(caught.value)
    assert f"1 missing ({Q_PROJ})" in message
    assert "1 left over (model.layers.0.extra)" in message
    assert str(tmp_path) in message


def test_many_missing_tensors_are_counted(tmp_path):
    tensors = {k: v for k, v in plain_tensors().items() if "layers.1." not in k}
    with pytest.raises(InputError, match=r"9 missing \(.*, …\)\.$"):
        load_model(write_plain(tmp_path, tensors), LORA)


def test_biases_without_attention_bias_are_left_over(tmp_path):
    tensors = plain_tensors(**{Q_PROJ.replace("weight", "bias"): ONES[0]})
    with pytest.raises(InputError, match=r"1 left over \(.*q_proj\.bias"):
        load_model(write_plain(tmp_path, tensors), LORA)


def test_wrong_shape(tmp_path):
    tensors = plain_tensors(**{Q_PROJ: plain_tensors()[Q_PROJ][:, :-1].copy()})
    message = r"q_proj\.weight' has shape \(32, 31\), but config.* \(32, 32\)"
    with pytest.raises(InputError, match=message):
        load_model(write_plain(tmp_path, tensors), LORA)


def test_diverged_weights(tmp_path):
    tensors = plain_tensors()
    tensors[Q_PROJ][3, 4] = np.nan
    with pytest.raises(InputError, match=r"q_proj\.weight' has 1 numbers that are NaN"):
        load_model(write_plain(tmp_path, tensors), LORA)


def test_rotary_buffers_are_ignored(tmp_path):
    buffers = {
        f"model.layers.{i}.self_attn.rotary_emb.inv_freq": np.ones(4, np.float32)
        for i in range(2)
    }
    model = load_model(write_plain(tmp_path, plain_tensors(**buffers)), LORA)
    assert model.frozen.keys() == plain_tensors().keys()


def test_tied_head_stored_twice(tmp_path):
    embedding = plain_tensors()["model.embed_tokens.weight"]
    tensors = plain_tensors(**{"lm_head.weight": embedding.copy()})
    model = load_model(write_plain(tmp_path, tensors, tie_word_embeddings=True), LORA)
    assert "lm_head.weight" not in model.frozen
    assert (np.asarray(model.head) == embedding.T).all()


@pytest.mark.parametrize(
    "head",
    [plain_tensors()["lm_head.weight"], plain_tensors()["lm_head.weight"][:-2].copy()],
    ids=["values", "shape"],
)
def test_tied_head_stored_twice_and_different(tmp_path, head):
    tensors = plain_tensors(**{"lm_head.weight": head})
    folder = write_plain(tmp_path, tensors, tie_word_embeddings=True)
    with pytest.raises(InputError, match=r"different lm_head\.weight"):
        load_model(folder, LORA)


def test_tied_head_without_an_embedding(tmp_path):
    tensors = plain_tensors(**{"model.embed_tokens.weight": ...})
    folder = write_plain(tmp_path, tensors, tie_word_embeddings=True)
    with pytest.raises(InputError, match=r"1 missing \(model\.embed_tokens\.weight\)"):
        load_model(folder, LORA)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.bool_], ids=str)
def test_integer_weights_are_refused(tmp_path, dtype):
    # A quantized matrix without its scales would load as wrong numbers.
    tensors = plain_tensors(**{Q_PROJ: np.ones((32, 32), dtype)})
    with pytest.raises(InputError, match=r"q_proj\.weight' .*(int8|bool).*floating"):
        load_model(write_plain(tmp_path, tensors), LORA)


def test_float64_and_mixed_weights_load(tmp_path):
    stored = plain_tensors()[Q_PROJ]
    wide = stored.astype(np.float64)
    half = plain_tensors()["lm_head.weight"].astype(ml_dtypes.bfloat16)
    tensors = plain_tensors(**{Q_PROJ: wide, "lm_head.weight": half})
    model = load_model(write_plain(tmp_path, tensors), LORA)
    assert (np.asarray(model.frozen[Q_PROJ]) == stored).all()
    head = np.asarray(model.frozen["lm_head.weight"])
    assert (head == half.astype(np.float32)).all()


@pytest.mark.parametrize(
    ("variant", "dtype"),
    [("plain", "float32"), ("bf16", "bfloat16"), ("f16", "float16")],
)
def test_the_stored_type(variant, dtype):
    assert stored_dtype(GOLDEN / "llama" / variant) == np.dtype(dtype)


def test_mixed_types_are_named(tmp_path):
    half = plain_tensors()["lm_head.weight"].astype(ml_dtypes.bfloat16)
    folder = write_plain(tmp_path, plain_tensors(**{"lm_head.weight": half}))
    message = (
        r"dtype stored: .* are bfloat16 \(lm_head\.weight\) and float32 "
        r"\(model\.embed_tokens\.weight\); choose one of float32, bfloat16, float16"
    )
    with pytest.raises(InputError, match=message):
        stored_dtype(folder)


def test_types_that_are_not_the_models_do_not_count(tmp_path):
    buffer = "model.layers.0.self_attn.rotary_emb.inv_freq"
    tensors = {
        name: array.astype(np.float16) for name, array in plain_tensors().items()
    }
    tensors["lm_head.weight"] = plain_tensors()["model.embed_tokens.weight"]
    tensors[buffer] = np.ones(4, np.float32)
    folder = write_plain(tmp_path, tensors, tie_word_embeddings=True)
    assert stored_dtype(folder) == np.float16


def test_no_model_runs_in_float64(tmp_path):
    wide = {name: array.astype(np.float64) for name, array in plain_tensors().items()}
    with pytest.raises(InputError, match=r"are float64 .*; choose one of float32"):
        stored_dtype(write_plain(tmp_path, wide))


def test_shapes_and_types_are_checked_before_anything_is_read(tmp_path):
    # The first tensor of the file is damaged too, but that takes reading.
    tensors = plain_tensors(**{Q_PROJ: np.ones((32, 32), np.int8)})
    tensors["lm_head.weight"][0, 0] = np.nan
    with pytest.raises(InputError, match=r"q_proj\.weight' is int8"):
        load_model(write_plain(tmp_path, tensors), LORA)


def test_every_byte_is_watched():
    seen = []

    @contextlib.contextmanager
    def watch(num_bytes):
        seen.append(num_bytes)
        yield lambda count: seen.append(-count)

    load_model(GOLDEN / "llama" / "bf16", LORA, jnp.float32, watch)
    sizes = [array.size for array in plain_tensors().values()]
    assert seen[0] == 2 * sum(sizes)
    assert sum(seen) == 0


def test_what_was_found(tmp_path):
    assert locate_model(str(tmp_path)) == FoundModel(tmp_path, str(tmp_path))
    assert locate_model("embedded") == FoundModel(EMBEDDED_MODEL, "embedded")


def test_find_a_folder(tmp_path, monkeypatch):
    (tmp_path / "owner" / "name").mkdir(parents=True)
    assert find_model(str(tmp_path)) == tmp_path
    monkeypatch.chdir(tmp_path)
    assert find_model("owner/name").is_dir()  # before any hub is asked
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_model("~/owner") == tmp_path / "owner"


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("no-such-folder", "no such folder, and no hub id"),
        ("/no/such/folder", "no such folder, and no hub id"),
        ("./owner/name", "no such folder, and no hub id"),
        ("../name", "no such folder, and no hub id"),
        ("~no-such-user/name", "no such folder, and no hub id"),
        ("a/b/c", "no such folder, and no hub id"),
        ("ntkjax-tests/no-such-model", "no such folder, and it is not in the cache"),
        ("ntkjax-tests/none@v1", "no such folder, and it is not in the cache"),
    ],
)
def test_find_nothing(model, message):
    with pytest.raises(InputError, match=message) as caught:
        find_model(model)
    text = str(caught.value)
    assert text.startswith(f"model {model}: ")
    assert "\n" not in text


def test_find_a_file_in_place_of_a_folder(tmp_path):
    path = tmp_path / "model.safetensors"
    path.touch()
    with pytest.raises(InputError, match="expected a folder, but it is a file"):
        find_model(str(path))


def test_model_files():
    names = {path.name for path in model_files(GOLDEN / "llama" / "sharded")}
    shards = {f"model-0000{i}-of-00004.safetensors" for i in (1, 2, 3, 4)}
    assert names >= shards | {"config.json", "model.safetensors.index.json"}
