"""What `ntkjax evaluate` found: the content of `evaluation.json`."""

from dataclasses import dataclass

from ntkjax.evaluation.summary import Summary


@dataclass(frozen=True)
class SourceSummary(Summary):
    """Numbers of the examples of one source.

    Attributes:
        source: Its name; None for examples without one.
    """

    source: str | None


@dataclass(frozen=True, kw_only=True)
class EvaluationResult:
    """An evaluation of one θ.

    Attributes:
        schema: Of the file; see `ntkjax.store.results`.
        model: As the user called it.
        adapter: Its folder; None for the model alone.
        data: The files, joined by commas.
        max_length: Tokens of a text at most.
        max_new_tokens: Of an answer at most; None where none was generated.
        num_cut: Texts that were cut, by kind: responses, choices, prompts.
        num_choices: Choices of all questions.
        seed: Of the resamples.
        resamples: How many each interval rests on.
        overall: Numbers of all examples.
        sources: Those of each source, in order of first appearance.
        seconds: By stage.
        versions: By package.
        device: In words.
        precision: In words.
    """

    schema: int = 1
    model: str
    adapter: str | None
    data: str
    max_length: int
    max_new_tokens: int | None
    num_cut: dict[str, int]
    num_choices: int
    seed: int
    resamples: int
    overall: Summary
    sources: tuple[SourceSummary, ...]
    seconds: dict[str, float]
    versions: dict[str, str]
    device: str
    precision: str
