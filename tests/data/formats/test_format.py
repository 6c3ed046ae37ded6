from ntkjax.data.formats.table import FORMATS


def test_rows_are_whole():
    for each in FORMATS:
        assert each.name
        assert each.example
        assert all(suffix.startswith(".") for suffix in each.suffixes)
