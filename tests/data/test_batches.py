import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkjax.data.batches import (
    POOLINGS,
    Batch,
    bucket_edges,
    bucketed,
    make_batch,
    padded_lengths,
    pooling_weights,
)
from ntkjax.data.tokenizing import TokenizedExample
from ntkjax.errors import InputError


def _example(length, num_targets=1, start=10):
    tokens = np.arange(start, start + length, dtype=np.int32)
    targets = np.arange(length) >= length - num_targets
    return TokenizedExample(f"{length}", tokens, targets, False)


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ("all", [0.25, 0.25, 0.25, 0.25]),
        ("response", [0, 0.5, 0, 0.5]),
        ("last", [0, 0, 0, 1]),
        ("weighted", [0.1, 0.2, 0.3, 0.4]),
    ],
)
def test_pooling_weights(pooling, expected):
    weights = pooling_weights(np.array([False, True, False, True]), pooling)
    assert weights.dtype == np.float32
    assert weights.tolist() == np.float32(expected).tolist()


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ("all", [1, 1, 1, 1]),
        ("response", [0, 1, 0, 1]),
        ("last", [0, 0, 0, 1]),
        ("weighted", [0.4, 0.8, 1.2, 1.6]),
    ],
)
def test_sums_are_means_times_the_number_of_pooled_tokens(pooling, expected):
    targets = np.array([False, True, False, True])
    sums = pooling_weights(targets, pooling, length_normalize=False)
    assert sums.dtype == np.float32
    assert sums.tolist() == np.float32(expected).tolist()
    means = pooling_weights(targets, pooling)
    np.testing.assert_allclose(sums, means * np.count_nonzero(means), rtol=2e-7)


def test_last_is_the_last_token_whether_or_not_it_is_a_target():
    assert pooling_weights(np.array([True, False]), "last").tolist() == [0, 1]


def test_unknown_pooling_is_named():
    message = r"pooling mean: no such pooling; expected all, response, last, weighted"
    with pytest.raises(InputError, match=message):
        pooling_weights(np.array([True]), "mean")


def test_make_batch_pads_on_the_right():
    batch = make_batch([_example(3, 2), _example(1)], "response")
    assert batch.tokens.tolist() == [[10, 11, 12], [10, 0, 0]]
    assert batch.targets.tolist() == [[False, True, True], [True, False, False]]
    assert batch.weights.tolist() == [[0, 0.5, 0.5], [1, 0, 0]]
    types = [leaf.dtype for leaf in jax.tree.leaves(batch)]
    assert types == [jnp.int32, jnp.bool_, jnp.float32]


@pytest.mark.parametrize("pooling", POOLINGS)
def test_rows_do_not_depend_on_padding_or_mates(pooling):
    example = _example(5, 2)
    alone = make_batch([example], pooling)
    padded = make_batch([_example(9), example], pooling, length=16)
    for short, long in zip(
        jax.tree.leaves(alone), jax.tree.leaves(padded), strict=True
    ):
        assert long.shape == (2, 16)
        np.testing.assert_array_equal(long[1, :5], short[0])
        assert not np.any(long[1, 5:])


