"""Sentences that say what a selection chose and what speaks for or against it.

The words are chosen by fixed limits, which stand here. `result` is the content of
`selection.json`; `ntkjax.reports.selection_page` describes it.
"""

from ntkjax.reports.numbers import (
    error_text,
    percent_text,
    share_text,
    whole_text,
)


MUCH = 0.5
"""From this |Spearman| with length on, length explains much of a ranking."""

LITTLE = 0.2
"""Below this it explains little."""


def opening(result: dict) -> str:
    """What was chosen, from what, and by which score."""
    target = _count(result["num_target"], "target example")
    return (
        f"{whole_text(result['num_selected'])} of "
        f"{_count(result['num_pool'], 'pool example')} were chosen for a domain of "
        f"{target}: those {_by_score(result)}{_among(result)}."
    )


def warnings(result: dict) -> list[str]:
    """What a reader should know before trusting the selection, gravest first."""
    found = []
    holdout, target = (result["duplicates"][key] for key in ("holdout", "target"))
    if holdout and _total(holdout):
        found.append(
            f"Leakage: {_repeats(holdout, 'a holdout text')} ({_kinds(holdout)}). "
            "What is trained on them will look better on the holdout files than it is; "
            "remove them first."
        )
    if _total(target):
        found.append(
            f"{_repeats(target, 'a target text')} ({_kinds(target)}). Training on the "
            "domain as well shows the model these texts twice."
        )
    return found


def length_finding(result: dict) -> str:
    """How much of the ranking goes with the length of the examples."""
    value = result["length_score_spearman"]
    number = f"Spearman correlation of tokens and score {share_text(value)}"
    if abs(value) > MUCH:
        longer = "longer" if value > 0 else "shorter"
        return (
            f"Length explains much of the ranking: {longer} examples score higher "
            f"({number})."
        )
    if abs(value) > LITTLE:
        return f"Length explains some of the ranking ({number})."
    return f"Length explains little of the ranking ({number})."


def agreement_findings(result: dict) -> list[str]:
    """The selection against those of the plain embeddings, if they were compared."""
    agreement = result["agreement"]
    if agreement is None:
        return []
    overlap, chance = (
        agreement["embedding_overlap"],
        agreement["embedding_overlap_chance"],
    )
    return [
        f"Ranking the pool by plain embeddings would have chosen "
        f"{percent_text(overlap)} of the same examples; chance would give "
        f"{percent_text(chance)}.",
        f"The votes alone would have chosen {percent_text(agreement['vote_overlap'])} "
        "of them.",
        "Over all scored examples the orders by score and by embeddings have a "
        f"Spearman correlation of {share_text(agreement['spearman_embedding'])} "
        "(1 is the same order, 0 unrelated).",
    ]


def warmup_finding(warmup: dict) -> str:
    """How the LoRA parameters came about."""
    if warmup["kind"] == "none":
        return "No warm-up: the scores were taken at the start of LoRA."
    if warmup["kind"] == "adapter":
        return "No warm-up: the scores were taken at the adapter that was given."
    sentence = f"LoRA was trained on the domain for {_count(warmup['steps'], 'step')}"
    if warmup["first_loss"] is None or warmup["last_loss"] is None:
        return f"{sentence}."
    first, last = (error_text(warmup[key]) for key in ("first_loss", "last_loss"))
    return f"{sentence}; the loss went from {first} to {last}."


def duplicates_finding(record: dict | None, what: str) -> str:
    """How many chosen examples repeat `what`, such as `a target text`."""
    if record is None:
        return "No holdout files were given, so leakage into them was not looked for."
    if not _total(record):
        return f"No chosen example repeats {what}."
    return f"{_repeats(record, what)}: {_kinds(record)}."


def _by_score(result: dict) -> str:
    if result["method"] != "ntk":
        return f"that the method {result['method']} scored highest"
    return (
        "with the highest neural tangent kernel with the domain (the "
        f"{result['kernel']} kernel, averaged over the target examples)"
    )


def _among(result: dict) -> str:
    if result["num_shortlisted"] is None:
        return ", with every pool example scored"
    shortlisted = whole_text(result["num_shortlisted"])
    return f", among the {shortlisted} that a vote of nearest neighbors shortlisted"


def _total(record: dict) -> int:
    return record["exact"] + record["ngram"]


def _repeats(record: dict, what: str) -> str:
    total = _total(record)
    verb = "repeats" if total == 1 else "repeat"
    return f"{_count(total, 'chosen example')} {verb} {what}"


def _kinds(record: dict) -> str:
    kinds = ("exact", "word for word"), ("ngram", "in a run of 13 words")
    found = [f"{whole_text(record[key])} {how}" for key, how in kinds if record[key]]
    return ", ".join(found)


def _count(number: int, noun: str) -> str:
    return f"{whole_text(number)} {noun}{'' if number == 1 else 's'}"
