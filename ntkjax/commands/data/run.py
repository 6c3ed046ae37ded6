"""`ntkjax data`: what a model reads of files, counted and shown."""

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ntkjax.checkpoints.loading import locate_model
from ntkjax.checkpoints.text_encoder import TextEncoder, text_encoder
from ntkjax.commands.data.settings import DataSettings, check_data_settings
from ntkjax.data.chat.encoding import turns_of
from ntkjax.data.examples import Example, read_examples
from ntkjax.data.templates import is_chat
from ntkjax.data.tokenizing import TokenizedExample
from ntkjax.reports.data_tables import Piece
from ntkjax.runs.progress import announce, progress
from ntkjax.settings.template import template_options


_BLOCK = 1024


@dataclass(frozen=True)
class DataRun:
    """What was found.

    Attributes:
        facts: Counts, as `ntkjax.reports.data_tables` wants them.
        shown: For each example that is to be shown its title and its text in pieces.
    """

    facts: dict
    shown: list[tuple[str, list[Piece]]]


def run_data(settings: DataSettings) -> DataRun:
    """Reads and tokenizes all examples; writes nothing.

    Raises:
        InputError: For anything in flags, files or tokenizer that cannot be used.
    """
    check_data_settings(settings)
    template = template_options(settings)
    model = locate_model(settings.model, announce=announce, weights=False)
    encode = text_encoder(model.folder, settings.max_length, template=template)
    examples = read_examples(settings.data)
    tokens, targets, num_cut = [], [], 0
    shown = []
    with progress("tokenize", len(examples), "examples") as advance:
        for start in range(0, len(examples), _BLOCK):
            block = examples[start : start + _BLOCK]
            found = encode(block)
            tokens += [len(text.tokens) for text in found]
            targets += [int(text.targets.sum()) for text in found]
            num_cut += sum(text.was_cut for text in found)
            for example, text in zip(block, found, strict=True):
                if len(shown) < settings.show:
                    shown.append(_shown(example, text, encode))
            advance(len(block))
    facts = {
        "num_examples": len(examples),
        "max_length": settings.max_length,
        "num_cut": num_cut,
        "tokens": _spread(tokens),
        "targets": _spread(targets),
        **_turns(examples, encode),
    }
    return DataRun(facts, shown)


def pieces_of(text: TokenizedExample, encode: TextEncoder) -> list[Piece]:
    """The text of the tokens, cut where targets begin and end.

    Each piece is what its tokens add to the text before them: some tokenizers drop the
    space at the beginning of a text.
    """
    changes = np.flatnonzero(np.diff(text.targets)) + 1
    bounds = [0, *changes.tolist(), len(text.tokens)]
    pieces, before = [], ""
    for start, stop in itertools.pairwise(bounds):
        whole = _decoded(text.tokens[:stop], encode)
        if whole.startswith(before):
            added = whole[len(before) :]
        else:  # a character whose bytes lie on both sides
            added = _decoded(text.tokens[start:stop], encode)
        pieces.append(Piece(added, bool(text.targets[start])))
        before = whole
    return pieces


def _decoded(tokens: np.ndarray, encode: TextEncoder) -> str:
    return encode.tokenizer.decode(
        tokens.tolist(), skip_special_tokens=False, clean_up_tokenization_spaces=False
    )


def _shown(
    example: Example, text: TokenizedExample, encode: TextEncoder
) -> tuple[str, list[Piece]]:
    kind = "chat" if is_chat(example, encode.template) else "plain"
    facts = [kind, f"{len(text.tokens)} tokens", f"{int(text.targets.sum())} targets"]
    facts += ["cut"] * text.was_cut
    return f"{example.location} ({', '.join(facts)})", pieces_of(text, encode)


def _spread(counts: Sequence[int]) -> dict:
    values = np.array(counts)
    return {
        "total": int(values.sum()),
        "mean": float(values.mean()),
        "min": int(values.min()),
        "max": int(values.max()),
    }


def _turns(examples: Sequence[Example], encode: TextEncoder) -> dict:
    """How many examples take each template, and the turns of the chats."""
    templates, roles, turns = Counter(), Counter(), []
    for example in examples:
        if not is_chat(example, encode.template):
            templates["plain"] += 1
            continue
        templates["chat"] += 1
        chat = turns_of(example)
        turns.append(len(chat))
        roles.update(turn.role for turn in chat)
    return {
        "templates": dict(sorted(templates.items())),
        "roles": dict(roles.most_common()),
        "turns": _spread(turns) if turns else None,
    }
