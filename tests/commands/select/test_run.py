"""Whole selections on the tiny world, against what their own files imply."""

import functools

import jax
import numpy as np
import pytest
from pyarrow import parquet

from ntkjax.checkpoints.adapter import read_adapter, read_adapter_settings
from ntkjax.checkpoints.loading import load_model
from ntkjax.checkpoints.text_encoder import text_encoder
from ntkjax.commands.select.run import run_select
from ntkjax.data.batches import make_batch, pooling_weights
from ntkjax.data.examples import read_examples
from ntkjax.data.tokenizing import TokenizedExample
from ntkjax.errors import InputError
from ntkjax.gradients.gram import gram
from ntkjax.kernels.readout import read_readout
from ntkjax.kernels.table import named_kernel
from ntkjax.math.seeds import stream
from ntkjax.models.lora import initial_theta
from ntkjax.outputs.pooled import PooledHidden
from ntkjax.store.run_directory import plain_values
from ntkjax.training.settings import TrainingSettings
from tests.commands.select.problem import (
    MAX_LENGTH,
    NUM_POOL,
    NUM_TARGET,
    SOURCES,
    lines_of,
    numbers,
    result_of,
    same_bits,
    settings_of,
    table_of,
    write_problem,
)
from tests.commands.world import build_world, write_records
from tests.oracles import normwise


M, BUDGET = 16, 4  # of the default settings: M = 4 N


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = build_world(tmp_path_factory.mktemp("select"))
    write_problem(world)
    return world


@pytest.fixture(scope="module")
def run(world):
    """Function (name, changes) ↦ the directory of a finished run."""

    def run(name, **changes):
        out = world.root / name
        assert not run_select(settings_of(world, out=out, **changes)).reused
        return out

    return run


@pytest.fixture(scope="module")
def finished(run):
    """The default settings: a vote, then kernel scores of the shortlist."""
    return run("finished")


@pytest.fixture(scope="module")
def everything(run):
    """The same, with every candidate scored."""
    return run("everything", shortlist_size=NUM_POOL)


@jax.jit
def hidden_gram(f, theta, xs, ys):
    """⟨∇h̄_a(x), ∇h̄_b(y)⟩ for all pairs of examples and of hidden numbers a, b."""
    return gram(f, outputs="full", block_size=32)(theta, xs, ys)


@functools.cache
def truth(out, model_folder, root):
    """Tokenized target and pool, `hidden_gram` between them, and the readout."""
    model = load_model(model_folder, read_adapter_settings(out / "adapter"))
    theta = read_adapter(out / "adapter", model)
    encode = text_encoder(model_folder, MAX_LENGTH)
    sides = [encode(read_examples([root / f"{n}.jsonl"])) for n in ("target", "pool")]
    batches = [make_batch(side, "all", MAX_LENGTH) for side in sides]
    found = hidden_gram(PooledHidden(model), theta, *batches)
    return sides, np.asarray(found, np.float64), read_readout(model, encode.vocab_size)


@pytest.fixture(scope="module")
def truth_of(world):
    return lambda out: truth(out, world.model, world.root)


def kernel_matrix(name, found, readout):
    """k(d, x) = Σ_j w_j p_jᵀ ⟨∇h̄(d), ∇h̄(x)⟩ p_j for all pairs."""
    kernel = named_kernel(name, readout, stream(0, "probes"))
    middle = (kernel.probes * kernel.weights) @ kernel.probes.T
    return np.einsum("ab,nmab->nm", middle, found)


@pytest.mark.slow
def test_lines_are_the_users_own_in_rank_order(world, finished):
    lines, ranks = lines_of(world.root / "pool.jsonl"), numbers(finished, "rank")
    best = [int(np.flatnonzero(ranks == rank)[0]) for rank in range(1, BUDGET + 1)]
    assert lines_of(finished / "selected.jsonl") == [lines[row] for row in best]
    assert len({row % 4 for row in best}) > 1  # spelled in several ways


