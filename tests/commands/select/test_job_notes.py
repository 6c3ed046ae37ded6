from dataclasses import replace
from pathlib import Path

import pytest

from ntkjax.commands.select.job_notes import Job, common_parts, jobs_of, note_job
from ntkjax.commands.select.settings import SelectSettings
from ntkjax.errors import InputError


@pytest.fixture
def settings(tmp_path):
    return SelectSettings("m", (Path("t"),), (Path("p"),), tmp_path)


def test_jobs_are_noted_with_their_stages(settings, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert jobs_of(tmp_path) == []
    note_job(replace(settings, shard="2/10"))
    note_job(replace(settings, shard="10/10", stages=Path("kept")))
    expected = [Job(10, 10, tmp_path / "kept"), Job(2, 10, None)]
    assert jobs_of(tmp_path) == expected
    note_job(replace(settings, shard="10/10"))  # again, elsewhere
    assert jobs_of(tmp_path) == [Job(10, 10, None), Job(2, 10, None)]


def test_parts_that_all_jobs_have():
    assert common_parts([]) is None
    assert common_parts([Job(1, 2, None), Job(2, 2, None)]) == 2
    assert common_parts([Job(1, 2, None), Job(2, 3, None)]) is None


def test_a_damaged_note_is_named(settings, tmp_path):
    note_job(replace(settings, shard="1/2"))
    (tmp_path / "jobs" / "1-of-2.json").write_text("{")
    with pytest.raises(InputError, match=r"1-of-2\.json: damaged; run that job again"):
        jobs_of(tmp_path)