@pytest.mark.parametrize("pooling", POOLINGS)
def test_weights_sum_to_one(pooling):
    batch = make_batch([_example(n, (n + 1) // 2) for n in range(1, 80)], pooling)
    # 79 float32 numbers of relative error 6e-8 each
    np.testing.assert_allclose(batch.weights.sum(axis=1), 1, rtol=5e-6)


def test_batches_hold_sums_when_lengths_are_not_normalized():
    examples = [_example(3, 2), _example(1)]
    batch = make_batch(examples, "response", length_normalize=False)
    assert batch.weights.tolist() == [[0, 1, 1], [1, 0, 0]]
    ((_, batch),) = bucketed(
        examples, (16,), lambda length: 2, "response", length_normalize=False
    )
    assert batch.weights[:, :3].tolist() == [[0, 1, 1], [1, 0, 0]]


def test_make_batch_refuses_a_short_length():
    with pytest.raises(ValueError, match=r"example of 5 tokens does not fit into leng"):
        make_batch([_example(5)], "all", length=4)


def test_batch_is_a_pytree_that_maps_over_examples():
    batch = make_batch([_example(3, 2), _example(2)], "all")

    def pooled(one: Batch):
        assert one.tokens.shape == (3,)
        return jnp.sum(one.weights * one.tokens.astype(jnp.float32))

    np.testing.assert_allclose(jax.jit(jax.vmap(pooled))(batch), [11, 10.5])
    by_field = jax.vmap(pooled, in_axes=(Batch(0, 0, 0),))(batch)  # axes as leaves
    np.testing.assert_allclose(by_field, [11, 10.5])
    shapes = jax.tree.map(lambda leaf: leaf.shape, batch)
    assert shapes.weights == (2, 3)


@pytest.mark.parametrize("max_length", [1, 8, 16, 17, 20, 24, 100, 512, 513, 32768])
def test_bucket_edges(max_length):
    edges = bucket_edges(max_length)
    assert edges[-1] == max_length
    assert all(edge % 8 == 0 and edge >= 16 for edge in edges[:-1])
    ratios = np.array(edges[1:]) / np.array(edges[:-1])
    assert np.all((ratios > 1) & (ratios <= 1.7))
    assert len(edges) <= 2 + np.log(max(max_length, 16) / 16) / np.log(1.4)


PADDED = (16, 24, 32)


def _batches(lengths, rows_at, padded=PADDED):
    """Padded length and rows of each batch, whose rows are checked."""
    if isinstance(rows_at, int):
        size = rows_at
        rows_at = lambda length: size
    examples = [_example(n, start=100 * i) for i, n in enumerate(lengths)]
    result = []
    for rows, batch in bucketed(examples, padded, rows_at, "all"):
        assert len(batch.tokens) == len(rows) == rows_at(batch.tokens.shape[1])
        first = rows[0]
        for row, tokens in zip(rows, np.asarray(batch.tokens), strict=True):
            source = examples[first if row < 0 else row]
            np.testing.assert_array_equal(tokens[: len(source.tokens)], source.tokens)
        result.append((batch.tokens.shape[1], rows.tolist()))
    return result


def test_full_batches_keep_their_length():
    batches = _batches([5, 30, 16, 17, 24, 32], 2)
    assert batches == [(16, [0, 2]), (24, [3, 4]), (32, [1, 5])]


def test_what_fills_no_batch_joins_the_next_longer_one():
    found = _batches([3] * 5 + [20, 30, 30], 2)
    assert found == [(16, [0, 1]), (16, [2, 3]), (24, [4, 5]), (32, [6, 7])]
    assert _batches([5, 20, 20, 30], 3) == [(24, [0, 1, 2]), (32, [3, -1, -1])]


def test_longer_batches_have_fewer_rows():
    found = _batches([3, 3, 3, 30, 30], lambda length: 64 // length)
    assert found == [(32, [0, 1]), (32, [2, 3]), (32, [4, -1])]
    found = _batches([3, 3, 3, 3, 3, 30], lambda length: 64 // length)
    assert found == [(16, [0, 1, 2, 3]), (32, [4, 5])]


def test_few_rows_are_not_padded_beyond_what_any_row_needs():
    assert _batches([20, 3], 8, (16, 24, 512)) == [(24, [1, 0] + [-1] * 6)]


def test_the_last_batch_is_filled():
    assert _batches([3] * 5, 2) == [(16, [0, 1]), (16, [2, 3]), (16, [4, -1])]


def test_no_rows_make_no_batches():
    assert _batches([], 4) == []


def test_rows_beyond_the_limit_are_refused():
    with pytest.raises(ValueError, match=r"40 tokens does not fit into length=32"):
        _batches([3, 40], 1)


@pytest.mark.parametrize("tokens", [1, 200, 4000])
def test_every_row_comes_once_and_little_is_computed_for_nothing(tokens):
    lengths = np.random.default_rng(0).integers(1, 257, size=200)
    padded = padded_lengths(lengths, 256, 100)
    rows_at = lambda length: max(1, tokens // length)
    batches = _batches(lengths.tolist(), rows_at, padded)
    rows = [row for _, rows in batches for row in rows]
    assert sorted(row for row in rows if row >= 0) == list(range(200))
    assert {length for length, _ in batches} <= set(padded)
    assert all(row >= 0 for _, rows in batches[:-1] for row in rows)


def slow_padded_lengths(lengths, max_length, program_tokens):
    """The cheapest of all sets of lengths."""
    found = []
    ends = sorted({min(8 * -(-max(n, 16) // 8), max_length) for n in lengths})
    for number in range(1, len(ends) + 1):
        for chosen in itertools.combinations(ends, number):
            if chosen[-1] == ends[-1]:
                cost = sum(min(e for e in chosen if e >= n) for n in lengths)
                found.append((cost + number * program_tokens, chosen))
    return min(found)


@pytest.mark.parametrize("program_tokens", [0, 30, 100, 1000, 10**6])
@pytest.mark.parametrize("max_length", [90, 96])
def test_padded_lengths_cost_least(program_tokens, max_length):
    lengths = np.random.default_rng(1).integers(1, max_length + 1, size=60)
    found = padded_lengths(lengths, max_length, program_tokens)
    least, _ = slow_padded_lengths(lengths, max_length, program_tokens)
    padded = [min(length for length in found if length >= n) for n in lengths]
    assert sum(padded) + len(set(padded)) * program_tokens == least
    assert found[-1] == max_length
    assert all(length % 8 == 0 for length in found[:-1])


def test_padded_lengths_of_little():
    assert padded_lengths(np.zeros(0, int), 64, 10) == (64,)
    assert padded_lengths(np.array([3]), 8, 10) == (8,)
    assert padded_lengths(np.array([3, 90]), 64, 10) == (16, 64)
    assert padded_lengths(np.array([3, 90]), 64, 50) == (64,)
    assert padded_lengths(np.array([3, 90]), 64, 50, copies=2.0) == (16, 64)