def test_the_table_has_a_row_per_example_in_pool_order(finished):
    table = table_of(finished)
    assert table["id"] == [f"p{row}" for row in range(NUM_POOL)]
    assert table["source"] == [SOURCES[row % 3] for row in range(NUM_POOL)]
    ranks, scores = numbers(finished, "rank"), numbers(finished, "score")
    scored = np.flatnonzero(~np.isnan(scores))
    assert len(scored) == M
    np.testing.assert_array_equal(np.isnan(ranks), np.isnan(scores))
    order = sorted(scored, key=lambda row: -scores[row])
    np.testing.assert_array_equal(ranks[order], np.arange(1, M + 1))
    for row, stage in enumerate(table["stage"]):
        if np.isnan(ranks[row]):
            assert stage == "shortlist"
        else:
            assert stage == ("selected" if ranks[row] <= BUDGET else "ranking")
    assert None not in table["votes"] + table["similarity"] + table["tokens"]


def test_files_and_page_agree_on_the_counts(finished):
    result, stages = result_of(finished), table_of(finished)["stage"]
    assert (result["num_pool"], result["num_target"]) == (NUM_POOL, NUM_TARGET)
    assert (result["num_shortlisted"], result["num_neighbors"]) == (M, BUDGET)
    assert result["num_selected"] == stages.count("selected") == BUDGET
    assert stages.count("shortlist") == NUM_POOL - M
    votes = numbers(finished, "votes")
    assert votes.sum() == NUM_TARGET * BUDGET  # K = N votes of each domain example
    page = (finished / "report.html").read_text(encoding="utf-8")
    assert f"{BUDGET} of {NUM_POOL} pool examples were chosen" in page
    assert f"a domain of {NUM_TARGET} target examples" in page
    assert f"among the {M} that a vote" in page
    stages = [row["stage"] for row in result["stages"]]
    expected = ["load", "warm-up", "embeddings and vote", "scores"]
    expected += ["picker", "report"]
    assert stages == expected
    assert result["warmup"]["kind"] == "adapter"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["summed", "exact", "centered", "deflated_1_2"])
def test_scores_are_means_over_the_domain_of_the_gram(run, everything, truth_of, name):
    """Float32 derivatives on both sides, another order of the same sums: 1e-5."""
    out = everything
    if name != "summed":
        out = run(name, kernel=name, shortlist="none")
    _, found, readout = truth_of(everything)  # the adapter is the same
    expected = kernel_matrix(name, found, readout).mean(axis=0)
    assert normwise(numbers(out, "score"), expected) < 1e-4


@pytest.mark.slow
def test_without_length_normalization_the_kernel_gains_both_lengths(
    run, everything, truth_of
):
    """Sums over tokens take the place of means: h̄ is multiplied by the length T.

    So k(d, x) is multiplied by T_d · T_x. Of this T_x is a factor of the score, and T_d
    is a weight inside its mean: longer domain examples count for more.
    """
    out = run("sums", length_normalize=False, shortlist="none")
    sides, found, readout = truth_of(everything)
    lengths = [np.array([len(e.tokens) for e in side], np.float64) for side in sides]
    means = kernel_matrix("summed", found, readout)
    expected = (lengths[0][:, None] * means * lengths[1]).mean(axis=0)
    assert normwise(numbers(out, "score"), expected) < 1e-4
    assert normwise(numbers(everything, "score"), expected) > 0.1


def brute_force(target, pool, num_neighbors):
    """Votes and mean similarities from the whole matrix of cosines."""
    unit = lambda rows: rows / np.linalg.norm(rows, axis=1, keepdims=True)
    cosines = unit(target) @ unit(pool).T
    votes = np.zeros(len(pool), int)
    for row in cosines:
        for candidate in sorted(range(len(pool)), key=lambda j: -row[j])[
            :num_neighbors
        ]:
            votes[candidate] += 1
    return votes, cosines.mean(axis=0)


@pytest.fixture(scope="module")
def states(finished, world):
    """Function pooling ↦ embeddings of target and pool, pooled one by one by numpy."""
    (target, pool), *_ = truth(finished, world.model, world.root)
    model = load_model(world.model, read_adapter_settings(finished / "adapter"))
    theta = read_adapter(finished / "adapter", model)
    hidden = jax.jit(jax.vmap(model.hidden, in_axes=(None, 0)))

    def pooled(examples: list[TokenizedExample], pooling: str) -> np.ndarray:
        found = np.asarray(
            hidden(theta, make_batch(examples, "all", MAX_LENGTH).tokens)
        )
        rows = [
            pooling_weights(example.targets, pooling) @ states[: len(example.tokens)]
            for example, states in zip(examples, found, strict=True)
        ]
        return np.array(rows, np.float64)

    return lambda pooling: (pooled(target, pooling), pooled(pool, pooling))


