import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkjax.checkpoints.loading import load_model
from ntkjax.data.tokenizer import load_tokenizer, vocabulary_size
from ntkjax.devices.mesh import data_mesh
from ntkjax.errors import InputError
from ntkjax.evaluation.generation import generate
from ntkjax.models.config import Llama3Scaling
from ntkjax.models.lora import LoraSettings, initial_theta
from tests.evaluation.problem import prompt_of, slow_generate
from tests.problems import random_model, tiny_config


pytestmark = pytest.mark.slow


SCALED = Llama3Scaling(8.0, 1.0, 4.0, 16)
CONFIGS = {
    "grouped": tiny_config(),
    "scaled, tied": tiny_config(scaling=SCALED, tie_embeddings=True),
}
NEW = 9


def draw_prompts(number=7):
    rng = np.random.default_rng(3)
    lengths = rng.permutation(np.arange(1, number + 1) * 3)
    return [prompt_of(rng.integers(0, 40, length), f"p{length}") for length in lengths]


def run(model, theta, prompts, *, devices=2, tokens=8, limit=30, stops=(), **to):
    found = generate(
        model,
        theta,
        prompts,
        max_length=limit,
        max_new_tokens=to.get("new", NEW),
        stop_ids=stops,
        vocab_size=to.get("vocab_size", 40),
        mesh=data_mesh(devices),
        tokens_per_batch=tokens,
    )
    return [tokens.tolist() for tokens in found]


def slow_answers(config):
    """A model, θ, and what the full forward pass gives for each prompt."""
    model, theta = random_model(config)
    # Equal tokens, not almost equal ones: the two best logits of these models differ by
    # far more than rounding.
    expected = [
        slow_generate(model, theta, p.tokens, NEW, None, 40) for p in draw_prompts()
    ]
    return model, theta, expected


@pytest.fixture(scope="module")
def slow():
    """One layer, which compiles in half the time."""
    return slow_answers(tiny_config(num_layers=1))


@pytest.mark.parametrize("name", CONFIGS)
def test_against_the_full_forward_pass_again_for_each_token(name):
    model, theta, expected = slow_answers(CONFIGS[name])
    assert run(model, theta, draw_prompts()) == expected
    assert len({tuple(tokens) for tokens in expected}) > 3


def test_ends_at_end_of_text(slow):
    model, theta, expected = slow
    met = [set(tokens) for tokens in expected]
    eos_id = min(t for t in set.union(*met) if t not in set.intersection(*met))
    cut = [t[: t.index(eos_id)] if eos_id in t else t for t in expected]
    assert {len(tokens) for tokens in cut} > {NEW}  # some end early, some do not
    assert run(model, theta, draw_prompts(), stops=(eos_id,)) == cut


def test_ends_at_the_first_of_several_stop_tokens(slow):
    model, theta, expected = slow
    stops = {expected[0][4], expected[1][2]}
    cut = [
        list(itertools.takewhile(lambda t: t not in stops, tokens))
        for tokens in expected
    ]
    assert len({len(tokens) for tokens in cut}) > 2
    # the order of the stop tokens, and one given twice, count for nothing
    for given in (sorted(stops), [*sorted(stops, reverse=True), min(stops)]):
        assert run(model, theta, draw_prompts(), stops=given) == cut


def test_all_rows_may_end_at_once(slow):
    model, theta, expected = slow
    assert run(model, theta, draw_prompts()[:1], stops=(expected[0][0],)) == [[]]


def test_one_new_token(slow):
    model, theta, expected = slow
    found = run(model, theta, draw_prompts(), new=1)
    assert found == [tokens[:1] for tokens in expected]


@pytest.mark.parametrize(
    "change", [{"devices": 1}, {"tokens": 1}, {"tokens": None}], ids=str
)
def test_devices_and_batches_change_nothing(slow, change):
    model, theta, expected = slow
    assert run(model, theta, draw_prompts(), **change) == expected


def test_rows_of_the_head_beyond_the_tokenizer_are_never_chosen(slow):
    model, theta, expected = slow
    most = max(max(tokens) for tokens in expected)
    found = run(model, theta, draw_prompts(), vocab_size=most)
    assert max(max(tokens) for tokens in found) < most
    again = [
        slow_generate(model, theta, p.tokens, NEW, None, most) for p in draw_prompts()
    ]
    assert found == again


def test_no_prompts(slow):
    assert run(*slow[:2], []) == []


def test_an_overflow_names_the_example(slow):
    model, theta, _ = slow
    huge = {name: leaf * jnp.float32(1e30) for name, leaf in theta.items()}
    with pytest.raises(InputError, match=r"next logit of example 'p\d+' is NaN or"):
        run(model, huge, draw_prompts())


def test_stories260k_tells_a_story(shared):
    """The golden continuation of a small model that knows little but stories."""
    folder = shared / "models" / "stories260k"
    model = load_model(folder, LoraSettings())
    theta = initial_theta(model.theta_shapes, jax.random.key(0))
    tokenizer = load_tokenizer(folder)
    starts = ("Once upon a time", "One day, a little girl named Lily found a")
    plain = tokenizer(starts, add_special_tokens=False).input_ids
    prompts = [prompt_of([1, *tokens]) for tokens in plain]
    found = generate(
        model,
        theta,
        prompts,
        max_length=64,
        max_new_tokens=24,
        stop_ids=(2,),
        vocab_size=vocabulary_size(tokenizer),
        mesh=data_mesh(),
    )
    texts = [tokenizer.decode(tokens) for tokens in found]
    assert "there was a" in texts[0]
    assert texts[0].count(" ") > 4
    for prompt, tokens in zip(prompts, found, strict=True):
        expected = slow_generate(model, theta, prompt.tokens, 6, 2, 512)
        assert tokens[:6].tolist() == expected
