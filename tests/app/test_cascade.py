"""`"model": "cascade"`: whose answer each input gets.

The student `tiny` is sure of every word but "merge", which only the teacher `big` takes for a
place.
"""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import httpx
import numpy as np
import pytest

from app import cascade
from app.cascade import obtain_student
from app.contract.confidence import confidence
from app.contract.heads import HEADS_OF_TASK
from app.contract.manifest import MANIFEST, MODEL
from app.contract.pipeline import Package, predict_outputs
from app.errors import RequestError
from app.metrics import CASCADE_OUTCOMES, Metrics
from app.registry import Registry
from app.sessions import OnnxSession
from app.settings import Settings
from app.store import scan
from app.tasks import TASKS
from tests.app.harness import Api, Held, assert_problem, serving, until
from tests.app.tensors import tensor
from tests.tiny_graphs import INFINITE, MARGIN
from tests.tiny_package import build, edit_json, write_aliases
from tests.tiny_pairs import calibrate, rerecord, retag

pytestmark = pytest.mark.anyio

SURE, DOUBTED = "Ion", "Ion merge"
THRESHOLD = 0.9
STUDENT, TEACHER = "ner/tiny:1", "ner/big:1"
BY_STUDENT = [("PERSON", "Ion")]
BY_TEACHER = [("PERSON", "Ion"), ("GPE", "merge")]


@pytest.fixture
def pair(store: Path) -> Path:
    """A store whose default is calibrated and whose teacher knows better."""
    retag(store / "ner/tiny/1", {"merge": ("O", 0.5), INFINITE: ("O", 0.5)})
    calibrate(store / "ner/tiny/1", threshold=THRESHOLD)
    retag(build(store, model="big"), {"merge": ("B-GPE", MARGIN)})
    write_aliases(store, default="tiny", teacher="big")
    return store


@pytest.fixture
async def api(pair: Path) -> AsyncIterator[Api]:
    async with serving(pair) as running:
        yield running


async def ask(api: Api, inputs: object, **fields: object) -> httpx.Response:
    return await api.ner(inputs, model="cascade", **fields)


def found(answer: Sequence[dict[str, str]]) -> list[tuple[str, str]]:
    return [(item["entity_group"], item["word"]) for item in answer]


async def outcomes(api: Api) -> dict[str, float]:
    """Inputs of cascades by outcome, those that there were."""
    counts = {
        outcome: await api.total("loyal_cascade_inputs_total", model="tiny", outcome=outcome)
        for outcome in CASCADE_OUTCOMES
    }
    return {outcome: count for outcome, count in counts.items() if count}


async def test_student_answers_what_it_is_sure_of(api: Api) -> None:
    response = await ask(api, [SURE, SURE])

    assert [found(answer) for answer in response.json()] == [BY_STUDENT, BY_STUDENT]
    assert response.headers["X-Answered-By"] == response.headers["X-Model"] == STUDENT
    assert await outcomes(api) == {"student": 2}
    assert await api.total("loyal_batch_items_count", model="big") == 0


async def test_teacher_answers_what_the_student_doubts(api: Api) -> None:
    response = await ask(api, [SURE, DOUBTED, SURE, DOUBTED])

    assert [found(answer) for answer in response.json()] == [
        BY_STUDENT, BY_TEACHER, BY_STUDENT, BY_TEACHER,
    ]  # fmt: skip
    assert response.headers["X-Answered-By"] == f"{STUDENT}, {TEACHER};inputs=1,3"
    assert response.headers["X-Model"] == STUDENT
    assert await outcomes(api) == {"student": 2, "teacher": 2}
    assert await api.total("loyal_batch_items_sum", model="big") == 2


async def test_teacher_alone_is_named_if_it_answered_everything(api: Api) -> None:
    response = await ask(api, DOUBTED)

    assert found(response.json()) == BY_TEACHER
    assert response.headers["X-Answered-By"] == TEACHER


async def test_parameters_hold_for_both_models(api: Api) -> None:
    inputs = [["Ion"], ["Ion", "merge"]]
    parameters = {"is_split_into_words": True, "ignore_labels": ["PERSON"]}

    response = await ask(api, inputs, parameters=parameters)

    assert [found(answer) for answer in response.json()] == [[], [("GPE", "merge")]]


