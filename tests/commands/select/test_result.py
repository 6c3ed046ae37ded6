"""Facts and tables against plain counting, on a pool whose numbers are made up."""

import dataclasses

import numpy as np
import pytest
from pyarrow import parquet

from ntkjax.commands.select.result import (
    NO_SOURCE,
    Selection,
    distributions_of,
    duplicates_of,
    sources_of,
    text_of,
    texts_of,
    write_scores,
)
from ntkjax.data.examples import Example
from ntkjax.data.pool import open_pool
from ntkjax.selection.shortlist import Votes
from tests.commands.world import write_records


NUM = 60
SOURCES = [("wiki", "code", None, "wiki")[row % 4] for row in range(NUM)]


@pytest.fixture
def pool(tmp_path):
    records = [
        {"id": f"p{row}", "prompt": f"ask {row}", "response": f"say {row}"}
        | ({"source": SOURCES[row]} if SOURCES[row] else {})
        for row in range(NUM)
    ]
    write_records(tmp_path / "pool.jsonl", records)
    return open_pool([tmp_path / "pool.jsonl"])


def selection(num_scored=40, budget=12) -> Selection:
    """Scores in steps of 1/2: many ties, which pool order breaks."""
    rng = np.random.default_rng(0)
    votes = Votes(rng.integers(0, 50, NUM), rng.normal(size=NUM))
    scored = np.sort(rng.permutation(NUM)[:num_scored]).astype(np.int64)
    scores = np.round(2 * rng.normal(size=num_scored)) / 2
    order = np.array(sorted(scored, key=lambda row: -scores[list(scored).index(row)]))
    tokens = rng.integers(5, 99, NUM).astype(np.int32)
    return Selection(tokens, votes, scored, scores, order, order[:budget])


@pytest.fixture
def found():
    return selection()


def without_votes(found: Selection) -> Selection:
    return dataclasses.replace(found, votes=None)


def test_a_row_per_example_in_pool_order(pool, found, tmp_path):
    path = tmp_path / "scores.parquet"
    write_scores(pool, found, path)
    rows = parquet.read_table(path).to_pylist()
    assert [row["id"] for row in rows] == [f"p{i}" for i in range(NUM)]
    assert [row["source"] for row in rows] == SOURCES
    score_of = dict(zip(found.scored.tolist(), found.scores.tolist(), strict=True))
    for number, row in enumerate(rows):
        assert row["tokens"] == found.tokens[number]
        assert row["votes"] == found.votes.votes[number]
        assert row["similarity"] == found.votes.similarity[number]
        assert row["score"] == score_of.get(number)
        if number not in score_of:
            assert (row["rank"], row["stage"]) == (None, "shortlist")
            continue
        assert found.order[row["rank"] - 1] == number
        stage = "selected" if row["rank"] <= len(found.selected) else "ranking"
        assert row["stage"] == stage


def test_without_a_vote_its_columns_are_null(pool, found, tmp_path):
    path = tmp_path / "scores.parquet"
    write_scores(pool, without_votes(found), path)
    table = parquet.read_table(path)
    assert table.column("votes").null_count == NUM
    assert table.column("similarity").null_count == NUM
    assert table.column("score").null_count == NUM - len(found.scored)
    assert not list(tmp_path.glob(".*"))


def test_blocks_of_rows_make_no_difference(pool, found, tmp_path, monkeypatch):
    write_scores(pool, found, tmp_path / "whole.parquet")
    sources = sources_of(pool, found)
    monkeypatch.setattr("ntkjax.commands.select.result._BLOCK", 7)
    write_scores(pool, found, tmp_path / "blocks.parquet")
    whole, blocks = (
        parquet.read_table(tmp_path / f"{name}.parquet") for name in ("whole", "blocks")
    )
    assert whole.equals(blocks)
    assert sources_of(pool, found) == sources


