import pathlib

import pytest

from ntkjax.commands.data.settings import DataSettings, check_data_settings
from ntkjax.errors import InputError


def test_numbers_to_show():
    check_data_settings(DataSettings("m", (pathlib.Path("f"),), show=3))
    with pytest.raises(InputError, match="show -1: expected at least 0"):
        check_data_settings(DataSettings("m", (pathlib.Path("f"),), show=-1))
