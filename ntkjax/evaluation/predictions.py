"""`predictions.parquet`: one row per example, in the order of the files.

Null, never NaN, where nothing was computed.
"""

from typing import Any

from ntkjax.evaluation.evaluate import Evaluation
from ntkjax.evaluation.exact_match import exact_match
from ntkjax.store.atomic import write_atomically
from ntkjax.store.run_path import RunPath


def write_predictions(
    path: RunPath, evaluation: Evaluation, *, generated: bool
) -> None:
    """Writes the table, whole or not at all.

    Args:
        path: The file.
        evaluation: What to write.
        generated: Whether to write the columns of generated answers.
    """
    import pyarrow as pa
    import pyarrow.parquet

    fields = [
        ("id", pa.string()),
        ("source", pa.string()),
        ("nll", pa.float64()),
        ("tokens", pa.int32()),
        ("scores_mean", pa.list_(pa.float64())),
        ("scores_sum", pa.list_(pa.float64())),
        ("prediction", pa.int32()),
        ("prediction_sum", pa.int32()),
        ("answer", pa.int32()),
    ]
    if generated:
        fields += [("generated", pa.string()), ("exact_match", pa.bool_())]
    names = [name for name, _ in fields]
    rows = [{name: row[name] for name in names} for row in prediction_rows(evaluation)]
    table = pa.Table.from_pylist(rows, schema=pa.schema(fields))
    write_atomically(path, lambda p: pyarrow.parquet.write_table(table, p))


def prediction_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    """The rows with all columns, None where nothing was computed."""
    rows = []
    nll, tokens = evaluation.nll.tolist(), evaluation.tokens.tolist()
    for index, example in enumerate(evaluation.examples):
        scores, text = evaluation.choices[index], evaluation.generated[index]
        rows.append(
            {
                "id": example.id,
                "source": example.source,
                "nll": nll[index],
                "tokens": tokens[index],
                "scores_mean": None if scores is None else scores.mean.tolist(),
                "scores_sum": None if scores is None else scores.sum.tolist(),
                "prediction": None if scores is None else scores.prediction,
                "prediction_sum": None if scores is None else scores.prediction_sum,
                "answer": example.answer,
                "generated": text,
                "exact_match": (
                    None if text is None else exact_match(text, example.response)
                ),
            }
        )
    return rows