def check_vote(out, embeddings, num_neighbors, size):
    votes, similarity = brute_force(*embeddings, num_neighbors)
    np.testing.assert_array_equal(numbers(out, "votes"), votes)
    # float32 hidden states
    np.testing.assert_allclose(numbers(out, "similarity"), similarity, atol=1e-6)
    order = sorted(range(NUM_POOL), key=lambda row: (-votes[row], -similarity[row]))
    scored = np.flatnonzero(~np.isnan(numbers(out, "score")))
    assert set(scored.tolist()) == set(order[:size])


def test_the_shortlist_is_that_of_brute_force(finished, states):
    check_vote(finished, states("all"), BUDGET, M)


@pytest.mark.parametrize("pooling", ["response", "last", "weighted"])
def test_every_pooling_of_embeddings(run, states, pooling):
    out = run(pooling, embedding=pooling, neighbors=3, shortlist_size=9)
    check_vote(out, states(pooling), 3, 9)


def test_a_shortlist_of_the_pool_scores_everything(everything, run):
    out = run("more", shortlist_size=NUM_POOL + 5)
    assert table_of(everything)["stage"].count("shortlist") == 0
    assert result_of(everything)["num_shortlisted"] == NUM_POOL
    assert same_bits(out)["scores.parquet"] == same_bits(everything)["scores.parquet"]


def test_no_shortlist_scores_everything(everything, run):
    out = run("none", shortlist="none")
    assert set(table_of(out)["votes"]) == {None}
    assert result_of(out)["num_shortlisted"] is None
    assert not list((out / "stages").glob("embeddings-*"))
    np.testing.assert_array_equal(numbers(out, "score"), numbers(everything, "score"))
    chosen = [same_bits(each)["selected.jsonl"] for each in (out, everything)]
    assert chosen[0] == chosen[1]


def test_a_budget_of_tokens(run):
    """The longest prefix that fits; N, which sets K and M, is what fits on average."""
    budget = 50
    out = run("tokens", budget=None, budget_tokens=budget)
    tokens, ranks = numbers(out, "tokens"), numbers(out, "rank")
    about = int(budget / tokens.mean())
    result = result_of(out)
    assert result["num_neighbors"] == about
    assert result["num_shortlisted"] == 4 * about
    order = np.argsort(np.where(np.isnan(ranks), np.inf, ranks))
    chosen = result["num_selected"]
    assert tokens[order[:chosen]].sum() == result["selected_tokens"] <= budget
    assert tokens[order[: chosen + 1]].sum() > budget
    assert table_of(out)["stage"].count("selected") == chosen
    assert result["budget"] == {"examples": None, "tokens": budget}


def test_the_first_of_the_domain(run, everything, truth_of):
    out = run("first", num_target=3, shortlist="none")
    _, found, readout = truth_of(everything)
    expected = kernel_matrix("summed", found[:3], readout).mean(axis=0)
    assert normwise(numbers(out, "score"), expected) < 1e-4
    assert result_of(out)["num_target"] == 3


def test_repeats_of_holdout_and_target_are_shown(world, run):
    """A pool that repeats itself, the domain, and a question of the holdout file."""
    (leaked,) = read_examples([world.queries])[:1]
    known = read_examples([world.root / "target.jsonl"])[2]
    records = [
        {"id": "leak", "prompt": leaked.prompt.upper(), "response": leaked.response},
        {"id": "known", "prompt": known.prompt, "response": f"  {known.response}"},
        {"id": "plain", "prompt": "abc", "response": "def"},
        {"id": "again", "prompt": "abc", "response": "def"},
    ]
    write_records(world.root / "repeats.jsonl", records)
    pool = (world.root / "repeats.jsonl",)
    out = run("repeats", pool=pool, holdout=(world.queries,))
    found = result_of(out)["duplicates"]
    pairs = {
        name: [(row["first_id"], row["second_id"]) for row in found[name]["rows"]]
        for name in ("holdout", "target", "within")
    }
    assert pairs["holdout"] == [("leak", leaked.id)]
    assert pairs["target"] == [("known", known.id)]
    # equal texts have equal scores: pool order decides
    assert pairs["within"] == [("plain", "again")]
    ranks = dict(zip(table_of(out)["id"], numbers(out, "rank"), strict=True))
    assert ranks["again"] == ranks["plain"] + 1
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Leakage: 1 chosen example repeats a holdout text" in page
    assert page.index("Leakage") < page.index("repeats a target text")


