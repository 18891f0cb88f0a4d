import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from app.inputs import MAX_FIELDS
from app.tasks.qa import QA
from tests.app.harness import Api, assert_problem, serving
from tests.tiny_package import MAX_TOKENS, build, write_aliases

pytestmark = pytest.mark.anyio

WHO, WHERE = "Cine merge?", "Unde merge?"
CONTEXT = "Maria Ionescu merge la București."
ROOM = MAX_TOKENS - 6
"""Tokens of the context in a window: three are special, and three are the question's."""


@pytest.fixture(scope="module")
def qa_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("qa")
    build(folder, task="qa")
    write_aliases(folder, task="qa", default="tiny")
    return folder


@pytest.fixture
async def api(qa_store: Path) -> AsyncIterator[Api]:
    async with serving(qa_store) as running:
        yield running


async def ask(api: Api, inputs: object, **fields: object) -> httpx.Response:
    body = json.dumps({"inputs": inputs} | fields)  # escapes what is not ASCII
    headers = {"Content-Type": "application/json"}
    return await api.http.post("/v1/qa", content=body, headers=headers)


def about(question: str, context: str = CONTEXT) -> dict[str, str]:
    return {"question": question, "context": context}


async def test_one_question_gives_one_answer(api: Api) -> None:
    response = await ask(api, about(WHO))

    assert response.json() == {
        "answer": "Maria Ionescu",
        "score": pytest.approx(0.98, abs=0.02),
        "start": 0,
        "end": 13,
    }
    assert response.headers["X-Model"] == "qa/tiny:1"


async def test_list_gives_one_answer_a_question(api: Api) -> None:
    inputs = [about(WHERE), about(WHO), about(WHO, "Ion")]

    together = (await ask(api, inputs)).json()

    assert [one["answer"] for one in together] == ["București", "Maria Ionescu", "Ion"]
    assert together == [(await ask(api, one)).json() for one in inputs]


async def test_list_of_one_question_gives_a_list(api: Api) -> None:
    assert [one["answer"] for one in (await ask(api, [about(WHO)])).json()] == ["Maria Ionescu"]


async def test_best_answers_are_distinct_and_sorted(api: Api) -> None:
    context = "Maria Ionescu merge la Iași și Ion merge la București. " * 3

    answers = (await ask(api, about(WHO, context), parameters={"top_k": 20})).json()

    places = [(answer["start"], answer["end"]) for answer in answers]
    scores = [answer["score"] for answer in answers]
    assert len(set(places)) == len(places) == 20
    assert scores == sorted(scores, reverse=True)
    assert {context[start:end].split()[0] for start, end in places[:3]} == {"Maria", "Ion"}
    assert [answer["answer"] for answer in answers] == [context[s:e] for s, e in places]


async def test_several_answers_are_a_list_even_where_there_is_one(api: Api) -> None:
    one = await ask(api, about(WHO, "Ion"), parameters={"top_k": 3})
    several = await ask(api, [about(WHO, "Ion")] * 2, parameters={"top_k": 3})

    assert [answer["answer"] for answer in one.json()] == ["Ion"]
    assert several.json() == [one.json()] * 2


@pytest.mark.parametrize("before", range(2 * ROOM))
async def test_answer_is_found_wherever_windows_begin_and_end(api: Api, before: int) -> None:
    """The answer is two tokens, and windows share four."""
    context = "merge " * before + "Maria Ionescu" + " merge" * ROOM

    answer = (await ask(api, about(WHO, context))).json()

    start = 6 * before
    assert (answer["answer"], answer["start"], answer["end"]) == (
        "Maria Ionescu", start, start + 13,
    )  # fmt: skip


async def test_context_of_a_hundred_thousand_characters_is_answered(api: Api) -> None:
    """Thousands of windows, many times what the queue may hold, with every limit as it is set."""
    context = "merge " * 16_664 + "Maria Ionescu..."

    answer = (await ask(api, about(WHO, context))).json()
    longer = await ask(api, about(WHO, context + "."))

    assert len(context) == 100_000
    assert (answer["answer"], answer["start"]) == ("Maria Ionescu", 99_984)
    assert_problem(longer, 422, "text_too_long", "at most 100000")


