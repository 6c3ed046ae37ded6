"""From scores to the chosen: a picker's order, cut where the budget ends."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from ntkjax.commands.select.result import NO_SOURCE
from ntkjax.commands.select.settings import SHORTLIST_FACTOR, SelectSettings
from ntkjax.errors import InputError
from ntkjax.selection.pickers.table import (
    Picker,
    PickProblem,
    named_picker,
    parse_quotas,
)
from ntkjax.selection.problem import Candidates, Rankings, Scored
from ntkjax.selection.ranking import check_budget, num_within_tokens, ranking


@dataclass(frozen=True, eq=False)
class Choice:
    """How candidates are chosen in one run.

    Attributes:
        settings: Picker, budget, quotas, reverse.
        candidates: What is chosen from.
    """

    settings: SelectSettings
    candidates: Candidates

    def order(
        self, scored: Scored, rankings: Rankings | None = None
    ) -> tuple[Int64[np.ndarray, " k"], int]:
        """All candidates in the order of picking, and how many of them are chosen.

        What the picker was not asked for follows by score.

        Raises:
            InputError: If the budget is larger than what there is, or below the first
                example.
        """
        picker = named_picker(self.settings.picker)
        scores = -scored.scores if self.settings.reverse else scored.scores
        best = ranking(scores)
        ground = self._ground(picker, best)
        features = scored.features
        problem = PickProblem(
            scores=scores[ground],
            rankings=rankings,
            features=features and (lambda positions: features(ground[positions])),
            sources=self._sources(picker),
            most=min(len(ground), self._most()),
            quotas=parse_quotas(self.settings.quotas) or None,
        )
        picked = ground[picker.pick(problem)]
        order = np.concatenate([picked, best[~np.isin(best, picked)]])
        number = self._number(order)
        if self.settings.quotas and len(picked) < number:
            raise InputError(
                f"the named sources hold only {len(picked)} of the {number} examples "
                "of the budget; name more, or choose fewer.",
                field="quotas",
            )
        return order, number

    def pick(self, scores: Float64[np.ndarray, " k"]) -> Int64[np.ndarray, " b"]:
        """The chosen if these were the scores, for a picker that needs nothing else."""
        order, number = self.order(Scored(scores))
        return order[:number]

    def about(self) -> int:
        """The budget, or as many average examples as the token budget holds."""
        if self.settings.budget is not None:
            return self.settings.budget
        mean = self.candidates.lengths().mean()
        return max(1, int((self.settings.budget_tokens or 0) / mean))

    def _ground(self, picker: Picker, best: np.ndarray) -> Int64[np.ndarray, " g"]:
        """What a picker chooses from: all, or the best M, for one that compares all."""
        if picker.needs != "features":
            return np.arange(len(best))
        size = self.settings.shortlist_size or SHORTLIST_FACTOR * self._most()
        return np.sort(best[:size])

    def _sources(self, picker: Picker) -> tuple[str, ...]:
        """Of each candidate; nothing where the picker does not look at them."""
        if picker.name != "quota":
            return ()
        return tuple(source or NO_SOURCE for source in self.candidates.sources())

    def _most(self) -> int:
        """So many can be chosen at most."""
        if self.settings.budget is not None:
            return self.settings.budget
        return max(
            1,
            (self.settings.budget_tokens or 0) // int(self.candidates.lengths().min()),
        )

    def _number(self, order: Int64[np.ndarray, " k"]) -> int:
        budget = self.settings.budget
        if budget is None:
            tokens = self.candidates.lengths()[order]
            return num_within_tokens(tokens, self.settings.budget_tokens or 0)
        check_budget(budget, len(order))
        return budget
