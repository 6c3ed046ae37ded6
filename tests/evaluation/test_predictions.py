import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from ntkjax.evaluation.predictions import prediction_rows, write_predictions
from tests.evaluation.test_summary import drawn


TYPES = {
    "id": pa.string(),
    "source": pa.string(),
    "nll": pa.float64(),
    "tokens": pa.int32(),
    "scores_mean": pa.list_(pa.float64()),
    "scores_sum": pa.list_(pa.float64()),
    "prediction": pa.int32(),
    "prediction_sum": pa.int32(),
    "answer": pa.int32(),
}


@pytest.mark.parametrize("generated", [False, True])
def test_columns_and_their_types(tmp_path, generated):
    path = tmp_path / "predictions.parquet"
    write_predictions(path, drawn(9), generated=generated)
    schema = pyarrow.parquet.read_schema(path)
    more = {"generated": pa.string(), "exact_match": pa.bool_()} if generated else {}
    assert dict(zip(schema.names, schema.types, strict=True)) == TYPES | more
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_rows_are_those_of_the_evaluation(tmp_path):
    path, found = tmp_path / "predictions.parquet", drawn(9)
    write_predictions(path, found, generated=True)
    rows = pyarrow.parquet.read_table(path).to_pylist()
    assert rows == prediction_rows(found)
    assert [row["id"] for row in rows] == found.ids
    for index, row in enumerate(rows):
        total, tokens = found.responses.nll[index], found.tokens[index]
        assert (row["nll"], row["tokens"]) == (total / tokens, tokens)
        scores = found.choices[index]
        if scores is None:
            names = ("scores_mean", "scores_sum", "prediction", "answer")
            assert [row[name] for name in names] == [None] * 4
        else:
            assert row["scores_mean"] == scores.mean.tolist()
            assert row["prediction"] == int(np.argmax(scores.mean))
            assert row["prediction_sum"] == int(np.argmax(scores.sum))
            assert row["answer"] == found.examples[index].answer
        assert row["exact_match"] is (index % 5 == 0)


def test_nothing_generated_is_null(tmp_path):
    path = tmp_path / "predictions.parquet"
    write_predictions(path, drawn(5, answered=False), generated=True)
    table = pyarrow.parquet.read_table(path)
    assert table["generated"].null_count == table["exact_match"].null_count == 5
