import pytest

from ntkjax.math.bootstrap import Estimate
from ntkjax.reports.numbers import (
    count_text,
    error_text,
    interval_text,
    percent_text,
    ratio_text,
    score_text,
    share_text,
    whole_text,
)


@pytest.mark.parametrize(
    ("function", "value", "text"),
    [
        (ratio_text, 0.0, "0"),
        (ratio_text, 1e-7, "1e-07×"),
        (ratio_text, 0.0061, "0.006×"),
        (ratio_text, 0.0126, "0.01×"),
        (ratio_text, 0.31, "0.31×"),
        (ratio_text, 0.999, "1.0×"),
        (ratio_text, 4.04, "4.0×"),
        (ratio_text, 9.97, "10×"),
        (ratio_text, 143.4, "143×"),
        (ratio_text, 1234.5, "1,230×"),
        (error_text, 0.0, "0"),
        (error_text, 3e-5, "3e-05"),
        (error_text, 0.0041, "0.004"),
        (error_text, 0.306, "0.31"),
        (error_text, 142.2, "142"),
        (count_text, 2.0, "2"),
        (count_text, 65.5, "65.5"),
        (count_text, 1025.0, "1,020"),
        (count_text, 2.5e6, "2.50e+06"),
        (share_text, -0.001, "0.00"),
        (share_text, -0.4, "-0.40"),
        (share_text, 0.974, "0.97"),
        (share_text, 0.9754, "0.975"),
        (share_text, 0.9994, "0.999"),
        (share_text, 0.9996, ">0.999"),
        (share_text, 1.0, "1.00"),
        (whole_text, 999, "999"),
        (whole_text, 1_234_567, "1,234,567"),
        (score_text, 0.0, "0"),
        (score_text, 0.0123456, "0.01235"),
        (score_text, -12.3456, "−12.35"),
        (score_text, -1.23456e-7, "−1.235e-07"),
        (percent_text, 0.0, "0%"),
        (percent_text, 1.0, "100%"),
        (percent_text, 0.0004, "<0.1%"),
        (percent_text, 0.0005, "0.1%"),
        (percent_text, 0.1234, "12.3%"),
        (percent_text, 0.9996, ">99.9%"),
    ],
)
def test_text(function, value, text):
    assert function(value) == text


def test_digits_of_an_interval_follow_its_value():
    assert interval_text(Estimate(0.95, 0.912, 0.979)) == "0.95 [0.91, 0.98]"
    assert interval_text(Estimate(0.98, 0.91, 0.9999)) == "0.980 [0.910, >0.999]"
