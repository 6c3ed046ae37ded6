"""The passes that a selection makes: of the shortlist, the method and the picker."""

from ntkjax.commands.plan.selection import Selection
from ntkjax.selection.embedding_pass import embedding_passes
from ntkjax.selection.methods.table import named_method
from ntkjax.selection.passes import Pass, over_candidates


def passes_of(selection: Selection) -> list[Pass]:
    """All passes in order, the warm-up's steps left out."""
    outline, counts = selection.outline, selection.counts
    method = named_method(selection.settings.method)
    shortlisted = []
    if selection.settings.shortlist == "vote":
        shortlisted = embedding_passes(outline, counts, counts.pool, "vote")
    own = method.passes(outline, counts)
    if not any(each.is_shared for each in shortlisted + own):
        own.insert(0, over_candidates("lengths", None, counts))
    return shortlisted + own + _picker(selection)


def _picker(selection: Selection) -> list[Pass]:
    """Facility location compares all pairs of the highest scores."""
    if selection.settings.picker != "facility-location":
        return [Pass("picker", None, selection.scored)]
    method, size = named_method(selection.settings.method), selection.shortlist
    products = 2.0 * size * size * method.feature_width(selection.outline)
    found = [Pass("picker", None, size, host_flops=products)]
    if method.feature_program is not None:
        found.insert(0, Pass("features", method.feature_program, size))
    return found
