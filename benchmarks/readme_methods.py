"""Tables of the README about methods of selection, from results files."""

from ntkjax.math.bootstrap import Estimate
from ntkjax.reports.numbers import error_text, interval_text, share_text


def methods(result: dict) -> str:
    """Every method in the small world: needed skills, and accuracy beside random."""
    gains, overall = result["differences"], result["overall"]
    rows = [
        f"| chosen by | needed | gain [95%] | over vote [95%] | {', '.join(gains)} |",
        "|---|---:|---:|---:|---|",
    ]
    for name in next(iter(result["domains"].values())):
        share = overall["share"].get(name)
        cells = (
            name,
            "" if share is None else f"{100 * share['value']:.0f}",
            *(_gain(overall[control].get(name)) for control in ("random", "vote")),
            ", ".join(_short_gain(found.get(name)) for found in gains.values()),
        )
        rows.append(f"| {' | '.join(cells)} |")
    settings = result["settings"]
    rows += [
        "",
        f"(Percent of {settings['budget']} chosen examples that teach a needed skill, "
        "and points of accuracy after fine-tuning above those of the random choice and "
        f"of vote: means over domains and {len(settings['seeds'])} worlds, intervals "
        "over worlds. In the last column the gain in each domain, bold where its own "
        f"interval leaves out zero. {_lengths(result)} "
        "`benchmarks/results/methods.json`.)",
    ]
    return "\n".join(rows)


def _lengths(result: dict) -> str:
    """How long the examples of the arms were: they saw as many, not as long ones."""
    found: dict[str, list[float]] = {}
    for row in result["rows"]:
        found.setdefault(row["method"], []).append(row["mean_tokens"])
    means = {name: sum(each) / len(each) for name, each in found.items()}
    shortest, longest = (f(means, key=lambda n: means[n]) for f in (min, max))
    return (
        f"All arms saw as many examples, of {means[shortest]:.1f} tokens ({shortest}) "
        f"to {means[longest]:.1f} ({longest}) on average."
    )


def real_methods(result: dict) -> str:
    """What every method costs and chooses on real text."""
    rows = [
        "| method | seconds | peak MiB | Spearman of length and score | largest source "
        "| most alike |",
        "|---|---:|---:|---:|---|---|",
    ]
    for name in result["order"]:
        run, alike = result["methods"][name], result["overlap"][name]
        source, number = max(run["sources"].items(), key=lambda item: item[1])
        other = max(alike, key=lambda method: alike[method])
        cells = (
            name,
            f"{run['seconds']:.0f}",
            f"{run['peak_mib']:,}",
            share_text(run["length_score_spearman"]),
            f"{source} {100 * number / sum(run['sources'].values()):.0f}%",
            f"{other} {share_text(alike[other])}",
        )
        rows.append(f"| {' | '.join(cells)} |")
    rows += [
        "",
        "(In the order in which they ran and shared passes: the first to need one pays "
        f"for it. Alike: Jaccard index, by chance {result['chance_overlap']:.2f}. On "
        f"{result['device']}; `benchmarks/results/real_methods.json`.)",
    ]
    return "\n".join(rows)


