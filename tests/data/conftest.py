"""A tiny tokenizer of bytes, so that tokens can be counted by hand."""

import pytest
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, processors


SPECIAL = ["<unk>", "<s>", "</s>", "<sop>"]


@pytest.fixture
def save_tokenizer(tmp_path):
    """A function that saves a tokenizer: one token a byte, merges, special tokens."""

    def save(template="$A", merges=(), alphabet=None):
        from transformers import PreTrainedTokenizerFast

        alphabet = alphabet or sorted(pre_tokenizers.ByteLevel.alphabet())
        pieces = [*SPECIAL, *alphabet, *("".join(pair) for pair in merges)]
        vocab = {piece: number for number, piece in enumerate(pieces)}
        backend = tokenizers.Tokenizer(models.BPE(vocab=vocab, merges=list(merges)))
        backend.add_special_tokens(SPECIAL)
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(
            add_prefix_space=False, use_regex=False
        )
        backend.post_processor = processors.TemplateProcessing(
            single=template, special_tokens=[(s, vocab[s]) for s in SPECIAL]
        )
        backend.decoder = decoders.ByteLevel()
        fast = PreTrainedTokenizerFast(
            tokenizer_object=backend,
            bos_token="<s>",
            eos_token="</s>",
            unk_token="<unk>",
            model_max_length=8,
        )
        fast.save_pretrained(tmp_path)
        return tmp_path

    return save
