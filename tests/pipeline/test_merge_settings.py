from pathlib import Path

import pytest

from ntkjax.errors import InputError
from ntkjax.pipeline.merge_settings import MergeSettings, check_merge_settings


def test_runs_are_needed():
    check_merge_settings(MergeSettings((Path("a"),), Path("b")))
    with pytest.raises(InputError, match="merge: give the run directories"):
        check_merge_settings(MergeSettings((), Path("b")))
