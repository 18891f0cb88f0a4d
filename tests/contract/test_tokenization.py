from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from app.contract.encoded_text import Pair
from app.contract.errors import InputError, PackageError
from app.contract.normalization import normalize
from app.contract.tokenization import SubwordTokenizer

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "Ana", "Maria", "merge", "la", "Iași", "-", "."]
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZășțâî"


def backend() -> Tokenizer:
    tokens = [*VOCABULARY, *LETTERS, *(f"##{letter}" for letter in LETTERS)]
    vocabulary = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    return tokenizer


@pytest.fixture
def tokenizer() -> SubwordTokenizer:
    return SubwordTokenizer(backend(), max_tokens=8, stride=2)


def test_words_are_slices_of_the_original_text(tokenizer: SubwordTokenizer) -> None:
    text = "Ana-Maria merge la Ias\u0327i."  # decomposed cedilla: five letters written with six

    encoded = tokenizer.encode([text])[0]

    surfaces = [text[word.start : word.end] for word in encoded.words]
    assert surfaces == ["Ana", "-", "Maria", "merge", "la", "Ias\u0327i", "."]


def test_given_words_keep_their_number_and_join_with_single_spaces(
    tokenizer: SubwordTokenizer,
) -> None:
    words = ["Ana-Maria", "merge", "\u200b", "la", "Iași."]

    encoded = tokenizer.encode([words])[0]

    assert encoded.text == "Ana-Maria merge \u200b la Iași."
    assert [encoded.text[word.start : word.end] for word in encoded.words] == words
    assert [word.first_token is None for word in encoded.words] == [
        False,
        False,
        True,
        False,
        False,
    ]


def test_words_and_running_text_give_the_same_ids(tokenizer: SubwordTokenizer) -> None:
    words, text = tokenizer.encode(
        [["Ana-Maria", "merge", "la", "Iași."], "Ana-Maria merge la Iași."]
    )

    assert [w.input_ids.tolist() for w in words.windows] == [
        w.input_ids.tolist() for w in text.windows
    ]


def test_a_long_text_is_cut_only_when_truncation_is_asked(tokenizer: SubwordTokenizer) -> None:
    text = " ".join(["merge"] * 20)

    whole, cut = tokenizer.encode([text])[0], tokenizer.encode([text], long="cut")[0]

    assert (len(whole.windows), whole.truncated) == (5, False)
    assert (len(cut.windows), cut.truncated) == (1, True)


def test_a_special_token_in_a_text_is_ordinary_characters(tokenizer: SubwordTokenizer) -> None:
    encoded = tokenizer.encode(["Ana [SEP] Ana"])[0]

    ids = [i for window in encoded.windows for i in window.input_ids.tolist()]
    assert ids.count(VOCABULARY.index("[SEP]")) == len(encoded.windows)


def test_a_short_text_is_not_called_truncated(tokenizer: SubwordTokenizer) -> None:
    assert not tokenizer.encode(["Ana merge"], long="cut")[0].truncated


@given(st.integers(1, 60), st.integers(0, 5))
def test_windows_fit_overlap_by_the_stride_and_cover_every_subword(count: int, stride: int) -> None:
    encoded = SubwordTokenizer(backend(), max_tokens=8, stride=2).encode(
        [["merge"] * count], stride=stride
    )[0]

    windows = encoded.windows
    assert all(len(window.input_ids) <= 8 for window in windows)
    assert windows[0].offset == 0
    assert {t for w in windows for t in range(w.offset, w.offset + w.size)} == set(range(count))
    assert all(a.offset + a.size - b.offset == stride for a, b in pairwise(windows))


@given(st.integers(1, 60), st.integers(0, 5))
def test_the_best_window_holds_its_subword_and_no_other_shows_more_context(
    count: int, stride: int
) -> None:
    encoded = SubwordTokenizer(backend(), max_tokens=8, stride=2).encode(
        [["merge"] * count], stride=stride
    )[0]

    def context(token: int, index: int) -> int:
        window = encoded.windows[index]
        left = token - window.offset if window.offset else count
        after = window.offset + window.size
        right = after - 1 - token if after < count else count
        return min(left, right)

    for token, chosen in enumerate(encoded.best_window):
        holders = [
            i
            for i, window in enumerate(encoded.windows)
            if window.offset <= token < window.offset + window.size
        ]
        assert chosen in holders
        assert context(token, chosen) == max(context(token, i) for i in holders)