@pytest.mark.slow
def test_the_warm_up_is_where_scores_are_taken(world, run, truth_of):
    training = TrainingSettings(steps=3, batch_size=4, learning_rate=0.05)
    out = run("warm", warmup="target", training=training, shortlist="none")
    warmup = result_of(out)["warmup"]
    assert (warmup["kind"], warmup["steps"]) == ("target", 3)
    losses = [row["loss"] for row in warmup["history"]]
    assert [row["step"] for row in warmup["history"]] == [1, 2, 3]
    assert (warmup["first_loss"], warmup["last_loss"]) == (losses[0], losses[-1])
    weights = [
        (folder / "adapter_model.safetensors").read_bytes()
        for folder in (out / "adapter", world.root / "start")
    ]
    assert weights[0] != weights[1]
    (kept,) = (out / "stages").glob("warmup-*")
    names = sorted(path.name for path in kept.iterdir())
    assert names == [
        "history.json",
        "seal.json",
        "step-0000002.safetensors",
        "step-0000003.safetensors",
    ]
    _, found, readout = truth_of(out)
    expected = kernel_matrix("summed", found, readout).mean(axis=0)
    assert normwise(numbers(out, "score"), expected) < 1e-4


@pytest.mark.slow
def test_a_fresh_adapter_without_warm_up(world, run):
    out = run("fresh", adapter=None, shortlist="none", seed=4)
    assert result_of(out)["warmup"]["kind"] == "none"
    settings = read_adapter_settings(out / "adapter")
    model = load_model(world.model, settings)
    expected = initial_theta(model.theta_shapes, jax.random.key(4))
    found = read_adapter(out / "adapter", model)
    for name, leaf in expected.items():
        np.testing.assert_array_equal(found[name], leaf)
    assert numbers(out, "score").std() > 0


@pytest.mark.slow
def test_cut_examples_are_counted(run):
    out = run("cut", max_length=8, shortlist="none")
    result = result_of(out)
    assert numbers(out, "tokens").max() == 8
    assert result["num_cut"] == {"target": NUM_TARGET, "pool": NUM_POOL}


def test_a_parquet_pool_gives_its_own_rows(world, run, finished):
    import pyarrow as pa

    examples = read_examples([world.root / "pool.jsonl"])
    names = ("id", "source", "prompt", "response")
    columns = {name: [getattr(e, name) for e in examples] for name in names}
    columns["extra"] = [[row, -row] for row in range(NUM_POOL)]
    table = pa.table(columns)
    path = world.root / "pool.parquet"
    parquet.write_table(table, path, row_group_size=7)
    out = run("parquet", pool=(path,))
    assert not (out / "selected.jsonl").exists()
    np.testing.assert_array_equal(numbers(out, "score"), numbers(finished, "score"))
    ranks = numbers(out, "rank")
    best = [int(np.flatnonzero(ranks == rank)[0]) for rank in range(1, BUDGET + 1)]
    found = parquet.read_table(out / "selected.parquet")
    assert found.equals(table.take(best))


def test_a_finished_run_is_read_again(world, finished):
    before = {p: p.stat().st_mtime_ns for p in finished.rglob("*") if p.is_file()}
    again = run_select(settings_of(world, out=finished))
    assert again.reused
    assert plain_values(again.result) == result_of(finished)
    after = {p: p.stat().st_mtime_ns for p in finished.rglob("*") if p.is_file()}
    assert before == after


def test_stages_that_cannot_be_written_are_named(world):
    """Before the folder is claimed."""
    (world.root / "a file").write_text("")
    settings = settings_of(
        world, out=world.root / "unclaimed", stages=world.root / "a file" / "stages"
    )
    with pytest.raises(InputError, match=r"^stages .*: cannot be written"):
        run_select(settings)
    assert not (world.root / "unclaimed").exists()
