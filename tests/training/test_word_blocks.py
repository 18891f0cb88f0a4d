import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from tests.training.toy_models import toy_masking_tokenizer
from training.masked_lm import NOT_MASKED
from training.word_blocks import WordBlocks, WordMasker, pack_words

CASED = toy_masking_tokenizer(["Ana", "casa", "##le", "mare", "la", "-", "Cluj", "Na", "##poca"])
UNCASED = toy_masking_tokenizer(
    ["an", "##a", "cas", "##ale", "mare", "l", "-", "cluj", "napoca"], lowercase=True
)
BOTH = (CASED, UNCASED)
TEXTS = ["Ana la casale mare", "casa la Cluj-Napoca", "mare casa Ana la"] * 20


def shown(blocks: WordBlocks, row: int, tokenizer: PreTrainedTokenizerFast) -> list[str]:
    return tokenizer.convert_ids_to_tokens(blocks.ids[row].tolist())


def words(blocks: WordBlocks, row: int, tokenizer: PreTrainedTokenizerFast) -> list[str]:
    """The words of a block, lower-cased, put together again from their tokens."""
    tokens = shown(blocks, row, tokenizer)
    owners = blocks.words[row]
    return [
        "".join(
            t.removeprefix("##") for t, at in zip(tokens, owners, strict=True) if at == word
        ).lower()
        for word in range(owners.max() + 1)
    ]


def test_a_block_ends_where_either_vocabulary_is_full() -> None:
    """Eight tokens fit: five words of the first text and a separator are 6 and 8 of them."""
    cased, uncased = pack_words(TEXTS, BOTH, block_length=10)

    assert shown(cased, 0, CASED) == [
        *("[CLS]", "Ana", "la", "casa", "##le", "mare", "[SEP]", "[SEP]", "[PAD]", "[PAD]")
    ]
    assert shown(uncased, 0, UNCASED) == [
        *("[CLS]", "an", "##a", "l", "##a", "cas", "##ale", "mare", "[SEP]", "[SEP]")
    ]


def test_tokens_know_their_word_whatever_the_vocabulary() -> None:
    cased, uncased = pack_words(TEXTS, BOTH, block_length=10)

    assert cased.words[0].tolist() == [-1, 0, 1, 2, 2, 3, -1, -1, -1, -1]
    assert uncased.words[0].tolist() == [-1, 0, 0, 1, 1, 2, 2, 3, -1, -1]


def test_all_words_are_there_in_order() -> None:
    cased, uncased = pack_words(TEXTS, BOTH, block_length=10)

    read = [word for row in range(len(cased)) for word in words(cased, row, CASED)]

    expected = [w for text in TEXTS for w in text.lower().replace("-", " - ").split()]
    assert read == expected[: len(read)]
    assert len(expected) - len(read) <= 8  # the last block is not full
    assert read == [word for row in range(len(cased)) for word in words(uncased, row, UNCASED)]


def test_chunks_of_text_leave_no_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = pack_words(TEXTS, BOTH, block_length=10)
    monkeypatch.setattr("training.word_blocks.CHUNK", 7)

    parts = pack_words(TEXTS, BOTH, block_length=10)

    for expected, blocks in zip(whole, parts, strict=True):
        assert (blocks.ids == expected.ids).all()
        assert (blocks.words == expected.words).all()


def test_a_word_that_a_vocabulary_cannot_read_is_no_word_for_either() -> None:
    cased, uncased = pack_words(["la zzz mare"] * 20, BOTH, block_length=16)

    assert shown(cased, 0, CASED)[:4] == ["[CLS]", "la", "[UNK]", "mare"]
    assert cased.words[0, :4].tolist() == [-1, 0, -1, 2]
    assert uncased.words[0, :5].tolist() == [-1, 0, 0, -1, 2]


def test_a_tokenizer_that_pads_adds_nothing() -> None:
    """As the files of sentence models have it."""
    (expected,) = pack_words(TEXTS, [CASED], block_length=10)
    CASED.backend_tokenizer.enable_padding(length=32)

    (found,) = pack_words(TEXTS, [CASED], block_length=10)

    assert (found.ids == expected.ids).all()


def test_a_word_longer_than_a_block_is_left_out() -> None:
    cased, _ = pack_words(["la casa" + "le" * 20 + " mare"] * 20, BOTH, block_length=10)

    assert shown(cased, 0, CASED)[:4] == ["[CLS]", "la", "mare", "[SEP]"]


def test_too_little_text_is_no_block() -> None:
    assert [len(blocks) for blocks in pack_words(["la"], BOTH, block_length=10)] == [0, 0]


def test_masks_cover_the_same_words_under_both_vocabularies() -> None:
    readings = pack_words(TEXTS * 10, BOTH, block_length=10)

    masked = WordMasker(BOTH, share=0.3).mask(readings, np.random.default_rng(0))

    tokens = [
        {
            (row, word, batch.labels[row, column] != NOT_MASKED)
            for row, column in zip(*np.nonzero(blocks.words >= 0), strict=True)
            for word in [int(blocks.words[row, column])]
        }
        for blocks, batch in zip(readings, masked, strict=True)
    ]
    assert tokens[0] == tokens[1]
    words_of_blocks = {(row, word) for row, word, _ in tokens[0]}
    assert len(tokens[0]) == len(words_of_blocks)  # a word is hidden whole or not at all
    assert np.mean([chosen for *_, chosen in tokens[0]]) == pytest.approx(0.3, abs=0.03)


def test_a_chosen_word_has_the_same_fate_under_both_vocabularies() -> None:
    readings = pack_words(TEXTS * 10, BOTH, block_length=10)

    masked = WordMasker(BOTH, share=0.5).mask(readings, np.random.default_rng(0))

    became_masks = [
        {
            (row, int(blocks.words[row, column]))
            for row, column in zip(*np.nonzero(batch.input_ids == 4), strict=True)
        }
        for blocks, batch in zip(readings, masked, strict=True)
    ]
    assert became_masks[0] == became_masks[1]
    chosen = {
        (row, int(readings[0].words[row, column]))
        for row, column in zip(*np.nonzero(masked[0].labels != NOT_MASKED), strict=True)
    }
    assert len(became_masks[0]) / len(chosen) == pytest.approx(0.8, abs=0.05)


def test_special_tokens_and_unread_words_are_never_hidden() -> None:
    readings = pack_words(["la zzz mare"] * 20, BOTH, block_length=10)

    masked = WordMasker(BOTH, share=1.0).mask(readings, np.random.default_rng(0))

    for blocks, batch in zip(readings, masked, strict=True):
        assert ((batch.labels == NOT_MASKED) == (blocks.words < 0)).all()
