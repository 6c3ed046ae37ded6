"""Sentences that say what a selection chose and what speaks for or against it.

The words are chosen by fixed limits, which stand here.
"""

from ntkjax.reports.numbers import (
    error_text,
    percent_text,
    share_text,
    whole_text,
)
from ntkjax.reports.selection.words import count_noun, score_words
from ntkjax.selection.methods.table import METHODS
from ntkjax.selection.result import Repeats, SelectionResult


MUCH = 0.5
"""From this |Spearman| with length on, length explains much of a ranking."""

LITTLE = 0.2
"""Below this it explains little."""


def opening(result: SelectionResult) -> str:
    """What was chosen, from what, by which score and which picker."""
    control = ", as a control" if result.reverse else ""
    return (
        f"{whole_text(result.num_selected)} of "
        f"{count_noun(result.num_pool, 'pool example')} were chosen "
        f"{_purpose(result)}: {_chosen(result)}{_among(result)}{control}."
        f"{_unused(result)}"
    )


def rank_finding(result: SelectionResult) -> str:
    """What the number in front of an example's text stands for."""
    lowest = ", the lowest first" if result.reverse else ""
    if result.picker == "top":
        return f"The number in front is the rank by score{lowest}."
    return (
        "The number in front is the rank in the order of picking, in which scores may "
        f"rise and fall; what was not picked follows by score{lowest}."
    )


def warnings(result: SelectionResult) -> list[str]:
    """What a reader should know before trusting the selection, gravest first."""
    found = []
    holdout, target = result.duplicates.holdout, result.duplicates.target
    if holdout and holdout.total:
        found.append(
            f"Leakage: {_repeats(holdout, 'a holdout text')} ({_kinds(holdout)}). "
            "What is trained on them will look better on the holdout files than it is; "
            "remove them first."
        )
    if target.total:
        found.append(
            f"{_repeats(target, 'a target text')} ({_kinds(target)}). Training on the "
            "domain as well shows the model these texts twice."
        )
    return found


def length_finding(result: SelectionResult) -> str:
    """How much of the scores goes with the length of the examples."""
    value = result.length_score_spearman
    number = f"Spearman correlation of tokens and score {share_text(value)}"
    if abs(value) > MUCH:
        longer = "longer" if value > 0 else "shorter"
        return (
            f"Length explains much of the scores: {longer} examples score higher "
            f"({number})."
        )
    if abs(value) > LITTLE:
        return f"Length explains some of the scores ({number})."
    return f"Length explains little of the scores ({number})."


def agreement_findings(result: SelectionResult) -> list[str]:
    """The selection against those of the plain embeddings, if they were compared."""
    agreement = result.agreement
    if agreement is None:
        return []
    overlap, chance = agreement.embedding_overlap, agreement.embedding_overlap_chance
    return [
        f"Ranking the pool by plain embeddings would have chosen "
        f"{percent_text(overlap)} of the same examples; chance would give "
        f"{percent_text(chance)}.",
        f"The votes alone would have chosen {percent_text(agreement.vote_overlap)} "
        "of them.",
        "Over all scored examples the orders by score and by embeddings have a "
        f"Spearman correlation of {share_text(agreement.spearman_embedding)} "
        "(1 is the same order, 0 unrelated).",
    ]


def warmup_finding(result: SelectionResult) -> str:
    """How the trained parameters came about."""
    warmup, is_full = result.warmup, result.parameters == "full"
    if warmup.kind in ("none", "adapter"):
        return f"No warm-up: {_start(result)}."
    what = "All weights were" if is_full else "LoRA was"
    where = "domain" if warmup.kind == "target" else "pool"
    sentence = (
        f"{what} trained on {count_noun(warmup.examples, 'example')} of the "
        f"{where} for {count_noun(warmup.steps or 0, 'step')}"
    )
    if warmup.first_loss is None or warmup.last_loss is None:
        return f"{sentence}."
    first, last = error_text(warmup.first_loss), error_text(warmup.last_loss)
    return f"{sentence}; the loss went from {first} to {last}."


def duplicates_finding(record: Repeats | None, what: str) -> str:
    """How many chosen examples repeat `what`, such as `a target text`."""
    if record is None:
        return "No holdout files were given, so leakage into them was not looked for."
    if not record.total:
        return f"No chosen example repeats {what}."
    return f"{_repeats(record, what)}: {_kinds(record)}."


def _purpose(result: SelectionResult) -> str:
    """What the examples were chosen for."""
    if METHODS[result.method].validates:
        return f"for {count_noun(result.num_aim, 'validation example')}"
    relation = "for a" if _reads_target(result) else "without regard to the"
    target = count_noun(result.num_target, "target example")
    return f"{relation} domain of {target}"


def _unused(result: SelectionResult) -> str:
    """How many target examples nothing looked at, if there is validation."""
    validates = METHODS[result.method].validates
    if not validates or result.warmup.kind == "target":
        return ""
    number = result.num_target
    if not result.validation:
        number -= result.num_aim
    if number == 0:
        return ""
    of = count_noun(result.num_target, "target example")
    return f" Of the {of} {whole_text(number)} {_was(number)} not used."


def _was(number: int) -> str:
    return "was" if number == 1 else "were"


def _chosen(result: SelectionResult) -> str:
    """Which examples the method and the picker take."""
    words, picker = score_words(result), result.picker
    if picker == "round-robin":
        queries = result.method_facts.get("queries", "groups")
        query = "group of the target" if queries == "groups" else "target example"
        return (
            f"each {query} in turn took its best candidate left, by the {words.score}"
        )
    if picker == "facility-location":
        return (
            "taken one by one so that together they stand for the candidates with the "
            f"highest {words.score}"
        )
    lowest = f"those with the LOWEST {words.score}"
    chosen = lowest if result.reverse else words.highest
    quota = ", each source with its share of the picks" * (picker == "quota")
    return f"{chosen}{quota}"


def _reads_target(result: SelectionResult) -> bool:
    """Whether the target decides anything: scores, shortlist or warm-up."""
    words, is_voted = score_words(result), result.num_shortlisted is not None
    is_taught = words.reads_model and result.warmup.kind == "target"
    return words.reads_target or is_voted or is_taught


def _among(result: SelectionResult) -> str:
    if result.num_shortlisted is None:
        return ", out of the whole pool"
    shortlisted = whole_text(result.num_shortlisted)
    return f", among the {shortlisted} that a vote of nearest neighbors shortlisted"


def _start(result: SelectionResult) -> str:
    """Where scores were taken without a warm-up."""
    if score_words(result).reads_model:
        what = "the scores were taken"
    elif result.num_shortlisted is not None:
        what = "the embeddings were taken"
    else:
        return "the method does not look at the model"
    if result.warmup.kind == "adapter":
        return f"{what} at the adapter that was given"
    is_full = result.parameters == "full"
    return f"{what} at {'the model as it is' if is_full else 'the start of LoRA'}"


def _repeats(record: Repeats, what: str) -> str:
    verb = "repeats" if record.total == 1 else "repeat"
    return f"{count_noun(record.total, 'chosen example')} {verb} {what}"


def _kinds(record: Repeats) -> str:
    kinds = (record.exact, "word for word"), (record.ngram, "in a run of 13 words")
    return ", ".join(f"{whole_text(number)} {how}" for number, how in kinds if number)