def test_composition_is_counted(pool, found):
    sources = sources_of(pool, found)
    rows = {row.source: row for row in sources}
    assert rows.keys() == {"wiki", "code", NO_SOURCE}
    for name, row in rows.items():
        mine = {i for i in range(NUM) if (SOURCES[i] or NO_SOURCE) == name}
        assert row.pool == len(mine)
        assert row.shortlisted == len(mine & set(found.scored.tolist()))
        assert row.selected == len(mine & set(found.selected.tolist()))
        assert row.pool_share == len(mine) / NUM
        assert row.selected_share == row.selected / 12
    counts = [row.selected for row in sources]
    assert counts == sorted(counts, reverse=True)


def test_histograms_hold_every_row_once(found):
    shown = distributions_of(found, 0)
    votes, scores = shown.votes, shown.scores
    for histogram, counts, total in (
        (votes, votes.pool, NUM),
        (scores, scores.scored, 40),
    ):
        assert sum(counts) == total
        assert sum(histogram.selected) == 12
        assert len(histogram.edges) == len(counts) + 1
        # a selected example stands in the bin of its own value
        assert np.all(np.array(histogram.selected) <= counts)
    sample = shown.length_score
    assert sorted(sample.score) == sorted(found.scores.tolist())
    assert sum(sample.selected) == 12
    pairs = set(
        zip(found.tokens[found.scored].tolist(), found.scores.tolist(), strict=True)
    )
    assert set(zip(sample.tokens, sample.score, strict=True)) == pairs


def test_texts_of_both_ends_and_of_the_cut(pool, found):
    texts = texts_of(pool, found)
    ranks = {name: [row.rank for row in rows] for name, rows in vars(texts).items()}
    assert ranks == {
        "best": list(range(1, 21)),
        "cut": list(range(3, 23)),  # the cut is after rank 12
        "worst": list(range(21, 41)),
    }
    for row in texts.best + texts.cut + texts.worst:
        number = found.order[row.rank - 1]
        assert (row.id, row.prompt) == (f"p{number}", f"ask {number}")
        assert row.selected == (row.rank <= 12)
        assert row.score == found.scores[list(found.scored).index(number)]
        assert row.votes == found.votes.votes[number]


def test_without_a_vote_nothing_is_made_up(pool, found):
    found = without_votes(found)
    assert distributions_of(found, 0).votes is None
    assert {row.shortlisted for row in sources_of(pool, found)} == {None}
    assert {row.votes for row in texts_of(pool, found).best} == {None}


@pytest.mark.parametrize(("num_scored", "budget"), [(1, 1), (2, 1), (2, 2), (60, 60)])
def test_the_smallest_and_the_largest_selection(pool, num_scored, budget):
    found = selection(num_scored, budget)
    assert sum(row.selected for row in sources_of(pool, found)) == budget
    assert sum(distributions_of(found, 0).scores.selected) == budget
    assert len(texts_of(pool, found).best) == min(20, num_scored)


@pytest.mark.parametrize("score", [-3.0, 0.0, 1e30])
def test_equal_scores_have_a_histogram(found, score):
    level = dataclasses.replace(found, scores=np.full(40, score))
    assert sum(distributions_of(level, 0).scores.scored) == 40


def test_repeats_are_named_by_their_ids(tmp_path):
    long = " ".join(f"word{i}" for i in range(20))
    records = [
        {"id": "a", "prompt": "Who?", "response": "Nobody."},
        {"id": "b", "text": f"Once {long}"},
        {"id": "c", "prompt": "who", "response": "nobody"},
        {"id": "d", "prompt": "other", "response": "text"},
    ]
    write_records(tmp_path / "pool.jsonl", records)
    pool = open_pool([tmp_path / "pool.jsonl"])
    target = [Example("t", "x", f"{long} end", None, "t:1")]
    found = duplicates_of(pool, np.array([2, 3, 1, 0]), target, None)
    assert found.holdout is None
    assert (found.within.exact, found.within.ngram) == (1, 0)
    (row,) = found.within.rows
    assert (row.first_id, row.second_id, row.kind) == ("c", "a", "exact")
    assert (found.target.exact, found.target.ngram) == (0, 1)
    (row,) = found.target.rows
    assert (row.first_id, row.second_id, row.kind) == ("b", "t", "13-gram")


def test_text_is_prompt_and_response():
    assert text_of(Example("a", "p", "r", None, "f:1")) == "p\nr"
    assert text_of(Example("a", None, "r", None, "f:1")) == "r"
