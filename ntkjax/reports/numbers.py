"""Numbers as text, with as many digits as a reader needs and none that mislead."""

from ntkjax.math.bootstrap import Estimate


def ratio_text(value: float) -> str:
    """A multiple such as `143×`, `0.31×`; `0` only for an exact zero."""
    if value == 0:
        return "0"
    if value < 0.0095:
        return f"{error_text(value)}×"
    if value < 9.95:
        return f"{value:.2f}×" if value < 0.995 else f"{value:.1f}×"
    return f"{count_text(float(round(value)))}×"


def error_text(value: float) -> str:
    """A relative error such as `0.31`, `0.004`; `0` only for an exact zero."""
    if value == 0:
        return "0"
    if value < 0.00095:
        return f"{value:.0e}"
    if value < 0.0095:
        return f"{value:.3f}"
    return f"{value:.2f}" if value < 10 else count_text(value)


def count_text(value: float) -> str:
    """A count or cost with at most three digits that vary: `2`, `65.5`, `1,230`."""
    if value >= 1e6:
        return f"{value:.2e}"
    digits = float(f"{value:.3g}")
    return f"{digits:,.0f}" if digits >= 100 else f"{digits:g}"


def share_text(value: float, digits: int | None = None) -> str:
    """A number up to 1 with two digits; near 1 with three, and never a false 1.

    >>> [share_text(x) for x in (0.953, 1.0, 0.9972, 0.99999)]
    ['0.95', '1.00', '0.997', '>0.999']

    Args:
        value: The number.
        digits: Digits after the point, in place of the rule above.
    """
    if value == 1:
        return "1.00"
    if 0.9995 <= value < 1:
        return ">0.999"
    text = f"{value:.{digits or near_one_digits(value)}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def near_one_digits(value: float) -> int:
    """3 where two digits could not tell good from very good, from 0.975 on; else 2."""
    return 3 if value >= 0.975 else 2


def interval_text(estimate: Estimate) -> str:
    """Value and interval: `0.95 [0.91, 0.97]`."""
    digits = near_one_digits(estimate.value)
    value, low, high = (
        share_text(number, digits)
        for number in (estimate.value, estimate.low, estimate.high)
    )
    return f"{value} [{low}, {high}]"


def whole_text(value: int) -> str:
    """A whole number in full, such as `12,345`."""
    return f"{value:,}"


def score_text(value: float) -> str:
    """A score of any size with four digits: `0.01234`, `−12.35`, `1.235e+06`."""
    return f"{value:.4g}".replace("-", "−", 1) if value < 0 else f"{value:.4g}"


def percent_text(share: float) -> str:
    """A share as percent with one digit, never a false `0%` or `100%`.

    >>> [percent_text(x) for x in (0.0, 0.0004, 0.1234, 0.9999, 1.0)]
    ['0%', '<0.1%', '12.3%', '>99.9%', '100%']
    """
    if share in (0, 1):
        return f"{share:.0%}"
    if 0 < share < 0.0005:
        return "<0.1%"
    if 0.9995 <= share < 1:
        return ">99.9%"
    return f"{share:.1%}"
