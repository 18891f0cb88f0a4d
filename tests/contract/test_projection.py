import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.contract.projection import CACHED_CHARS, TERNARY, hash_codes, word_features


def features(word: str, count: int = 64, *, case: bool = False) -> list[int]:
    packed = np.frombuffer(word_features(word, features=count, case=case), np.uint8)
    return TERNARY[packed].ravel().tolist()


@pytest.mark.parametrize(
    ("word", "codes"),
    [
        (
            "hello",
            [0x1E68D17C457BF117, 0x1AEC33D7DD3E8013, 0xADFBDBEE6B76D0F0, 0xECFF177C7FFC23C0],
        ),
        ("<EOS>", [0x47FD321388990C04, 0x935001A210B65E8A]),
    ],
)
def test_codes_are_those_of_the_published_hash(word: str, codes: list[int]) -> None:
    assert hash_codes(word.encode(), len(codes)) == codes


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("hello", [0, 1, 1, 0, 1, 0, 0, 0, 0, -1, 0, 1, 1, 1, 0, 1]),
        ("world", [0, 1, 0, 0, 0, 0, 0, -1, 0, 0, 0, 0, 0, 0, 0, -1]),
    ],
)
def test_features_are_the_published_ones(word: str, expected: list[int]) -> None:
    assert features(word)[:16] == expected


def test_bytes_above_127_are_unsigned() -> None:
    """The published hash extends their sign on some machines, which makes these words equal."""
    packed = b"".join(code.to_bytes(8, "little") for code in hash_codes("București".encode(), 2))

    expected = [0, 0, 1, 1, 1, -1, -1, 0, 1, 0, 1, 0, 0, 0, 1, 0]
    assert TERNARY[np.frombuffer(packed, np.uint8)].ravel()[:16].tolist() == expected
    assert features("éa") != features("éb")


def test_letters_are_lower_cased_one_by_one() -> None:
    assert features("BUCUREȘTI") == features("București") == features("bucurești")
    assert features("ΟΔΟΣ") == features("οδοσ")  # no final sigma


def test_patterns_that_repeat_count_twice_unless_they_are_digits() -> None:
    assert features("soooooo") == features("soo")
    assert features("hahahaha") == features("haha")
    assert features("10000") != features("100")


def test_case_replaces_two_features_and_leaves_the_others() -> None:
    plain = features("NATO")

    for word, capitals, capital in (("NATO", 1, 1), ("Nato", -1, 1), ("nato", -1, -1)):
        found = features(word, case=True)
        assert found[-4:-2] == [capitals, capital]
        assert found[:-4] + found[-2:] == plain[:-4] + plain[-2:]


def test_an_empty_word_has_features_of_its_own() -> None:
    assert features("") == features("<null>")
    assert any(features(""))


def test_half_of_the_features_are_zero_and_the_signs_are_even() -> None:
    found = np.array([features(str(number), 1024) for number in range(200)])

    assert abs((found == 0).mean() - 0.5) < 0.01
    assert abs(found.mean()) < 0.01


@given(st.text(max_size=2 * CACHED_CHARS), st.sampled_from([64, 128, 1024]))
def test_any_word_has_its_features_with_fewer_being_a_beginning_of_more(
    word: str, count: int
) -> None:
    found = features(word, count)

    assert len(found) == count
    assert found[:64] == features(word, 64)
