"""The list of methods: a file beside this one with a `METHOD`, and its line here."""

from ntkjax.errors import InputError
from ntkjax.selection.methods import (
    cosine,
    dsir,
    dualsft,
    embedding,
    fisher,
    gradient_dot,
    length_matched,
    less,
    loss,
    ntk,
    random_choice,
    rds,
    vote,
)
from ntkjax.selection.methods.method import Method


METHODS = {
    module.METHOD.name: module.METHOD
    for module in (
        ntk,
        dualsft,
        less,
        rds,
        dsir,
        vote,
        embedding,
        gradient_dot,
        cosine,
        fisher,
        loss,
        random_choice,
        length_matched,
    )
}
"""By name, in the order of `--help`."""


def named_method(name: str) -> Method:
    """The method of this name.

    Raises:
        InputError: If there is none.
    """
    if name not in METHODS:
        raise InputError(
            f"expected one of {', '.join(METHODS)}.", field="method", value=name
        )
    return METHODS[name]