async def test_cut_inputs_are_named_whoever_answered_them(api: Api) -> None:
    inputs = [SURE, "Ion " * 20, "merge " * 20]

    response = await ask(api, inputs, parameters={"truncate": True})

    assert response.headers["X-Answered-By"].endswith(";inputs=2")
    assert response.headers["X-Truncated"] == "1,2"


def students_confidence(store: Path, text: str) -> float:
    package = Package.load(store / "ner/tiny/1")
    session = OnnxSession(package.model_path, provider="cpu")
    [(encoded, outputs)] = predict_outputs(package.encoder, package.head, session, [text])
    return confidence(package.head, encoded, outputs, 1.0)


@pytest.mark.parametrize(("step", "answered"), [(0.0, STUDENT), (1.0, TEACHER)])
async def test_confidence_at_the_threshold_is_enough(
    pair: Path, step: float, answered: str
) -> None:
    exact = students_confidence(pair, SURE)
    calibrate(pair / "ner/tiny/1", threshold=float(np.nextafter(exact, step)) if step else exact)

    async with serving(pair) as api:
        response = await ask(api, SURE)

    assert response.headers["X-Answered-By"] == answered


async def test_confidence_is_that_at_the_temperature(pair: Path) -> None:
    calibrate(pair / "ner/tiny/1", threshold=THRESHOLD, temperature=100.0)

    async with serving(pair) as api:
        response = await ask(api, SURE)

    assert response.headers["X-Answered-By"] == TEACHER


async def test_students_answer_stands_when_the_teacher_is_overloaded(pair: Path) -> None:
    async with serving(pair, max_queue_items=1) as api:
        student = Held(api, "tiny")
        teacher = api.service.registry.resolve("ner", "big").batcher
        asked = asyncio.create_task(ask(api, DOUBTED))
        await student.until_it_runs()
        waiting = asyncio.create_task(api.ner(SURE, model="big"))
        await until(lambda: teacher.queued_items == 1)
        with student.ended():
            response = await asked
        await waiting

        assert found(response.json()) == BY_STUDENT
        assert response.headers["X-Answered-By"] == STUDENT
        assert await outcomes(api) == {"overloaded": 1}


async def test_students_answer_stands_when_the_teacher_takes_too_long(
    pair: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cascade, "TEACHER_SHARE", 1e-4)
    async with serving(pair, request_timeout_ms=600_000) as api:
        student = Held(api, "tiny")
        teacher = api.service.registry.resolve("ner", "big").batcher
        asked = asyncio.create_task(ask(api, [SURE, DOUBTED]))
        await student.until_it_runs()
        with student.ended():
            response = await asked

        assert [found(answer) for answer in response.json()] == [BY_STUDENT, BY_STUDENT]
        assert await outcomes(api) == {"student": 1, "late": 1}
        assert teacher.queued_items == 0


async def test_late_student_is_a_late_answer(api: Api) -> None:
    with api.workers_held():
        response = await ask(api, DOUBTED, headers={"X-Request-Timeout-Ms": "30"})

    assert_problem(response, 504, "deadline_exceeded")
    assert await outcomes(api) == {}


async def test_students_answer_stands_when_the_teacher_is_out_of_service(pair: Path) -> None:
    graph = pair / "ner/big/1" / MODEL
    graph.write_bytes(graph.read_bytes() + b"\0")

    async with serving(pair) as api:
        response = await ask(api, DOUBTED)

        assert found(response.json()) == BY_STUDENT
        assert await outcomes(api) == {"unavailable": 1}


async def test_students_answer_stands_when_the_alias_leads_nowhere(pair: Path) -> None:
    write_aliases(pair, default="tiny", teacher="big:9")

    async with serving(pair) as api:
        response = await ask(api, DOUBTED)

        assert response.headers["X-Answered-By"] == STUDENT
        assert await outcomes(api) == {"unavailable": 1}


async def test_students_answer_stands_when_the_teacher_fails(api: Api) -> None:
    response = await ask(api, [DOUBTED, f"Ion {INFINITE}"])

    assert [found(answer) for answer in response.json()] == [BY_STUDENT, BY_STUDENT]
    assert await outcomes(api) == {"failed": 2}


async def test_students_answer_stands_when_the_request_does_not_suit_the_teacher(
    pair: Path,
) -> None:
    """A window of the teacher has 8 tokens, so neighbours may share 3 at most."""
    teacher = pair / "ner/big/1"
    encoder = json.loads((teacher / MANIFEST).read_bytes())["encoder"]
    edit_json(teacher / MANIFEST, encoder=encoder | {"max_tokens": 8, "stride": 2})
    rerecord(teacher)

    async with serving(pair) as api:
        response = await ask(api, DOUBTED, parameters={"stride": 6})

        assert found(response.json()) == BY_STUDENT
        assert await outcomes(api) == {"refused": 1}


