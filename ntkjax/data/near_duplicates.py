"""Texts that repeat another text: word for word, or in a run of 13 words.

Texts are compared by their words in lower case, so that punctuation, case and white
space make no difference. 13 words is the run by which contamination of evaluation data
is commonly judged: long enough that it hardly happens by chance.

Words become numbers, and equal runs are found by prefix doubling: two runs of 2L words
are equal if their first and their last L words are. Each doubling numbers the different
pairs, so runs are compared exactly; there are no hashes that could collide. Time
O(W log W) and about 80 bytes a word for W words in all.
"""

import dataclasses
import itertools
import re
import unicodedata
from array import array
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Int


RUN = 13
"""Words in a row that make two texts near-duplicates."""

WORD = re.compile(r"\w+")


@dataclasses.dataclass(frozen=True)
class Duplicate:
    """Two texts of which one repeats the other.

    Attributes:
        first: Row of one text.
        second: Row of the other.
        kind: "exact" if the normalized texts are equal; "13-gram" if they share 13
            words in a row.
        words: The words they share: the whole normalized text, or the first run of 13.
    """

    first: int
    second: int
    kind: Literal["exact", "13-gram"]
    words: str


def normalized(text: str) -> str:
    """The words of a text (Unicode NFKC, lower case), joined by one space.

    A word is an unbroken run of letters, digits and underscores. A text without any,
    such as a row of emoji, keeps its characters.

    >>> normalized("Net  sales ROSE, by 5%!")
    'net sales rose by 5'
    """
    plain = unicodedata.normalize("NFKC", text).lower()
    return " ".join(WORD.findall(plain) or plain.split())


def duplicates_within(texts: Sequence[str]) -> list[Duplicate]:
    """Texts that repeat an earlier one: `first` < `second`, both rows of `texts`.

    Each later text is named once, with the first earlier text that equals it, or else
    with the first that shares a run of words with it.
    """
    corpus = _Corpus(texts)
    return _repeats(corpus, range(len(corpus)))


def duplicates_against(texts: Sequence[str], others: Iterable[str]) -> list[Duplicate]:
    """Texts that repeat one of `others`: `first` in `texts`, `second` in `others`.

    Each text is named once, with the first of the others that equals it, or else with
    the first that shares a run of words with it. `others` is read once.
    """
    corpus = _Corpus(itertools.chain(others, texts))
    num_others = len(corpus) - len(texts)
    limits = [0] * num_others + [num_others] * len(texts)
    return [
        dataclasses.replace(
            repeat, first=repeat.second - num_others, second=repeat.first
        )
        for repeat in _repeats(corpus, limits)
    ]


def _repeats(corpus: "_Corpus", limits: Sequence[int]) -> list[Duplicate]:
    """Each row (`second`) that repeats a row below its limit, with the first such row.

    Equal texts go before shared runs.
    """
    holders, starts = _first_holders(corpus)
    repeats = []
    for row, limit in enumerate(limits):
        equal, holder = corpus.equals[row], int(holders[row])
        if equal < limit:
            repeats.append(Duplicate(equal, row, "exact", corpus.words(row)))
        elif holder < limit:
            run = corpus.run(int(starts[row]))
            repeats.append(Duplicate(holder, row, "13-gram", run))
    return repeats


class _Corpus:
    """Normalized texts as numbers of words, one after the other.

    Attributes:
        numbers: The word at each place, as a number.
        ends: Where each text ends, beginning with a 0 for "before the first".
        equals: For each text the row of the first that is equal to it.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self.numbers = array("i")
        self.ends = [0]
        self.equals: list[int] = []
        vocabulary: dict[str, int] = {}
        rows: dict[str, int] = {}
        for text in map(normalized, texts):
            words = text.split(" ")
            self.numbers.extend(
                vocabulary.setdefault(w, len(vocabulary)) for w in words
            )
            self.ends.append(len(self.numbers))
            self.equals.append(rows.setdefault(text, len(self.equals)))
        self._vocabulary = list(vocabulary)

    def __len__(self) -> int:
        return len(self.equals)

    def words(self, row: int) -> str:
        return self._joined(self.ends[row], self.ends[row + 1])

    def run(self, start: int) -> str:
        return self._joined(start, start + RUN)

    def _joined(self, start: int, end: int) -> str:
        return " ".join(self._vocabulary[i] for i in self.numbers[start:end])


def _first_holders(
    corpus: _Corpus,
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """For each text the first that holds one of its runs, and where the run starts.

    A text whose runs are all new, or that has none, is its own holder.
    """
    ends = np.array(corpus.ends)
    num_texts = len(ends) - 1
    holders, starts = np.arange(num_texts), ends[:-1].copy()
    runs = _numbered_runs(np.array(corpus.numbers, np.int64))
    owners = np.repeat(np.arange(num_texts), np.diff(ends))[: len(runs)]
    inside = np.flatnonzero(np.arange(len(runs)) + RUN <= ends[owners + 1])
    owners = owners[inside]
    # The first place of a run belongs to the first text that holds it.
    _, first_places, labels = np.unique(
        runs[inside], return_index=True, return_inverse=True
    )
    found = owners[first_places][labels]
    # Of each owner the lowest holder, and the earliest place where it is met.
    order = np.lexsort((inside, found, owners))
    rows, best = np.unique(owners[order], return_index=True)
    holders[rows] = found[order][best]
    starts[rows] = inside[order][best]
    return holders, starts


def _numbered_runs(words: Int[np.ndarray, " W"]) -> Int[np.ndarray, " runs"]:
    """A number for the run of 13 words from each place: equal if the runs are equal.

    Runs of 2, 4 and 8 words are pairs of runs of half the length; the run of 13 is a
    pair of overlapping runs of 8.
    """
    if len(words) < RUN:
        return words[:0]
    runs = words
    for step in (1, 2, 4, RUN - 8):
        pairs = runs[:-step] * (runs.max() + 1) + runs[step:]
        runs = np.unique(pairs, return_inverse=True)[1]
    return runs
