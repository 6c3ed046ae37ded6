"""One self-contained HTML page about a demo: no scripts, no network."""

from pathlib import Path

from markupsafe import Markup

from ntkjax.reports.demo.findings import (
    chosen_finding,
    help_findings,
    kernels_finding,
    opening,
)
from ntkjax.reports.demo.result import DemoResult
from ntkjax.reports.demo.tables import (
    accuracy_rows,
    difference_rows,
    kernel_rows,
    seconds_text,
    source_rows,
    wordings,
)
from ntkjax.reports.selection.tables import source_ratio
from ntkjax.reports.templates import render


def write_demo_page(result: DemoResult, path: Path) -> None:
    """Writes the page of one demo to `path`, beside its `fidelity` and `selection`."""
    path.write_text(demo_page(result), encoding="utf-8")


def demo_page(result: DemoResult) -> str:
    """The page as a string; see `write_demo_page`."""
    from ntkjax.reports.demo.plots import accuracy_figure, shares_figure

    return render(
        "demo/page.html.j2",
        result=result,
        opening=opening(result),
        wordings=wordings(result),
        helped=help_findings(result),
        accuracy=accuracy_rows(result),
        differences=difference_rows(result),
        chosen=chosen_finding(result),
        sources=source_rows(result),
        ratio=source_ratio,
        kernels_finding=kernels_finding(result.kernels),
        kernels=kernel_rows(result),
        seconds=seconds_text(result.seconds),
        # Safe: figures hold numbers and fixed words only.
        accuracy_figure=Markup(accuracy_figure(result)),
        shares_figure=Markup(shares_figure(result)),
    )