async def test_long_question_that_makes_too_many_windows_is_refused_before_they_are_made(
    api: Api,
) -> None:
    """Each window has room for two tokens of the context, and shares one."""
    question = "Cine " + "merge " * (MAX_TOKENS - 3 - 2 - 1)

    response = await ask(api, about(question, "merge " * 16_666))

    assert_problem(response, 422, "request_too_long", "16665 windows", index=0)


async def test_question_without_answer_has_one_unless_it_may_have_none(api: Api) -> None:
    must = (await ask(api, about(WHERE, "Ion merge"))).json()
    may = (
        await ask(api, about(WHERE, "Ion merge"), parameters={"handle_impossible_answer": True})
    ).json()

    assert must["answer"] in "Ion merge"
    assert must["answer"]
    assert may == {"answer": "", "score": may["score"], "start": 0, "end": 0}
    assert may["score"] > must["score"]


async def test_answer_wins_over_none_if_one_window_of_many_has_it(api: Api) -> None:
    context = "merge " * 5 * ROOM + "Iași" + " merge" * 5 * ROOM

    answer = (
        await ask(api, about(WHERE, context), parameters={"handle_impossible_answer": True})
    ).json()

    assert (answer["answer"], answer["start"]) == ("Iași", 6 * 5 * ROOM)


async def test_no_answer_is_one_of_the_best(api: Api) -> None:
    parameters = {"handle_impossible_answer": True, "top_k": 2}

    answers = (await ask(api, about(WHO, "Ion"), parameters=parameters)).json()

    assert [answer["answer"] for answer in answers] == ["Ion", ""]


async def test_longest_answer_can_be_bounded(api: Api) -> None:
    answers = (await ask(api, about(WHO), parameters={"max_answer_len": 1, "top_k": 10})).json()

    assert max(len(answer["answer"].split()) for answer in answers) == 1


@pytest.mark.parametrize(
    ("context", "answer"),
    [
        ("😀👩‍👩‍👧 merge la Iaşi 😀", "Iaşi"),  # cedilla: another code point than the model's
        ("e\u0301e\u0301 la Bucures\u0327ti", "Bucures\u0327ti"),  # not composed
        ("Мария merge la Timișoara", "Timișoara"),
        ("वह 日本 \u200f안녕 Iași\r\n", "Iași"),
        ("\ufeff\u2003Iași\u00a0merge", "Iași"),
    ],
)
async def test_offsets_are_code_points_of_the_context_as_sent(
    api: Api, context: str, answer: str
) -> None:
    found = (await ask(api, about(WHERE, context))).json()

    assert found["answer"] == answer
    assert context[found["start"] : found["end"]] == answer


@pytest.mark.parametrize(
    "parameters",
    [
        {"max_seq_len": 384},
        {"max_question_len": 1},
        {"doc_stride": 0},
        {"doc_stride": 7},
        {"align_to_words": False},
        {"top_k": 1, "handle_impossible_answer": False, "max_answer_len": 15},
    ],
)
async def test_parameters_of_the_pipeline_are_taken(
    api: Api, parameters: dict[str, object]
) -> None:
    inputs = about(WHO, "merge " * 20 + "Ion")

    response = await ask(api, inputs, parameters=parameters)

    found = response.json()
    assert (found["answer"], found["start"], found["end"]) == ("Ion", 120, 123)


async def test_question_that_leaves_no_room_is_refused_and_named(api: Api) -> None:
    longest = "Cine " + "merge " * (MAX_TOKENS - 3 - 2 - 1)

    fits = await ask(api, about(longest, CONTEXT))
    response = await ask(api, [about(WHO), about(longest + "Ion")])

    assert fits.json()["answer"] == "Maria Ionescu"
    assert_problem(response, 422, "text_too_long", "question has 12 tokens, at most 11", index=1)
    assert response.json()["errors"][0]["field"] == "inputs.question"


