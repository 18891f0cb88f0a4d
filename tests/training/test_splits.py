from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from training.datasets.splits import apart, carve, shuffle


@dataclass(frozen=True)
class Line:
    text: str


def identity(text: str) -> str:
    return text


@given(st.lists(st.text(max_size=8), max_size=60))
def test_carved_parts_share_no_text_and_lose_none(texts: list[str]) -> None:
    train, dev = (carve(texts, split, identity) for split in ("train", "dev"))

    assert sorted(train + dev) == sorted(texts)
    assert not set(train) & set(dev)


@given(st.permutations([f"recenzia {i}" for i in range(40)]))
def test_carving_depends_on_the_texts_not_on_their_order(texts: list[str]) -> None:
    assert carve(texts, "dev", identity) == carve(sorted(texts), "dev", identity)


def test_a_tenth_is_carved() -> None:
    assert 80 < len(carve([f"recenzia {i}" for i in range(1000)], "dev", identity)) < 120


def test_texts_that_differ_in_spelling_alone_stay_together() -> None:
    twins = [(f"Ştiu, da: {i}", f"știu da {i}") for i in range(100)]
    dev = set(carve([text for pair in twins for text in pair], "dev", identity))

    assert dev
    assert all((one in dev) == (other in dev) for one, other in twins)


def test_texts_without_letters_are_told_apart() -> None:
    marks = [":" * n + ")" for n in range(1, 200)]

    assert 0 < len(carve(marks, "dev", identity)) < 60


def test_shuffling_mixes_a_sorted_file_the_same_way_every_time() -> None:
    texts = [f"{label} {i}" for label in ("neg", "pos") for i in range(100)]

    mixed = shuffle(texts, identity)

    assert mixed == shuffle(reversed(texts), identity)
    assert 30 < sum(text.startswith("neg") for text in mixed[:100]) < 70


def test_apart_drops_exact_and_near_repetitions_only() -> None:
    long = "unu doi trei patru cinci șase șapte opt nouă zece unsprezece doisprezece"
    dev = [Line(long), Line("scurt și bun")]
    train = [
        Line(long.upper() + "!"),
        Line("treisprezece " + long.replace("unu", "una")),
        Line("unu doi trei patru cinci și apoi cu totul altceva decât acolo"),
        Line("Scurt, și bun."),
        Line("scurt și bun și încă ceva"),
    ]

    assert apart(train, dev) == [train[2], train[4]]
