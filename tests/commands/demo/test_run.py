import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from ntkjax.commands.demo.run import pool_choices, run_demo, share_of
from ntkjax.commands.demo.settings import DemoSettings
from ntkjax.data.examples import Example, read_examples
from ntkjax.data.world import make_world
from ntkjax.errors import InputError
from ntkjax.reports.demo.result import DemoResult
from ntkjax.store.results import read_result
from ntkjax.training.settings import TrainingSettings


def pool_of(*sources: str) -> list[Example]:
    return [Example(str(i), "p", "r", source, "") for i, source in enumerate(sources)]


def test_choices_follow_rank_and_vote(tmp_path):
    columns = {
        "rank": [None, 2, 1, 3, None],
        "votes": [0, 2, 1, 2, 0],
        "similarity": [0.9, 0.1, 0.2, 0.3, 0.0],
    }
    parquet.write_table(pa.table(columns), tmp_path / "scores.parquet")
    pool = pool_of(*"abcde")
    found = pool_choices(pool, tmp_path, 3, seed=0)
    assert [example.id for example in found["kernel"]] == ["2", "1", "3"]
    assert [example.id for example in found["vote"]] == ["3", "1", "2"]
    random = [example.id for example in found["random"]]
    assert len(set(random)) == 3
    again = pool_choices(pool, tmp_path, 3, seed=0)["random"]
    assert [example.id for example in again] == random


def test_share_of_sources():
    assert share_of(pool_of("a", "b", "a", "c"), ("a", "c")) == 0.75


@pytest.mark.slow
def test_a_demo_from_end_to_end(tmp_path):
    settings = DemoSettings(
        out=tmp_path / "demo",
        domain="legal",
        budget=40,
        seeds=2,
        world_seed=1,
        training=TrainingSettings(steps=4, learning_rate=1e-2),
    )
    run = run_demo(settings)
    result = run.result
    assert not run.reused
    assert result.needed == ("owner", "place")
    selected = read_examples([settings.out / "selection" / "selected.jsonl"])
    assert share_of(selected, result.needed) == result.shares.kernel
    world = make_world(1)
    share = np.mean([r["source"] in result.needed for r in world.pool])
    assert result.shares.pool == pytest.approx(share)
    for found in result.accuracy.values():
        assert len(found.values) == 2
        assert found.low <= found.value <= found.high
    assert read_result(settings.out / "demo.json", DemoResult) == result
    page = (settings.out / "report.html").read_text()
    for link in ("fidelity/report.html", "selection/report.html"):
        assert link in page
        assert (settings.out / link).exists()
    assert run_demo(settings).reused
    with pytest.raises(InputError, match="holds another run: budget was 40"):
        run_demo(DemoSettings(out=settings.out, domain="legal"))
