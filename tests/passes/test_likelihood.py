from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkjax.devices.mesh import data_mesh
from ntkjax.errors import InputError
from ntkjax.outputs.loss import Loss
from ntkjax.passes import likelihood as module
from ntkjax.passes.likelihood import likelihoods
from tests.compilations import compilations
from tests.evaluation.problem import slow_nll
from tests.oracles import to_float64
from tests.problems import random_examples, random_model, tiny_config


CONFIG = tiny_config(num_layers=1)
MODEL, THETA = random_model(CONFIG)
TEXTS = random_examples(11, longest=22)


def run(texts=TEXTS, model=MODEL, theta=THETA, *, devices=2, tokens=60, limit=24):
    mesh = data_mesh(devices)
    return likelihoods(
        model, theta, texts, max_length=limit, mesh=mesh, tokens_per_batch=tokens
    )


def test_against_a_float64_loop_without_batches():
    with jax.enable_x64(True):
        wide, theta = MODEL.astype(jnp.float64), to_float64(THETA)
        expected = [slow_nll(wide, theta, text) for text in TEXTS]
    found = run()
    assert found.nll.dtype == np.float64
    # float32 losses of about 4 per token
    np.testing.assert_allclose(found.nll, expected, rtol=1e-5)
    assert found.tokens.tolist() == [int(t.targets.sum()) for t in TEXTS]
    np.testing.assert_allclose(found.mean, expected / found.tokens, rtol=1e-5)


def test_a_first_token_is_never_predicted():
    (text,) = random_examples(1)
    text.targets[:] = True
    found = run([text])
    assert found.tokens.tolist() == [len(text.tokens) - 1]
    text.targets[0] = False
    assert run([text]).nll == found.nll


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        {"devices": 1},
        {"tokens": 1},
        {"tokens": 9999},
        {"limit": 48},
    ],
    ids=str,
)
def test_devices_batches_and_padding_change_nothing(change):
    # Another shape is another program, which may add in another order.
    np.testing.assert_allclose(run(**change).nll, run().nll, rtol=1e-5)


def test_batch_mates_and_their_order_change_nothing():
    order = np.random.default_rng(0).permutation(len(TEXTS))
    shuffled = run([TEXTS[row] for row in order]).nll
    np.testing.assert_allclose(shuffled, run().nll[order], rtol=1e-5)
    alone = [run([text]).nll[0] for text in TEXTS[:3]]
    np.testing.assert_allclose(alone, run().nll[:3], rtol=1e-5)


def test_no_texts():
    found = run([])
    assert found.nll.shape == found.tokens.shape == (0,)


def test_other_adapters_and_weights_share_the_programs():
    found = [run().nll]
    other_model, other_theta = random_model(CONFIG, seed=5)
    for model, theta in ((MODEL, other_theta), (other_model, THETA)):
        again = lambda m=model, t=theta: found.append(run(model=m, theta=t).nll)
        assert compilations(again) == 0
        assert not np.allclose(found[-1], found[0], rtol=1e-3)


def test_few_logits_at_once_change_nothing(monkeypatch):
    expected = run().nll
    monkeypatch.setattr(module, "Loss", partial(Loss, block_size=3))
    np.testing.assert_allclose(run().nll, expected, rtol=1e-5)


def test_an_overflow_names_the_example():
    theta = {name: leaf * jnp.float32(1e30) for name, leaf in THETA.items()}
    with pytest.raises(InputError, match=r"likelihood of example '0' is NaN or inf"):
        run(theta=theta)


def test_a_bad_text_is_named_and_no_other():
    frozen = dict(MODEL.frozen)
    name = "model.embed_tokens.weight"
    frozen[name] = frozen[name].at[39].set(jnp.nan)
    bad = [text.id for text in TEXTS if 39 in text.tokens]
    assert 0 < len(bad) < len(TEXTS)
    model = type(MODEL)(MODEL.config, MODEL.lora, MODEL.graphdef, frozen)
    with pytest.raises(InputError, match=rf"of example '({'|'.join(bad)})' is"):
        run(model=model)