@pytest.mark.parametrize(
    ("inputs", "code", "field"),
    [
        (about("", CONTEXT), "empty_text", "inputs.question"),
        (about(WHO, " \n\u00a0"), "empty_text", "inputs.context"),
        (about("q" * 21, CONTEXT), "text_too_long", "inputs.question"),
        (about(WHO, "c" * 41), "text_too_long", "inputs.context"),
        (about("Cine\0", CONTEXT), "invalid_text", "inputs.question"),
        (about(WHO, "\udfff"), "invalid_text", "inputs.context"),
        ({"question": WHO}, "invalid_request", "inputs.context"),
        ({"question": WHO, "context": None}, "invalid_request", "inputs.context"),
        ({"question": [WHO], "context": CONTEXT}, "invalid_request", "inputs.question"),
        (about(WHO) | {"title": "x"}, "unknown_field", "inputs"),
        ([about(WHO), WHO], "invalid_request", "inputs"),
        (WHO, "invalid_request", "inputs"),
        (None, "invalid_request", "inputs"),
        ([], "no_inputs", "inputs"),
        ([about(WHO)] * 4, "too_many_inputs", "inputs"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_input_that_cannot_be_read_is_422_with_its_field(
    qa_store: Path, inputs: object, code: str, field: str
) -> None:
    limits = {"max_chars_per_text": 20, "max_chars_per_context": 40, "max_texts_per_request": 3}
    async with serving(qa_store, **limits) as api:
        response = await ask(api, inputs)

    assert_problem(response, 422, code)
    assert response.json()["errors"][0]["field"] == field


async def test_every_wrong_field_is_reported(api: Api) -> None:
    errors = (await ask(api, [about("", ""), about(WHO), {"context": 1}])).json()["errors"]

    assert [(error["index"], error["field"]) for error in errors] == [
        (0, "inputs.question"),
        (0, "inputs.context"),
        (2, "inputs.question"),
    ]


async def test_reply_to_many_wrong_fields_is_bounded(api: Api) -> None:
    response = await ask(api, [about(WHO) | {f"field {n}": 0 for n in range(10_000)}])

    assert_problem(response, 422, "unknown_field")
    assert len(response.json()["errors"]) == MAX_FIELDS


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"top_k": 0}, "invalid_parameter"),
        ({"top_k": 101}, "invalid_parameter"),
        ({"top_k": True}, "invalid_parameter"),
        ({"doc_stride": 8}, "invalid_parameter"),
        ({"max_answer_len": 0}, "invalid_parameter"),
        ({"handle_impossible_answer": "yes"}, "invalid_parameter"),
        ({"truncate": True}, "unknown_parameter"),
        ({"stride": 1}, "unknown_parameter"),
    ],
)
async def test_wrong_parameter_is_422(api: Api, parameters: dict[str, object], code: str) -> None:
    assert_problem(await ask(api, about(WHO), parameters=parameters), 422, code)


async def test_reply_fits_its_schema(api: Api) -> None:
    for inputs in (about(WHO), [about(WHO), about(WHERE)]):
        for top_k in (1, 3):
            response = await ask(api, inputs, parameters={"top_k": top_k})
            QA.reply.validate_json(response.content)


async def test_open_inference_protocol_gives_the_same_answers(api: Api) -> None:
    inputs = [about(WHO), about(WHERE, "la Iași")]
    tensors = [
        {"name": name, "shape": [2, 1], "datatype": "BYTES", "data": [one[name] for one in inputs]}
        for name in ("question", "context")
    ]

    reply = await api.http.post(
        "/v2/models/qa/infer", json={"inputs": tensors, "parameters": {"top_k": 2}}
    )

    [result] = reply.json()["outputs"]
    assert [json.loads(one) for one in result["data"]] == (
        await ask(api, inputs, parameters={"top_k": 2})
    ).json()
