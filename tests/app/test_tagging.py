from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.contract.heads import TagHead
from app.contract.pipeline import Package
from app.sessions import OnnxSession
from app.tasks.tagging import TAGGING, TaggingParameters
from tests.app.harness import Api, serving
from tests.tiny_graphs import HEADS, MARGIN
from tests.tiny_package import MAX_TOKENS, build, write_aliases

pytestmark = pytest.mark.anyio

HEAD = HEADS["tagging"]
assert isinstance(HEAD, TagHead)
SCORE = float(np.exp(MARGIN) / (np.exp(MARGIN) + len(HEAD.labels) - 1))
SPLIT = {"is_split_into_words": True}


@pytest.fixture
async def api(only: Callable[..., Path]) -> AsyncIterator[Api]:
    async with serving(only("tagging")) as running:
        yield running


def tagged(upos: str, xpos: str | None, word: str, start: int) -> dict[str, object]:
    score = pytest.approx(SCORE, abs=1e-6)  # replies have six decimals
    end = start + len(word)
    return {
        "entity_group": upos, "xpos": xpos, "score": score, "word": word, "start": start, "end": end
    }  # fmt: skip


async def test_one_text_gives_one_item_a_word(api: Api) -> None:
    response = await api.ask("tagging", "Maria merge la Iași.")

    assert response.headers["X-Model"] == "tagging/tiny:1"
    assert response.json() == [
        tagged("PROPN", "Np", "Maria", 0),
        tagged("VERB", "Vmip3s", "merge", 6),
        tagged("ADP", "Spsa", "la", 12),
        tagged("PROPN", "Np", "Iași", 15),
        tagged("PUNCT", "PERIOD", ".", 19),
    ]


async def test_list_gives_list_of_lists_in_order(api: Api) -> None:
    response = await api.ask("tagging", ["merge", "Ion"])

    assert response.json() == [
        [tagged("VERB", "Vmip3s", "merge", 0)],
        [tagged("PROPN", "Np", "Ion", 0)],
    ]


async def test_model_without_a_second_tag_set_answers_null(tmp_path: Path) -> None:
    build(tmp_path, task="tagging", head=TagHead(labels=HEAD.labels))
    write_aliases(tmp_path, task="tagging", default="tiny")

    async with serving(tmp_path) as api:
        response = await api.ask("tagging", "merge")

    assert response.json() == [tagged("VERB", None, "merge", 0)]


@pytest.mark.parametrize(
    "words",
    [
        ["Maria", "merge", "la", "Iași", "."],
        ["C.S.U.", "Maria-Ion", "la Iași"],
        ["", "Maria", "", "\u200b", " ", "merge"],
        ["Timis\u0327oara", "👩‍👩‍👧", "e\u0301"],
        ["merge"] * 50,
    ],
    ids=["plain", "punctuation inside", "empty", "combining", "longer than a window"],
)
async def test_words_of_the_caller_get_exactly_one_item_each(api: Api, words: list[str]) -> None:
    answer = (await api.ask("tagging", words, parameters=SPLIT)).json()

    text = " ".join(words)
    assert [item["word"] for item in answer] == words
    assert [text[item["start"] : item["end"]] for item in answer] == words


async def test_lists_of_words_are_a_batch(api: Api) -> None:
    answer = (await api.ask("tagging", [["la", "Iași"], ["Ion"]], parameters=SPLIT)).json()

    assert [[item["entity_group"] for item in words] for words in answer] == [
        ["ADP", "PROPN"],
        ["PROPN"],
    ]


async def test_long_text_is_read_in_windows_with_offsets_of_the_whole(api: Api) -> None:
    answer = (await api.ask("tagging", "merge la " * 40 + "Ion")).json()

    assert len(answer) == 81
    assert [item["entity_group"] for item in answer] == ["VERB", "ADP"] * 40 + ["PROPN"]
    assert answer[-1] == tagged("PROPN", "Np", "Ion", 360)


async def test_truncate_leaves_unread_words_without_a_tag(api: Api) -> None:
    """Beside two special tokens a window has 14 words."""
    inputs = ["Ion", "Ion " * MAX_TOKENS]

    response = await api.ask("tagging", inputs, parameters={"truncate": True})

    long = response.json()[1]
    assert response.headers["X-Truncated"] == "1"
    assert [item["entity_group"] for item in long] == ["PROPN"] * 14 + ["X"] * 2
    assert [item["score"] for item in long[14:]] == [0.0, 0.0]


@pytest.mark.parametrize("stride", [0, 7])
async def test_stride_changes_the_windows_not_the_answer(api: Api, stride: int) -> None:
    text = "merge la Iași și " * 10

    answer = await api.ask("tagging", text, parameters={"stride": stride})

    assert answer.json() == (await api.ask("tagging", text)).json()


@pytest.mark.parametrize("strategy", ["none", "simple", "first", "average", "max"])
async def test_aggregation_changes_nothing(api: Api, strategy: str) -> None:
    parameters = {"aggregation_strategy": strategy}

    answer = await api.ask("tagging", "Maria Ionescu", parameters=parameters)

    assert answer.json() == (await api.ask("tagging", "Maria Ionescu")).json()
    assert len(answer.json()) == 2


async def test_ignored_parts_of_speech_are_left_out(api: Api) -> None:
    parameters = {"ignore_labels": ["PUNCT", "ADP"]}

    answer = (await api.ask("tagging", "merge la Iași.", parameters=parameters)).json()

    assert [item["word"] for item in answer] == ["merge", "Iași"]


@pytest.fixture(scope="module")
def package(tasks_store: Path) -> Package:
    return Package.load(tasks_store / "tagging/tiny/1")


WORD = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)


@given(words=st.lists(WORD, min_size=1, max_size=40))
def test_any_words_get_one_item_each_at_their_place(package: Package, words: list[str]) -> None:
    session = OnnxSession(package.model_path, provider="cpu")
    decode = TAGGING.decoder(package.manifest, TaggingParameters())
    words = [*words, "Ion"]  # something to read
    encoded = package.encoder.encode([words])[0]

    items = decode(encoded, package.run_windows(encoded.windows, session))

    assert isinstance(items, list)
    assert [item["word"] for item in items] == words
    assert items[-1]["entity_group"] == "PROPN"
