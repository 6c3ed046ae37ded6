"""One self-contained HTML page about a fidelity run: no scripts, no network."""

from pathlib import Path

import numpy as np
from markupsafe import Markup

from ntkjax.errors import InputError
from ntkjax.fidelity.result import FidelityResult
from ntkjax.reports.fidelity.tables import (
    fidelity_headers,
    fidelity_sections,
    measure_words,
)
from ntkjax.reports.fidelity.verdict import verdict
from ntkjax.reports.templates import render


def write_fidelity_page(
    result: FidelityResult, arrays: dict[str, np.ndarray], path: Path
) -> None:
    """Writes the page of one run to `path`.

    Args:
        result: Of the run, the exact kernel first.
        arrays: The kernels [n, m] by name.
        path: The file to write.

    Raises:
        InputError: If `arrays` lacks a kernel of `result`.
    """
    path.write_text(fidelity_page(result, arrays), encoding="utf-8")


def fidelity_page(result: FidelityResult, arrays: dict[str, np.ndarray]) -> str:
    """The page as a string; see `write_fidelity_page`."""
    for kernel in result.kernels:
        if kernel.name not in arrays:
            raise InputError(
                f"The kernel {kernel.name!r} is in fidelity.json but not among the "
                f"stored arrays ({', '.join(sorted(arrays)) or 'none'}): were the "
                "files of two runs mixed? Run `ntkjax fidelity` again."
            )
    return render(
        "fidelity/page.html.j2",
        result=result,
        verdict=verdict(result),
        headers=fidelity_headers(result),
        sections=fidelity_sections(result),
        measures=measure_words(result),
        figures=_figures(result, arrays),
    )


def _figures(result: FidelityResult, arrays: dict[str, np.ndarray]) -> dict:
    """Figures by name, marked as safe: `ntkjax.reports.svg` escaped what is in them."""
    from ntkjax.reports.fidelity.plots import (
        cosine_figure,
        cost_figure,
        ranking_figure,
        scores_figure,
    )

    exact, *others = result.kernels
    exact_scores = arrays[exact.name].mean(axis=0)
    figures: dict = {
        "scores": [
            Markup(
                scores_figure(
                    kernel.name,
                    arrays[kernel.name].mean(axis=0),
                    exact_scores,
                    kernel.cross_terms.factor,
                )
            )
            for kernel in others
        ]
    }
    if others:
        figures["ranking"] = Markup(ranking_figure(result))
        figures["cost"] = Markup(cost_figure(result))
    figures["cosines"] = Markup(cosine_figure(result.cosines))
    return figures
