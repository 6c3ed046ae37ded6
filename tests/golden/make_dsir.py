# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "torch==2.13.0",
#   "numpy",
# ]
# ///
"""DSIR's importance weights of a small corpus, computed with dense counts in torch.

Writes `dsir/expected.json` beside this file (README.md has the layout):

    log w(x) = Σ_b c_b(x) [log(p_target,b + 1e-8) − log(p_raw,b + 1e-8)]

with c_b(x) the counts of words and pairs of words of x in bucket b, in float64. Words
are found one character at a time, not by a regular expression.
"""

import hashlib
import itertools
import json
import pathlib

import torch


PATH = pathlib.Path(__file__).parent / "dsir" / "expected.json"
BUCKETS = (10_000, 64)
TARGET = [
    ["Did the bank's net profit rise?", "Yes: net profit rose 12.5% to $3.1m."],
    ["Sentiment of: 'Shares fell sharply, again.'", "negative"],
    [None, "The bank raised its dividend; shares rose."],
    ["What is EBITDA?", "Earnings before interest, taxes, depreciation (…)."],
]
RAW = [
    ["Name a fruit.", "An apple."],
    ["Did the shares rise?", "Yes, the shares rose 3% on higher profit."],
    [None, "def f(x_1):\n    return x_1 ** 2  # square"],
    ["Où est la banque ?", "Près de l'église, à 200 m."],
    ["Bank, bank, BANK!", "bank bank bank bank"],
    [None, "?!"],
    ["Summarize: net profit rose.", "Net profit rose."],
    ["翻译：银行", "the bank — 'yínháng'"],
]


def main():
    target, raw = ([text(*pair) for pair in side] for side in (TARGET, RAW))
    found = {str(size): log_weights(target, raw, size) for size in BUCKETS}
    first, second = (torch.tensor(values) for values in found.values())
    assert (first - second).abs().max() > 1e-3, "no two words share a bucket"
    content = {
        "versions": {"torch": torch.__version__},
        "target": TARGET,
        "raw": RAW,
        "log_weights": found,
    }
    PATH.parent.mkdir(exist_ok=True)
    lines = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    PATH.write_text(lines, encoding="utf-8")
    print(f"{PATH.name}: {PATH.stat().st_size / 1e3:.1f} kB")


def log_weights(target, raw, num_buckets):
    """The formula, [number of raw texts]."""
    target_counts, raw_counts = (
        torch.stack([counts(each, num_buckets) for each in side])
        for side in (target, raw)
    )
    p_target, p_raw = (
        side.sum(dim=0) / side.sum() for side in (target_counts, raw_counts)
    )
    ratio = torch.log(p_target + 1e-8) - torch.log(p_raw + 1e-8)
    return (raw_counts @ ratio).tolist()


def counts(line, num_buckets):
    """Words and pairs of words in each bucket, [num_buckets]."""
    found = torch.zeros(num_buckets, dtype=torch.float64)
    each = words(line.lower())
    for ngram in each + [" ".join(pair) for pair in itertools.pairwise(each)]:
        digest = hashlib.sha256(ngram.encode("utf-8")).hexdigest()
        found[int(digest, 16) % num_buckets] += 1
    return found


def words(line):
    """Runs of letters, digits and _, and runs of anything else but white space."""
    runs = itertools.groupby(line, key=kind)
    return ["".join(run) for name, run in runs if name != "space"]


def kind(character):
    if character.isspace():
        return "space"
    return "word" if character.isalnum() or character == "_" else "mark"


def text(prompt, response):
    return response if prompt is None else f"{prompt}\n{response}"


if __name__ == "__main__":
    main()
