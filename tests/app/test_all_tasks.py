"""What is true of every task: errors, batches, order, metrics, documents."""

import asyncio
import json
import unicodedata
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.contract.manifest import TASKS as KNOWN
from app.playground import page
from app.tasks import TASKS
from loadtests.inputs import inputs_of
from loadtests.replies import fault
from tests.app.harness import Api, assert_problem, serving
from tests.app.task_inputs import TEXTS, close_to, given
from tests.tiny_graphs import CRASH, INFINITE

pytestmark = pytest.mark.anyio

MAX_TEXTS = 4
MAX_CHARS = 100
MAX_BYTES = 2048


@pytest.fixture(params=TASKS)
def task(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def api(task: str, only: Callable[..., Path]) -> AsyncIterator[Api]:
    async with serving(only(task), threads=2) as running:
        yield running


@pytest.fixture
async def strict(task: str, only: Callable[..., Path]) -> AsyncIterator[Api]:
    limits = {"max_texts_per_request": MAX_TEXTS, "max_body_bytes": MAX_BYTES}
    chars = {"max_chars_per_text": MAX_CHARS, "max_chars_per_context": MAX_CHARS}
    async with serving(only(task), **limits, **chars) as running:
        yield running


def objects(value: object) -> Iterator[dict[str, Any]]:
    """Every object of a JSON value, in order."""
    if isinstance(value, dict):
        yield value
    for part in value.values() if isinstance(value, dict) else value:  # type: ignore[attr-defined]
        if isinstance(part, dict | list):
            yield from objects(part)


FAULTY_TEXTS: dict[str, tuple[object, str]] = {
    "empty": ("", "empty_text"),
    "white space": (" \n\t\u00a0", "empty_text"),
    "NUL": ("I\0on", "invalid_text"),
    "lone surrogate": ("I\ud800on", "invalid_text"),
    "too many characters": ("a" * (MAX_CHARS + 1), "text_too_long"),
    "a number": (3, "invalid_request"),
    "null": (None, "invalid_request"),
    "a list": (["Ion"], "invalid_request"),
    "an object": ({"a": "Ion"}, "invalid_request"),
}


@pytest.mark.parametrize(("text", "code"), FAULTY_TEXTS.values(), ids=FAULTY_TEXTS)
async def test_faulty_text_is_422_with_its_index(
    strict: Api, task: str, text: object, code: str
) -> None:
    response = await strict.ask(task, [given(task, "Maria"), given(task, text)])

    assert_problem(response, 422, code, index=1)


@pytest.mark.parametrize("inputs", [None, 5, True], ids=str)
async def test_inputs_of_another_type_are_422(strict: Api, task: str, inputs: object) -> None:
    assert_problem(await strict.ask(task, inputs), 422, "invalid_request", "inputs must be")


@pytest.mark.parametrize(
    ("fields", "status", "code", "mentioned"),
    [
        ({"options": {}}, 422, "unknown_field", "'options'"),
        ({"parameters": {"temperature": 1}}, 422, "unknown_parameter", "'temperature'"),
        ({"parameters": []}, 422, "invalid_request", "parameters"),
        ({"model": 5}, 422, "invalid_request", "model"),
        ({"model": "nobody"}, 404, "unknown_model", "known are default, teacher, tiny"),
        ({"model": "tiny:9"}, 404, "unknown_version", "known are 1"),
        ({"inputs": []}, 422, "no_inputs", "empty"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_faulty_field_is_named(
    strict: Api, task: str, fields: dict[str, object], status: int, code: str, mentioned: str
) -> None:
    body = {"inputs": given(task, "Ion")} | fields

    response = await strict.http.post(f"/v1/{task}", json=body)

    assert_problem(response, status, code, mentioned)


async def test_parameter_of_the_wrong_type_is_422_and_named(strict: Api, task: str) -> None:
    for name in TASKS[task].parameters.model_fields:
        response = await strict.ask(task, given(task, "Ion"), parameters={name: {"a": 1}})

        assert_problem(response, 422, "invalid_parameter", name)


async def test_more_inputs_than_allowed_are_422(strict: Api, task: str) -> None:
    response = await strict.ask(task, [given(task, "Ion")] * (MAX_TEXTS + 1))

    assert_problem(response, 422, "too_many_inputs", f"at most {MAX_TEXTS}")


async def test_text_longer_than_a_window_is_refused_where_it_is_not_read_in_windows(
    api: Api, task: str
) -> None:
    """Tasks with windows, and questions, read everything; the others refuse to leave out words."""
    has_windows = task in ("tagging", "ner", "qa")
    parameters = {"truncate": False} if "truncate" in TASKS[task].parameters.model_fields else {}
    inputs = [given(task, "Ion"), given(task, "la " * 50)]

    response = await api.ask(task, inputs, parameters=parameters)

    if has_windows:
        assert (response.status_code, len(response.json())) == (200, 2)
    else:
        assert_problem(response, 422, "text_too_long", "at most", index=1)


async def test_faulty_body_or_media_type_is_refused(strict: Api, task: str) -> None:
    async def post(content: bytes, media_type: str = "application/json") -> httpx.Response:
        headers = {"Content-Type": media_type}
        return await strict.http.post(f"/v1/{task}", content=content, headers=headers)

    sound = json.dumps({"inputs": given(task, "Ion")}).encode()
    assert_problem(await post(b'{"inputs": '), 400, "invalid_json")
    assert_problem(await post(sound, "text/plain"), 415, "unsupported_media_type")
    assert_problem(await post(sound + b" " * MAX_BYTES), 413, "body_too_large", str(MAX_BYTES))
    assert_problem(await strict.http.get(f"/v1/{task}"), 405, "method_not_allowed")
    assert (await post(sound)).status_code == 200


@pytest.mark.parametrize("poison", [CRASH, INFINITE])
async def test_input_that_breaks_the_model_is_500_and_named(
    api: Api, task: str, poison: str
) -> None:
    response = await api.ask(task, [given(task, "Ion"), given(task, f"Ion {poison}")])

    assert_problem(response, 500, "inference_failed", index=1)


@pytest.mark.parametrize("unserved", [*KNOWN, "translation"])
async def test_task_without_models_is_404_with_the_known_names(
    only: Callable[..., Path], unserved: str
) -> None:
    served = "sts" if unserved == "ner" else "ner"

    async with serving(only(served)) as api:
        response = await api.ask(unserved, "Ion")

        assert_problem(response, 404, "unknown_task", f"known are {served}")


async def test_batch_answers_as_its_inputs_do_alone(api: Api, task: str) -> None:
    inputs = [given(task, text) for text in TEXTS]

    together = (await api.ask(task, inputs)).json()

    alone = [(await api.ask(task, [one])).json()[0] for one in inputs]
    assert together == close_to(alone)
    assert len({json.dumps(answer) for answer in together}) > 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("😀 Maria 👩‍👩‍👧 la Iași", ["Maria", "Iași"]),
        ("e\u0301e\u0301 Maria e\u0301 Bucures\u0327ti", ["Maria", "Bucures\u0327ti"]),
        ("Maria la Bucures\u0327ti\u2003și Iaşi", ["Maria", "Bucures\u0327ti", "Iaşi"]),
        (unicodedata.normalize("NFD", "puțin: Maria la Iași"), ["Maria", "Ias\u0326i"]),
    ],
    ids=["emoji", "combining", "cedilla", "NFD"],
)
async def test_offsets_are_code_points_of_the_text_as_sent(
    api: Api, task: str, text: str, words: list[str]
) -> None:
    answer = (await api.ask(task, given(task, text))).json()

    placed = [item for item in objects(answer) if "start" in item]
    shown = [item.get("word", item.get("answer")) for item in placed]
    known = {"tagging": words, "ner": words, "parse": words[1:], "qa": words[:1]}
    assert [text[item["start"] : item["end"]] for item in placed] == shown
    assert [word for word in shown if word in words] == known.get(task, [])


async def test_each_of_many_concurrent_requests_gets_its_own_answers_in_order(
    api: Api, task: str
) -> None:
    inputs = [given(task, text) for text in TEXTS]
    alone = [(await api.ask(task, [one])).json()[0] for one in inputs]
    orders = [[(shift + step) % len(inputs) for step in range(4)] for shift in range(24)]

    responses = await asyncio.gather(
        *(api.ask(task, [inputs[at] for at in order]) for order in orders)
    )

    assert [r.json() for r in responses] == close_to([[alone[at] for at in o] for o in orders])


async def test_teacher_answers_when_named(api: Api, task: str) -> None:
    response = await api.ask(task, given(task, "Ion"), model="teacher")

    assert response.headers["X-Model"] == f"{task}/tiny-teacher:1"


async def test_requests_are_counted_by_task_model_and_code(api: Api, task: str) -> None:
    await api.ask(task, given(task, "Ion"))
    await api.ask(task, given(task, "Ion"), model="teacher")
    await api.ask(task, given(task, ""))

    name = "loyal_requests_total"
    assert await api.total(name, task=task, model="tiny", code="200") == 1
    assert await api.total(name, task=task, model="tiny-teacher", code="200") == 1
    assert await api.total(name, task=task, code="422") == 1
    assert await api.total("loyal_batch_items_count", task=task) == 2


async def test_documented_examples_are_taken_and_fit_their_schemas(api: Api, task: str) -> None:
    document = (await api.http.get("/openapi.json")).json()
    operation = document["paths"][f"/v1/{task}"]["post"]
    bodies = operation["requestBody"]["content"]["application/json"]["examples"]
    replies = operation["responses"]["200"]["content"]["application/json"]["examples"]

    assert bodies.keys() == replies.keys()
    for name, body in bodies.items():
        response = await api.http.post(f"/v1/{task}", json=body["value"])
        assert response.status_code == 200, response.text
        TASKS[task].reply.validate_json(response.content)
        TASKS[task].reply.validate_json(json.dumps(replies[name]["value"]))
        assert type(response.json()) is type(replies[name]["value"])


async def test_tensors_say_what_v1_says(api: Api, task: str) -> None:
    inputs = [given(task, text) for text in TEXTS]
    rows = [one if isinstance(one, dict) else {"text": one} for one in inputs]
    tensors = [
        {"name": name, "shape": [len(rows)], "datatype": "BYTES", "data": [r[name] for r in rows]}
        for name in rows[0]
    ]

    reply = (await api.http.post(f"/v2/models/{task}/infer", json={"inputs": tensors})).json()

    expected = (await api.ask(task, inputs)).json()
    outputs = {output["name"]: output["data"] for output in reply["outputs"]}
    if "result" in outputs:
        assert [json.loads(document) for document in outputs["result"]] == expected
    elif "label" in outputs:
        assert outputs["label"] == [best["label"] for best, *_ in expected]
        assert outputs["score"] == close_to([best["score"] for best, *_ in expected])
    else:
        assert outputs["score"] == close_to([score for (score,) in expected])


async def test_playground_has_a_form_for_the_task(task: str) -> None:
    title = TASKS[task].summary

    assert f'"{task}": {{"title": "{title}", "inputs": ' in page(TASKS.values())


async def test_inputs_of_the_load_test_are_answered_as_documented(api: Api, task: str) -> None:
    inputs = inputs_of(task)[-8:]

    response = await api.ask(task, inputs)

    assert response.status_code == 200
    assert fault(task, inputs, response.json()) is None
