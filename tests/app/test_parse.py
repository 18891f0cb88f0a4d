import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from app.tasks.parse import PARSE
from tests.app.harness import Api, assert_problem, serving
from tests.tiny_graphs import EVIDENCE, MARGIN
from tests.tiny_package import MAX_TOKENS, build, write_aliases

pytestmark = pytest.mark.anyio

TEXT = "trezește Ion mâine dimineață la Iași"
TREE = "[IN:CREATE_ALARM [SL:DATE_TIME mâine dimineață ] [SL:LOCATION Iași ] ]"


@pytest.fixture(scope="module")
def parse_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("parse")
    build(folder, task="parse")
    write_aliases(folder, task="parse", default="tiny")
    return folder


@pytest.fixture
async def api(parse_store: Path) -> AsyncIterator[Api]:
    async with serving(parse_store) as running:
        yield running


async def ask(api: Api, inputs: object, **fields: object) -> httpx.Response:
    body = json.dumps({"inputs": inputs} | fields)  # escapes what is not ASCII
    headers = {"Content-Type": "application/json"}
    return await api.http.post("/v1/parse", content=body, headers=headers)


async def test_one_text_gives_intent_slots_and_tree(api: Api) -> None:
    response = await ask(api, TEXT)

    # One word speaks for the intent and none against it; five tags a word.
    intent, slot = (pytest.approx(s, abs=1e-6) for s in (sigmoid(EVIDENCE), of_tags(MARGIN)))
    assert response.json() == {
        "intent": {"label": "IN:CREATE_ALARM", "score": intent},
        "slots": [
            {
                "entity_group": "SL:DATE_TIME",
                "score": slot,
                "word": "mâine dimineață",
                "start": 13,
                "end": 28,
            },
            {"entity_group": "SL:LOCATION", "score": slot, "word": "Iași", "start": 32, "end": 36},
        ],
        "tree": TREE,
    }
    assert response.headers["X-Model"] == "parse/tiny:1"


async def test_list_gives_one_parse_a_text(api: Api) -> None:
    answer = (await ask(api, ["plouă", TEXT])).json()

    assert [one["tree"] for one in answer] == ["[IN:GET_WEATHER ]", TREE]


async def test_words_are_placed_in_the_joined_text(api: Api) -> None:
    words = TEXT.split()

    one = await ask(api, words, parameters={"is_split_into_words": True})
    two = await ask(api, [words, ["plouă"]], parameters={"is_split_into_words": True})

    assert one.json() == (await ask(api, TEXT)).json()
    assert [parse["tree"] for parse in two.json()] == [TREE, "[IN:GET_WEATHER ]"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("😀 plouă 👩‍👩‍👧 la Iaşi", ["Iaşi"]),  # cedilla: another code point than the model's
        ("plouă la Bucures\u0327ti de ma\u0302ine", ["Bucures\u0327ti", "ma\u0302ine"]),
        ("मौसम Iași 天気 mâine\u2003dimineață", ["Iași", "mâine\u2003dimineață"]),
    ],
)
async def test_slots_and_tree_hold_the_callers_own_characters(
    api: Api, text: str, words: list[str]
) -> None:
    answer = (await ask(api, text)).json()

    assert [text[slot["start"] : slot["end"]] for slot in answer["slots"]] == words
    assert [slot["word"] for slot in answer["slots"]] == words
    assert all(f"{word} ]" in answer["tree"] for word in words)


async def test_text_longer_than_a_window_is_refused(api: Api) -> None:
    response = await ask(api, [TEXT, "plouă " * MAX_TOKENS])

    assert_problem(response, 422, "text_too_long", "16 tokens, at most 14", "truncate", index=1)


async def test_truncate_reads_the_first_window_and_says_so(api: Api) -> None:
    text = "plouă " * MAX_TOKENS + "Iași"

    response = await ask(api, [TEXT, text], parameters={"truncate": True})

    assert response.json()[1]["tree"] == "[IN:GET_WEATHER ]"
    assert response.headers["X-Truncated"] == "1"


@pytest.mark.parametrize(
    ("inputs", "fields", "code"),
    [
        ("", {}, "empty_text"),
        ([], {}, "no_inputs"),
        ({"text": "plouă"}, {}, "invalid_request"),
        (["plouă", "\ud800"], {}, "invalid_text"),
        (TEXT, {"parameters": {"stride": 1}}, "unknown_parameter"),
        (TEXT, {"parameters": {"truncate": "no"}}, "invalid_parameter"),
        (TEXT, {"options": {}}, "unknown_field"),
    ],
)
async def test_what_cannot_be_read_is_422(
    api: Api, inputs: object, fields: dict[str, object], code: str
) -> None:
    assert_problem(await ask(api, inputs, **fields), 422, code)


async def test_reply_fits_its_schema(api: Api) -> None:
    for inputs in (TEXT, [TEXT, "plouă"]):
        PARSE.reply.validate_json((await ask(api, inputs)).content)


async def test_open_inference_protocol_gives_the_same_parses(api: Api) -> None:
    texts = [TEXT, "plouă"]
    tensor = {"name": "text", "shape": [2], "datatype": "BYTES", "data": texts}

    reply = await api.http.post("/v2/models/parse/infer", json={"inputs": [tensor]})

    [result] = reply.json()["outputs"]
    assert [json.loads(one) for one in result["data"]] == (await ask(api, texts)).json()


def sigmoid(logit: float) -> float:
    """Of two classes, the one whose logit is larger by this."""
    return float(1 / (1 + np.exp(-logit)))


def of_tags(logit: float) -> float:
    """Of one tag among those of the slots, when the others have 0."""
    return float(np.exp(logit) / (np.exp(logit) + 4))
