import pytest

from ntkjax.devices.side_by_side import backward_rows


@pytest.mark.parametrize(
    ("rows", "tokens", "platform", "expected"),
    [
        (32, 128, "cpu", 4),
        (6, 128, "cpu", 3),  # 4 do not divide them
        (7, 128, "cpu", 1),
        (32, 512, "cpu", 1),
        (32, 2048, "cpu", 1),
        (2, 16, "cpu", 2),
        (32, 128, "gpu", 16),
        (32, 512, "tpu", 4),
        (5, 0, "cpu", 5),
        (16, 128, None, 4),  # the tests' devices are CPUs
    ],
)
def test_rows(rows, tokens, platform, expected):
    assert backward_rows(rows, tokens, platform) == expected
