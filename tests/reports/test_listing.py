import io

from rich.console import Console

from ntkjax.reports.listing import listing


def test_names_and_meanings_stand_as_they_are():
    console = Console(width=60, file=io.StringIO(), color_system=None)
    console.print(listing("--method", "score", [("ntk", "[bold]")]))
    assert isinstance(console.file, io.StringIO)
    words = console.file.getvalue().split()
    assert [words[0], words[1], *words[-2:]] == ["--method", "score", "ntk", "[bold]"]
