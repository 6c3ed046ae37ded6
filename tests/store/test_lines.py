import pytest

from ntkjax.store.lines import append_line, new_lines


@pytest.fixture(params=["local", "remote"])
def path(request, tmp_path):
    if request.param == "local":
        return tmp_path / "lines"
    return request.getfixturevalue("bucket").path("run/lines")


def test_lines_are_added(path):
    append_line(path, "one")
    append_line(path, "zwölf")
    assert path.read_bytes() == "one\nzwölf\n".encode()


def test_a_line_that_a_kill_cut_short_is_ended(tmp_path):
    path = tmp_path / "lines"
    path.write_bytes(b"one\ntw")
    append_line(path, "three")
    assert path.read_bytes() == b"one\ntw\nthree\n"


def test_new_lines_replace_old_ones(path):
    append_line(path, "old")
    with new_lines(path) as add_line:
        add_line("one")
        add_line("zwölf")
    assert path.read_bytes() == "one\nzwölf\n".encode()


def test_a_local_line_is_there_at_once(tmp_path):
    with new_lines(tmp_path / "lines") as add_line:
        add_line("one")
        assert (tmp_path / "lines").read_bytes() == b"one\n"


def test_an_error_leaves_the_lines_before_it(path):
    def interrupted():
        with new_lines(path) as add_line:
            add_line("one")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == b"one\n"
