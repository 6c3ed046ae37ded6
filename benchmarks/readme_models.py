"""The README's table of tested models, from its results file."""

from ntkjax.reports.numbers import error_text


COLUMNS = ("hidden", "logits", "adapted_logits", "gradients")


def tested_models(result: dict) -> str:
    """A row per family: its variants, and the largest error of everything compared."""
    rows = [
        "| `model_type` | variants | hidden states | logits | logits with LoRA "
        "| gradients |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for family, variants in result["families"].items():
        cells = [f"`{family}`", ", ".join(name.replace("_", " ") for name in variants)]
        for column in COLUMNS:
            found = [errors[column] for errors in variants.values() if column in errors]
            cells.append(error_text(max(found)))
        rows.append(f"| {' | '.join(cells)} |")
    versions = result["reference_versions"]
    rows += [
        "",
        "(Largest |difference| over largest |expected number|, over all variants: tiny "
        "random models, texts of several lengths in one padded batch, against "
        f"transformers {versions['transformers']} and PEFT {versions['peft']} in "
        "float32; gradients of one summed logit by the LoRA matrices. "
        "`benchmarks/results/tested_models.json`.)",
    ]
    return "\n".join(rows)