def dualsft(result: dict) -> str:
    """DualSFT's arms on real text, and how well its surrogate foresees them."""
    rows = [
        "| examples | parameters | target loss | general loss | accuracy [95%] "
        "| NLL per token [95%] | I1 |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for arm in result["arms"]:
        cells = (
            arm["data"],
            "all" if arm["mask"] is None else f"{arm['mask']} mask",
            f"{arm['validation']['change']:+.3f}",
            f"{arm['retention']['change']:+.3f}",
            points(arm["overall"]["accuracy"]),
            interval_text(Estimate(**arm["overall"]["nll"])),
            f"{arm['gains']['I1']:.2g}",
        )
        rows.append(f"| {' | '.join(cells)} |")
    base, settings = result["base"], result["settings"]
    tokens = [arm["tokens"] for arm in result["arms"]]
    rows += [
        f"| none | none | | | {points(base['accuracy'])} "
        f"| {interval_text(Estimate(**base['nll']))} | |",
        "",
        f"({settings['budget']} of the pool's examples, "
        f"{100 * settings['mask_share']:.0f}% of the adapter's parameters; "
        f"{result['arms'][0]['steps']} steps each, of {min(tokens):,} to "
        f"{max(tokens):,} tokens in all; losses are changes by fine-tuning. "
        f"{_surrogate(result)} On {result['device']}; "
        "`benchmarks/results/dualsft.json`.)",
    ]
    return "\n".join(rows)


def dualsft_masks(result: dict) -> str:
    """What masks of the same size bring with the same examples."""
    rows = [
        "| parameters | of these in B | target loss | general loss "
        "| NLL per token [95%] |",
        "|---|---:|---:|---:|---:|",
    ]
    for arm in result["arms"]:
        share = arm["share_in_B"]
        cells = (
            "all" if arm["mask"] is None else f"{arm['mask']} mask",
            "" if share is None else f"{100 * share:.0f}%",
            f"{arm['validation']['change']:+.3f}",
            f"{arm['retention']['change']:+.3f}",
            interval_text(Estimate(**arm["overall"]["nll"])),
        )
        rows.append(f"| {' | '.join(cells)} |")
    rows += [
        "",
        "(Every arm has the examples that DualSFT chose, and the same steps. "
        "`benchmarks/results/dualsft_masks.json`.)",
    ]
    return "\n".join(rows)


def _surrogate(result: dict) -> str:
    """What was predicted, beside what was measured."""
    first = result["arms"][0]
    steps = ", ".join(
        f"{share_text(row['ratio'])} at η = {row['step']:g}"
        for row in first["single_steps"]
    )
    found = result["agreement"]["masked"]
    facts = result["selections"]
    text = (
        f"Spearman of I1 and the fall of the target loss over the {found['arms']} "
        f"masked arms: {share_text(found['I1'])}. A single step on the first arm "
        f"changes the target loss by this share of what I1 predicts: {steps}. The "
        f"second-order term is {error_text(facts['dualsft']['second_to_first'])} of "
        "the first-order one."
    )
    if "two rounds" in facts:
        text += _rounds(facts["two rounds"]["rounds"])
    if any(arm["share_in_B"] == 0 for arm in result["arms"]):
        text += " A mask with nothing of B, which starts at zero, trains nothing."
    return text


def _rounds(rounds: list[dict]) -> str:
    """I1 round by round, and what the rounds left as it was."""
    gains = ", ".join(f"{row['I1']:.2g}" for row in rounds)
    parts = [("examples", "jaccard_data"), ("parameters", "jaccard_parameters")]
    kept = " and ".join(
        f"{', '.join(share_text(row[key]) for row in rounds[1:])} of the {name}"
        for name, key in parts
    )
    return (
        f" I1 at the start and after each round: {gains}; Jaccard index with the "
        f"round before: {kept}."
    )


def points(estimate: dict, digits: int = 1) -> str:
    """A share with its interval, in percent."""
    low, high = max(estimate["low"], 0), min(estimate["high"], 1)
    value, low, high = (
        f"{100 * share:.{digits}f}" for share in (estimate["value"], low, high)
    )
    return f"{value} [{low}, {high}]"


def _gain(estimate: dict | None) -> str:
    """A difference of shares with its interval, in points."""
    if estimate is None:
        return ""
    value, low, high = (100 * estimate[key] for key in ("value", "low", "high"))
    return f"{value:+.0f} [{low:+.0f}, {high:+.0f}]"


def _short_gain(estimate: dict | None) -> str:
    """The same without the interval, bold where it leaves out zero."""
    if estimate is None:
        return "–"
    text = f"{100 * estimate['value']:+.0f}"
    is_sure = estimate["low"] > 0 or estimate["high"] < 0
    return f"**{text}**" if is_sure else text
