"""Evaluation of one θ on prepared examples: likelihoods, choices, answers.

questions = prepare_questions(examples, folder)
for theta in thetas:
    evaluate(model, theta, questions, mesh=mesh).accuracy
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jax.sharding import Mesh
from jaxtyping import Bool, Float64, Int64

from ntkjax.data.examples import Example
from ntkjax.evaluation.choices import ChoiceScores, score_choices
from ntkjax.evaluation.exact_match import exact_match
from ntkjax.evaluation.generation import generate
from ntkjax.evaluation.questions import Prompts, Questions
from ntkjax.models.language_model import LanguageModel
from ntkjax.notation import Theta
from ntkjax.passes.likelihood import Likelihoods, likelihoods


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What was found for n examples, in their order.

    Attributes:
        examples: The examples.
        responses: Likelihoods of their responses, end-of-text included.
        choices: Scores of their choices; None for an example without.
        generated: Answers; None for an example without a prompt, or without generation.
    """

    examples: list[Example]
    responses: Likelihoods
    choices: list[ChoiceScores | None]
    generated: list[str | None]

    @property
    def ids(self) -> list[str]:
        """Ids of the examples."""
        return [example.id for example in self.examples]

    @property
    def sources(self) -> list[str | None]:
        """Sources of the examples; None where unnamed."""
        return [example.source for example in self.examples]

    @property
    def nll(self) -> Float64[np.ndarray, " n"]:
        """Negative log-likelihood per target token of each response."""
        return self.responses.mean

    @property
    def tokens(self) -> Int64[np.ndarray, " n"]:
        """Target tokens of each response."""
        return self.responses.tokens

    @property
    def with_choices(self) -> Int64[np.ndarray, " q"]:
        """Rows of the examples that have choices."""
        rows = [row for row, scores in enumerate(self.choices) if scores is not None]
        return np.array(rows, np.int64)

    @property
    def answers(self) -> Int64[np.ndarray, " q"]:
        """Index of the right choice, for the rows `with_choices`."""
        return self._of_questions(lambda example, scores: example.answer)

    @property
    def predictions(self) -> Int64[np.ndarray, " q"]:
        """Choice of the best length-normalized score, for the rows `with_choices`."""
        return self._of_questions(lambda example, scores: scores.prediction)

    @property
    def predictions_sum(self) -> Int64[np.ndarray, " q"]:
        """Choice of the best summed score, for the rows `with_choices`."""
        return self._of_questions(lambda example, scores: scores.prediction_sum)

    @property
    def correct(self) -> Bool[np.ndarray, " q"]:
        """Whether the length-normalized prediction is the answer."""
        return self.predictions == self.answers

    @property
    def correct_sum(self) -> Bool[np.ndarray, " q"]:
        """Whether the summed prediction is the answer."""
        return self.predictions_sum == self.answers

    @property
    def with_answers(self) -> Int64[np.ndarray, " m"]:
        """Rows of the examples that an answer was generated for."""
        rows = [row for row, text in enumerate(self.generated) if text is not None]
        return np.array(rows, np.int64)

    @property
    def exact_matches(self) -> Bool[np.ndarray, " m"]:
        """Whether the generated answer is the response, for the rows `with_answers`."""
        pairs = zip(self.generated, self.examples, strict=True)
        return np.array(
            [exact_match(t, example.response) for t, example in pairs if t is not None],
            bool,
        )

    @property
    def accuracy(self) -> float:
        """Share of `correct`; there must be examples with choices."""
        return float(self.correct.mean())

    def _of_questions(self, pick: Callable) -> Int64[np.ndarray, " q"]:
        pairs = zip(self.examples, self.choices, strict=True)
        picked = [pick(e, scores) for e, scores in pairs if scores is not None]
        return np.array(picked, np.int64)


def evaluate(
    model: LanguageModel,
    theta: Theta,
    questions: Questions,
    *,
    mesh: Mesh,
    tokens_per_batch: int | None = None,
    advance: Callable[[int], None] = lambda count: None,
) -> Evaluation:
    """Likelihoods, choice scores and answers at θ.

    Cost: F for each response and each choice; generation see there.

    Args:
        model: The model that the questions were prepared for.
        theta: Parameters.
        questions: From `prepare_questions`.
        mesh: Devices that share a batch.
        tokens_per_batch: Tokens that each data group computes side by side.
        advance: Called with the number of texts done, `num_texts(questions)` in all.

    Raises:
        InputError: If a number is not finite; the message names the example.
    """
    how = {"mesh": mesh, "tokens_per_batch": tokens_per_batch, "advance": advance}
    found = likelihoods(
        model,
        theta,
        questions.responses + questions.choices,
        max_length=questions.max_length,
        **how,
    )
    n = len(questions.responses)
    choices = Likelihoods(found.nll[n:], found.tokens[n:])
    generated: list[str | None] = [None] * n
    if questions.prompts is not None:
        texts = _answers(model, theta, questions.prompts, how)
        for row, text in zip(questions.prompts.rows.tolist(), texts, strict=True):
            generated[row] = text
    return Evaluation(
        questions.examples,
        Likelihoods(found.nll[:n], found.tokens[:n]),
        score_choices(choices, questions.num_choices),
        generated,
    )


def num_texts(questions: Questions) -> int:
    """How many texts `evaluate` computes: responses, choices and prompts."""
    prompts = questions.prompts
    num_prompts = 0 if prompts is None else len(prompts.tokenized)
    return len(questions.responses) + len(questions.choices) + num_prompts


def _answers(
    model: LanguageModel, theta: Theta, prompts: Prompts, how: dict
) -> list[str]:
    found = generate(
        model,
        theta,
        prompts.tokenized,
        max_length=prompts.max_length,
        max_new_tokens=prompts.max_new_tokens,
        stop_ids=prompts.stop_ids,
        vocab_size=prompts.vocab_size,
        **how,
    )
    texts = [
        prompts.tokenizer.decode(
            tokens.tolist(),
            skip_special_tokens=True,
            clean_up_tokenization_spaces=False,
        )
        for tokens in found
    ]
    return [
        text.partition(marker)[0].rstrip() if marker else text
        for text, marker in zip(texts, prompts.end_markers, strict=True)
    ]