async def test_teacher_is_loaded_by_the_first_doubt_where_models_load_on_demand(
    pair: Path,
) -> None:
    async with serving(pair, load="on_demand") as api:
        states = {entry.name: entry.state for entry in api.service.registry}
        response = await ask(api, DOUBTED)

    assert states == {STUDENT: "ready", TEACHER: "unloaded"}
    assert response.headers["X-Answered-By"] == TEACHER


async def test_canary_takes_no_part(pair: Path) -> None:
    build(pair, model="new")
    write_aliases(pair, default="tiny", teacher="big", canary={"model": "new", "weight": 1.0})

    async with serving(pair) as api:
        plain, cascaded = await api.ner(SURE), await ask(api, SURE)

    assert plain.headers["X-Model"] == "ner/new:1"
    assert cascaded.headers["X-Answered-By"] == STUDENT


async def test_cascade_answers_the_open_inference_protocol(api: Api) -> None:
    body = {"inputs": [tensor(shape=[2], data=[SURE, DOUBTED])]}

    response = await api.http.post("/v2/models/ner.cascade/infer", json=body)

    documents = [json.loads(text) for text in response.json()["outputs"][0]["data"]]
    assert [found(document) for document in documents] == [BY_STUDENT, BY_TEACHER]
    assert response.json()["model_name"] == "ner.tiny"
    assert response.headers["X-Answered-By"] == f"{STUDENT}, {TEACHER};inputs=1"


def without_calibration(store: Path) -> None:
    edit_json(store / "ner/tiny/1" / MANIFEST, calibration=None)


def with_other_labels(store: Path) -> None:
    head = json.loads((store / "ner/big/1" / MANIFEST).read_bytes())["head"]
    labels = [label.replace("GPE", "LOC") for label in head["labels"]]
    edit_json(store / "ner/big/1" / MANIFEST, head=head | {"labels": labels})


@pytest.mark.parametrize(
    ("change", "code", "mentioned"),
    [
        (without_calibration, "not_calibrated", "ner/tiny:1 has no calibration"),
        (lambda s: write_aliases(s, default="tiny"), "no_teacher", "no alias teacher"),
        (lambda s: write_aliases(s, default="big", teacher="big"), "no_teacher", "both default"),
        (with_other_labels, "no_teacher", "only one of student and teacher has B-GPE"),
    ],
    ids=["no calibration", "no teacher", "default is teacher", "other labels"],
)
async def test_task_without_a_cascade_is_422_that_says_why(
    pair: Path, change: object, code: str, mentioned: str
) -> None:
    change(pair)  # type: ignore[operator]

    async with serving(pair) as api:
        response = await ask(api, SURE)

    assert_problem(response, 422, code, mentioned)
    assert response.json()["errors"][0]["field"] == "model"


@pytest.mark.parametrize("task", [name for name in TASKS if "score" not in HEADS_OF_TASK[name]])
@pytest.mark.parametrize(("threshold", "answered"), [(0.0, "tiny:1"), (1.0, "tiny-teacher:1")])
async def test_every_task_whose_models_can_doubt_has_a_cascade(
    tasks_store: Path, tmp_path: Path, task: str, threshold: float, answered: str
) -> None:
    store = Path(shutil.copytree(tasks_store, tmp_path / "store"))
    calibrate(store / task / "tiny/1", threshold=threshold, task=task)
    example, _ = next(iter(TASKS[task].examples.values()))

    async with serving(store) as api:
        response = await api.http.post(
            f"/v1/{task}", json={"inputs": example["inputs"], "model": "cascade"}
        )

    assert response.headers["X-Answered-By"] == f"{task}/{answered}"


async def test_task_of_numbers_has_no_cascade(tmp_path: Path) -> None:
    for model in ("tiny", "big"):
        build(tmp_path, task="sts", model=model)
    write_aliases(tmp_path, task="sts", default="tiny", teacher="big")
    settings = Settings(model_store=tmp_path)
    registry = Registry(scan(tmp_path, ["sts"]), settings, Metrics(), threads=1)

    with pytest.raises(RequestError, match="do not say how sure") as error:
        await obtain_student("sts", registry)

    assert error.value.code == "no_confidence"
