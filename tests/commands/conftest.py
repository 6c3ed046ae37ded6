"""Runs of commands write their pages with empty figures: `tests/reports` draws them."""

import pytest
from matplotlib.figure import Figure


@pytest.fixture(scope="module", autouse=True)
def empty_figures():
    """matplotlib takes longer than all the rest of a small run."""

    def write_nothing(self, buffer, **how):
        buffer.write("<svg></svg>")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", write_nothing)
        yield
