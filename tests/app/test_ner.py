from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.tasks.ner import NER
from tests.app.harness import Api, serving
from tests.tiny_package import MAX_TOKENS, SCORE, build, write_aliases

pytestmark = pytest.mark.anyio

TEXT = "Maria Ionescu merge la București."
SCORE_TOLERANCE = 1e-6
"""Replies have six decimals."""


@pytest.fixture
async def api(store: Path) -> AsyncIterator[Api]:
    async with serving(store) as running:
        yield running


def entity(group: str, word: str, start: int) -> dict[str, object]:
    score = pytest.approx(SCORE, abs=SCORE_TOLERANCE)
    end = start + len(word)
    return {"entity_group": group, "score": score, "word": word, "start": start, "end": end}


async def test_one_text_gives_one_list_of_entities(api: Api) -> None:
    response = await api.ner(TEXT)

    assert response.json() == [entity("PERSON", "Maria Ionescu", 0), entity("GPE", "București", 23)]


async def test_list_gives_list_of_lists_in_order(api: Api) -> None:
    response = await api.ner(["merge", "la Iași", "Ion și Maria"])

    assert response.json() == [
        [],
        [entity("GPE", "Iași", 3)],
        [entity("PERSON", "Ion", 0), entity("PERSON", "Maria", 7)],
    ]


async def test_list_of_one_text_gives_list_of_one_list(api: Api) -> None:
    assert (await api.ner(["Ion"])).json() == [[entity("PERSON", "Ion", 0)]]


async def test_batch_answers_as_its_texts_do_alone(api: Api) -> None:
    texts = [TEXT, "Ion", "la Iași " * 9, "necunoscut 😀", "Maria și Ion"]

    together = (await api.ner(texts)).json()

    assert together == [(await api.ner(text)).json() for text in texts]


async def test_ten_thousand_inputs_are_refused_and_the_limit_named(api: Api) -> None:
    response = await api.ner(["Ion"] * 10_000)

    assert response.status_code == 422
    assert response.json()["code"] == "too_many_inputs"
    assert "at most 32" in response.json()["detail"]


async def test_words_of_one_input_are_placed_in_the_joined_text(api: Api) -> None:
    response = await api.ner(
        ["Maria", "Ionescu", "merge"], parameters={"is_split_into_words": True}
    )

    assert response.json() == [entity("PERSON", "Maria Ionescu", 0)]


async def test_lists_of_words_are_a_batch(api: Api) -> None:
    response = await api.ner(
        [["la", "Iași"], ["Ion"], ["Nu-i", ""]], parameters={"is_split_into_words": True}
    )

    assert response.json() == [[entity("GPE", "Iași", 3)], [entity("PERSON", "Ion", 0)], []]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("\u2003Iaşi", ["Iaşi"]),  # cedilla: another code point than the model's comma below
        ("la Timis\u0327oara!", ["Timis\u0327oara"]),  # s + combining cedilla is two code points
        ("😀👩‍👩‍👧 Maria 😀 Ion", ["Maria", "Ion"]),  # outside of the first plane
        ("e\u0301e\u0301 Bucures\u0327ti e\u0301 Ion", ["Bucures\u0327ti", "Ion"]),
        ("Maria\r\nIonescu", ["Maria\r\nIonescu"]),
    ],
)
async def test_offsets_are_code_points_of_the_text_as_sent(
    api: Api, text: str, words: list[str]
) -> None:
    answer = (await api.ner(text)).json()

    assert [item["word"] for item in answer] == words
    assert [text[item["start"] : item["end"]] for item in answer] == words


async def test_long_text_is_read_in_windows_with_offsets_of_the_whole(api: Api) -> None:
    """Each window holds 16 tokens, so the names lie in many of them."""
    text = "merge la Iași și " * 40 + "Maria Ionescu"

    answer = (await api.ner(text)).json()

    starts = [17 * n + 9 for n in range(40)]
    assert answer == [
        *(entity("GPE", "Iași", start) for start in starts),
        entity("PERSON", "Maria Ionescu", 680),
    ]


async def test_text_beyond_the_inline_bound_is_answered_alike(api: Api) -> None:
    text = "merge " * 1000 + "Ion"

    assert (await api.ner(text)).json() == [entity("PERSON", "Ion", 6000)]


async def test_truncate_reads_the_first_window_and_names_the_cut_inputs(api: Api) -> None:
    long = "merge " * MAX_TOKENS + "Ion"

    response = await api.ner(["Ion", long, "Maria", long], parameters={"truncate": True})

    assert [len(answer) for answer in response.json()] == [1, 0, 1, 0]
    assert response.headers["X-Truncated"] == "1,3"
    assert await api.total("loyal_truncated_texts_total") == 2


