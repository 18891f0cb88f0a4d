import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from training.masked_lm import NOT_MASKED, WholeWordMasker, pack_blocks
from training.vocabulary import train_wordpiece

TEXTS = ["casa cea mare este acasă", "căsuța cea mică stă în căsătorie cu casele"] * 40


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_wordpiece(TEXTS, size=60, lowercase=False, max_length=32)


def test_blocks_are_full_and_hold_the_text_in_order(tokenizer: PreTrainedTokenizerFast) -> None:
    blocks = pack_blocks(TEXTS, tokenizer, block_length=16)

    assert (blocks[:, 0] == tokenizer.cls_token_id).all()
    assert (blocks[:, -1] == tokenizer.sep_token_id).all()
    stream = [
        i
        for text in TEXTS
        for i in [
            *tokenizer(text).input_ids[1:],
        ]
    ]
    assert blocks[:, 1:-1].ravel().tolist() == stream[: blocks[:, 1:-1].size]


def test_whole_words_are_chosen_together(tokenizer: PreTrainedTokenizerFast) -> None:
    blocks = pack_blocks(TEXTS, tokenizer, block_length=16)
    tokens = np.array(tokenizer.convert_ids_to_tokens(list(range(len(tokenizer)))))

    batch = WholeWordMasker(tokenizer, share=0.3).mask(blocks, np.random.default_rng(0))

    chosen = batch.labels != NOT_MASKED
    # The first token of a block may continue a word that the block before was cut in.
    later, before = slice(2, None), slice(1, -1)
    continues = np.char.startswith(tokens[blocks[:, later]].astype(str), "##")
    assert (chosen[:, later][continues] == chosen[:, before][continues]).all()
    assert continues.any()


def test_about_the_asked_share_is_chosen_and_specials_never(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    blocks = np.tile(pack_blocks(TEXTS, tokenizer, block_length=16), (20, 1))

    batch = WholeWordMasker(tokenizer, share=0.15).mask(blocks, np.random.default_rng(0))

    special = np.isin(blocks, tokenizer.all_special_ids)
    chosen = batch.labels != NOT_MASKED
    assert not chosen[special].any()
    assert chosen[~special].mean() == pytest.approx(0.15, abs=0.02)
    hidden = batch.input_ids[chosen] == tokenizer.mask_token_id
    assert hidden.mean() == pytest.approx(0.8, abs=0.03)
    assert (batch.input_ids[~chosen] == blocks[~chosen]).all()
    assert (batch.labels[chosen] == blocks[chosen]).all()