@given(st.text(min_size=1))
def test_any_text_encodes_to_ordered_words_or_a_clear_refusal(text: str) -> None:
    if any("\ud800" <= char <= "\udfff" for char in text):
        return  # lone surrogates are refused at the edge: no tokenizer can take them
    tokenizer = SubwordTokenizer(backend(), max_tokens=8, stride=2)
    if not backend().encode(normalize(text).text, add_special_tokens=False).ids:
        with pytest.raises(InputError, match="no readable character"):
            tokenizer.encode([text])
        return

    encoded = tokenizer.encode([text])[0]

    assert all(0 <= word.start < word.end <= len(text) for word in encoded.words)
    assert all(a.end <= b.start for a, b in pairwise(encoded.words))


def test_a_text_of_dropped_characters_is_refused_with_its_index(
    tokenizer: SubwordTokenizer,
) -> None:
    with pytest.raises(InputError) as caught:
        tokenizer.encode(["Ana", "\u200e \u200f"])

    assert (caught.value.code, caught.value.index) == ("empty_text", 1)


@pytest.mark.parametrize("stride", [-1, 6, 100])
def test_a_stride_outside_the_window_is_refused(tokenizer: SubwordTokenizer, stride: int) -> None:
    with pytest.raises(InputError, match=r"stride must be in \[0, 6\)"):
        tokenizer.encode(["Ana"], stride=stride)


def test_a_window_without_room_is_a_package_error() -> None:
    with pytest.raises(PackageError, match="no room"):
        SubwordTokenizer(backend(), max_tokens=8, stride=6)


@pytest.mark.parametrize(("pair", "part"), [(("\u200b", "Ana"), "q"), (("Ana", "\u200b"), "c")])
def test_the_text_of_a_pair_that_has_only_dropped_characters_is_named(
    tokenizer: SubwordTokenizer, pair: tuple[str, str], part: str
) -> None:
    with pytest.raises(InputError, match=f"the {part} has no readable character") as refusal:
        tokenizer.encode([Pair(*pair, names=("q", "c"))])

    assert (refusal.value.code, refusal.value.part) == ("empty_text", part)


def test_a_first_text_must_leave_room_for_the_second_but_no_more_than_it_needs(
    tokenizer: SubwordTokenizer,
) -> None:
    """A window of 8 tokens has 5 for the pair."""
    question = "Ana " * 4

    assert len(tokenizer.encode([Pair(question, "la")])[0].windows) == 1
    with pytest.raises(InputError, match="the q has 4 tokens, at most 3 leave room") as refusal:
        tokenizer.encode([Pair("Ana", "la"), Pair(question, "la Ana", names=("q", "c"))])

    assert (refusal.value.code, refusal.value.index) == ("text_too_long", 1)


@pytest.mark.parametrize("texts", [["la " * 100], ["la " * 50] * 2])
def test_inputs_that_make_too_much_together_are_refused(
    tokenizer: SubwordTokenizer, texts: list[str]
) -> None:
    needed = sum(window.num_tokens for text in tokenizer.encode(texts) for window in text.windows)

    tokenizer.encode(texts, max_total_tokens=needed)
    with pytest.raises(InputError, match="send less") as refusal:
        tokenizer.encode(texts, max_total_tokens=needed - 1)

    assert (refusal.value.code, refusal.value.index) == ("request_too_long", len(texts) - 1)


def test_inputs_that_are_cut_are_bounded_together_too(tokenizer: SubwordTokenizer) -> None:
    texts = ["la " * 100, "Ana " * 100]
    needed = 2 * tokenizer.max_tokens

    tokenizer.encode(texts, long="cut", max_total_tokens=needed)
    with pytest.raises(InputError, match="send less") as refusal:
        tokenizer.encode(texts, long="cut", max_total_tokens=needed - 1)

    assert refusal.value.index == 1