async def test_stride_changes_the_windows_not_the_answer(api: Api) -> None:
    text = "merge la Iași și " * 10

    wide = await api.ner(text, parameters={"stride": 7})
    none = await api.ner(text, parameters={"stride": 0})

    assert wide.json() == none.json()
    assert len(wide.json()) == 10


@pytest.mark.parametrize("strategy", ["simple", "first", "average", "max"])
async def test_aggregating_strategies_do_not_differ(api: Api, strategy: str) -> None:
    response = await api.ner(TEXT, parameters={"aggregation_strategy": strategy})

    assert response.json() == (await api.ner(TEXT)).json()


async def test_no_aggregation_gives_one_item_a_labelled_word(api: Api) -> None:
    response = await api.ner(TEXT, parameters={"aggregation_strategy": "none"})

    score = pytest.approx(SCORE, abs=SCORE_TOLERANCE)
    assert response.json() == [
        {"entity": tag, "score": score, "index": index, "word": word, "start": start, "end": end}
        for tag, index, word, start, end in [
            ("B-PERSON", 1, "Maria", 0, 5),
            ("I-PERSON", 2, "Ionescu", 6, 13),
            ("B-GPE", 5, "București", 23, 32),
        ]
    ]


async def test_no_aggregation_with_nothing_ignored_gives_every_word(api: Api) -> None:
    parameters = {"aggregation_strategy": "none", "ignore_labels": []}

    answer = (await api.ner("Ion merge.", parameters=parameters)).json()

    assert [(item["word"], item["entity"]) for item in answer] == [
        ("Ion", "B-PERSON"),
        ("merge", "O"),
        (".", "O"),
    ]


@pytest.mark.parametrize(
    ("strategy", "ignored", "left"),
    [
        ("simple", ["PERSON"], ["București"]),
        ("simple", [], ["Maria Ionescu", "București"]),
        ("none", ["O", "B-PERSON"], ["Ionescu", "București"]),
        ("none", ["O", "PERSON"], ["București"]),
    ],
)
async def test_ignored_labels_are_left_out(
    api: Api, strategy: str, ignored: list[str], left: list[str]
) -> None:
    parameters = {"aggregation_strategy": strategy, "ignore_labels": ignored}

    answer = (await api.ner(TEXT, parameters=parameters)).json()

    assert [item["word"] for item in answer] == left


async def test_headers_tell_who_answered_and_how_long_each_step_took(api: Api) -> None:
    response = await api.ner(TEXT)

    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["X-Model"] == "ner/tiny:1"
    assert "X-Truncated" not in response.headers
    steps = ["Tokenization", "Queue", "Inference"]
    times = [float(response.headers[f"X-{step}-Time"]) for step in steps]
    assert min(times) >= 0
    assert sum(times) <= float(response.headers["X-Total-Time"]) + 0.1


async def test_sane_request_id_is_echoed(api: Api) -> None:
    response = await api.ner("Ion", headers={"X-Request-Id": "order-66/a"})

    assert response.headers["X-Request-Id"] == "order-66/a"


@pytest.mark.parametrize("sent", ["", "a b", "é", "a" * 129, "\t"])
async def test_other_request_id_is_replaced(api: Api, sent: str) -> None:
    headers = [(b"X-Request-Id", sent.encode("latin-1"))]
    response = await api.http.post("/v1/ner", json={"inputs": "Ion"}, headers=headers)

    assert len(response.headers["X-Request-Id"]) == 32


@pytest.mark.parametrize(
    ("name", "answered"),
    [
        (None, "ner/tiny:1"),
        ("default", "ner/tiny:1"),
        ("tiny", "ner/tiny:1"),
        ("teacher", "ner/big:2"),
        ("big", "ner/big:10"),
        ("big:2", "ner/big:2"),
    ],
)
async def test_model_is_found_by_name_version_or_alias(
    store: Path, name: str | None, answered: str
) -> None:
    """The newest version is the highest number, not the last name."""
    build(store, model="big", version=2)
    build(store, model="big", version=10)
    write_aliases(store, default="tiny", teacher="big:2")

    async with serving(store) as api:
        response = await api.ner("Ion", model=name)

    assert response.headers["X-Model"] == answered


async def test_reply_fits_its_schema(api: Api) -> None:
    for inputs in (TEXT, [TEXT, "merge"]):
        for strategy in ("simple", "none"):
            response = await api.ner(inputs, parameters={"aggregation_strategy": strategy})
            NER.reply.validate_json(response.content)
