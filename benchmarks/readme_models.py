"""The README's table of tested models, from its results file."""

from ntkjax.reports.numbers import error_text


COLUMNS = ("hidden", "logits", "adapted_logits", "gradients")


def tested_models(result: dict, in_peft: dict) -> str:
    """A row per family: its variants, and the largest error of everything compared.

    Args:
        result: Content of `tested_models.json`.
        in_peft: Content of `peft_roundtrip.json`.
    """
    rows = [
        "| `model_type` | variants | hidden states | logits | logits with LoRA "
        "| gradients | trained here, read by PEFT |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for family, variants in result["families"].items():
        cells = [f"`{family}`", ", ".join(name.replace("_", " ") for name in variants)]
        for column in COLUMNS:
            found = [errors[column] for errors in variants.values() if column in errors]
            cells.append(error_text(max(found)))
        cells.append(error_text(max(in_peft["families"][family].values())))
        rows.append(f"| {' | '.join(cells)} |")
    versions = result["reference_versions"]
    rows += [
        "",
        "(Largest |difference| over largest |expected number|, over all variants, with "
        f"LoRA over the {_adapted(result)} that come with an adapter: tiny "
        "random models, texts of several lengths in one padded batch, against "
        f"transformers {versions['transformers']} and PEFT {versions['peft']} in "
        "float32; gradients of one summed logit by the LoRA matrices; in the last "
        "column logits with an adapter of two steps. "
        "`benchmarks/results/tested_models.json`, `peft_roundtrip.json`.)",
    ]
    return "\n".join(rows)


def _adapted(result: dict) -> str:
    """How many variants have an adapter, and of how many."""
    every = [
        errors for found in result["families"].values() for errors in found.values()
    ]
    return f"{sum('gradients' in errors for errors in every)} of {len(every)}"
