from pathlib import Path

import pytest

from ntkjax.commands.merge.settings import MergeSettings, check_merge_settings
from ntkjax.errors import InputError


def test_runs_are_needed():
    check_merge_settings(MergeSettings((Path("a"),), Path("b")))
    with pytest.raises(InputError, match="merge: give the run directories"):
        check_merge_settings(MergeSettings((), Path("b")))


@pytest.mark.parametrize(
    ("runs", "out"), [("gs://b/run1", "out"), ("run1", "gs://b/out")]
)
def test_a_bucket_is_shared_and_not_merged(runs, out):
    with pytest.raises(InputError, match=r"^merge: gs:/.* give all of them one stages"):
        check_merge_settings(MergeSettings((Path(runs),), Path(out)))
