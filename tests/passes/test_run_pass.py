import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkjax.data.tokenizing import TokenizedExample
from ntkjax.devices.mesh import data_mesh
from ntkjax.errors import InputError
from ntkjax.passes.run_pass import Batching, batch_results, collect, run_pass
from tests.compilations import compilations
from tests.problems import random_examples


EXAMPLES = random_examples(23, longest=30)


def total(fixed, batch):
    """Σ_t ω_t token_t, and the same times `fixed`: [n, 2]."""
    sums = jnp.sum(batch.weights * batch.tokens.astype(jnp.float32), axis=1)
    return jnp.stack([sums, fixed * sums], axis=1)


def batching(tokens=64, num_devices=2, **changes):
    fields = {"pooling": "all", "max_length": 30, "mesh": data_mesh(num_devices)}
    return Batching(tokens_per_batch=tokens, **(fields | changes))


@pytest.mark.parametrize("num_devices", [1, 2])
@pytest.mark.parametrize("tokens", [1, 100, None])
@pytest.mark.parametrize("length_normalize", [True, False])
def test_results_come_back_in_order(num_devices, tokens, length_normalize):
    how = batching(tokens, num_devices, length_normalize=length_normalize)
    found = run_pass(total, jnp.float32(3), EXAMPLES, how, what="total")
    pool = np.mean if length_normalize else np.sum
    sums = np.array([pool(example.tokens) for example in EXAMPLES])
    np.testing.assert_allclose(found, np.stack([sums, 3 * sums], axis=1), rtol=1e-6)


def test_batches_are_a_multiple_of_the_devices_and_hold_every_row_once():
    places = []
    for rows, batch in batching(100, 2).batches(EXAMPLES):
        assert len(rows) == len(batch.tokens) == 6  # 2 · 3 · 30 tokens
        places += rows[rows >= 0].tolist()
    assert sorted(places) == list(range(23))


def test_a_batch_holds_the_tokens_that_are_asked_for_and_one_example_at_least():
    how = batching(100, 2)
    assert [how.rows_at(length) for length in (16, 30, 100, 101)] == [12, 6, 2, 2]
    assert batching(None, 1).rows_at(16) == 32  # 512 tokens on a CPU
    assert how.fitted(np.array([30]), 5).rows_at(16) == 6  # no more than there are


def test_padding_is_what_the_batches_hold_beside_the_examples():
    lengths = np.array([len(example.tokens) for example in EXAMPLES])
    how = batching(100).fitted(lengths, 23)
    shards = [EXAMPLES[:10], EXAMPLES[10:20], EXAMPLES[20:]]
    sizes = [batch.tokens.size for shard in shards for _, batch in how.batches(shard)]
    assert how.padding(lengths, 10) == sum(sizes) / lengths.sum() - 1 > 0
    assert batching(1, 1).fitted(np.full(9, 30), 9).padding(np.full(9, 30), 4) == 0


def test_lengths_of_a_sample_stand_for_many():
    lengths = np.repeat([16, 32], 8)
    how = batching(max_length=64)
    assert how.fitted(lengths, 16).padded == (32, 64)
    assert how.fitted(lengths, 400).padded == (16, 32, 64)  # 200 · 16 tokens less


def test_progress_counts_examples_and_not_copies():
    counts = []
    run_pass(
        total, jnp.float32(1), EXAMPLES, batching(), what="total", advance=counts.append
    )
    assert sum(counts) == 23
    assert max(counts) == 4


def test_programs_are_shared_between_passes():
    how = batching(128)
    again = batching(128, mesh=data_mesh(2))  # an equal mesh

    def a_pass(how, examples, number):
        fixed = jnp.float32(number)
        return lambda: run_pass(total, fixed, examples, how, what="total")

    jax.clear_caches()
    assert compilations(a_pass(how, EXAMPLES, 1)) > 0
    assert compilations(a_pass(again, EXAMPLES[::-1], 2)) == 0


def inverse_of_first(fixed, batch):
    return fixed / batch.tokens[:, 0].astype(jnp.float32)


def test_numbers_that_are_not_finite_name_the_example():
    def example(name, token):
        tokens = np.array([token, 5], np.int32)
        return TokenizedExample(name, tokens, np.array([False, True]), False)

    examples = [example("a", 1), example("b", 2), example("the third", 0)]
    message = r"the inverse of example 'the third' is NaN or infinite: .* dtype"
    with pytest.raises(InputError, match=message):
        run_pass(
            inverse_of_first, jnp.float32(1), examples, batching(2), what="inverse"
        )


def test_batches_of_ones_own_are_collected_in_order():
    started = [
        (np.array([2, -1, 0]), np.array([5.0, np.nan, 3.0])),
        (np.array([1]), [4]),
    ]
    examples, counts = EXAMPLES[:3], []
    found = collect(started, examples, what="total", advance=counts.append)
    assert found.tolist() == [3.0, 4.0, 5.0]
    assert counts == [2, 1]
    started[1] = np.array([1]), [np.inf]
    message = f"^the total of example '{examples[1].id}' is NaN or infinite; wait.$"
    with pytest.raises(InputError, match=message):
        collect(started, examples, what="total", cure="; wait")


def test_weights_are_zero_for_copies():
    weights = 1 + np.arange(23.0)
    found = batch_results(weighted, jnp.float32(2), EXAMPLES, batching(), weights)
    for rows, result in found:
        assert result.tolist() == np.where(rows < 0, 0, 2 * weights[rows]).tolist()


def weighted(fixed, rows):
    _, weights = rows
    return fixed * weights


def test_no_examples_are_refused():
    with pytest.raises(ValueError, match="no examples to compute the total of"):
        run_pass(total, jnp.float32(1), [], batching(), what="total")
