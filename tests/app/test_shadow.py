"""Live loyalty: what is sampled, what the gauges say, and that nothing outlives its models.

The student `tiny` tags "merge" as its teacher `big` does not, and agrees on every other word.
"""

import asyncio
import json
import logging
import math
from collections import deque
from collections.abc import AsyncIterator, MutableMapping
from dataclasses import replace
from pathlib import Path

import pytest

from app import shadow
from app.contract.heads import HEADS_OF_TASK
from app.contract.loyalty import Loyalty
from app.contract.manifest import MANIFEST, MODEL
from app.logs import JsonFormatter
from app.metrics import Metrics
from app.shadow import MEASURES, Shadow, Window
from app.tasks import TASKS
from tests.app.harness import Api, Held, serving, until
from tests.app.shadowing import (
    ALL,
    compared,
    drops,
    expectations,
    gauges,
    pending,
    samples,
    waiting_sample,
    with_a_teacher,
)
from tests.app.tensors import tensor
from tests.tiny_graphs import INFINITE
from tests.tiny_package import edit_json
from tests.tiny_pairs import calibrate, rerecord, retag

pytestmark = pytest.mark.anyio


@pytest.fixture
def pair(store: Path) -> Path:
    return with_a_teacher(store)


@pytest.fixture
async def api(pair: Path) -> AsyncIterator[Api]:
    async with serving(pair, **ALL) as running:
        yield running


class TestSampling:
    def test_same_id_is_always_sampled_or_never(self) -> None:
        ids = [f"request-{n}" for n in range(1000)]
        chosen = [
            [Shadow(Metrics(), share=share, window=1).takes(name) for name in ids]
            for share in (0.1, 0.1, 0.5)
        ]

        assert chosen[0] == chosen[1]
        assert 50 < sum(chosen[0]) < 150
        assert all(more for some, more in zip(chosen[0], chosen[2], strict=True) if some)

    @pytest.mark.parametrize(("share", "taken"), [(0.0, 0), (1.0, 1000)])
    def test_none_and_all_are_exact(self, share: float, taken: int) -> None:
        shadow = Shadow(Metrics(), share=share, window=1)

        assert sum(shadow.takes(str(n)) for n in range(1000)) == taken

    async def test_request_id_of_the_caller_decides(self, pair: Path) -> None:
        async with serving(pair, shadow_share=0.5) as api:
            shadow = api.service.registry.shadow
            ids = [f"request-{n}" for n in range(20)]
            for request_id in ids:
                await api.ner("Ion", headers={"X-Request-Id": request_id})
            await compared(api)

            assert await samples(api) == sum(map(shadow.takes, ids))

    async def test_nothing_is_sampled_unless_asked_for(self, pair: Path) -> None:
        async with serving(pair) as api:
            await api.ner("Ion merge")

            assert pending(api) == 0
            assert await api.total("loyal_batch_items_count", model="big") == 0

    async def test_teachers_own_traffic_is_not_sampled(self, api: Api) -> None:
        await api.ner("Ion", model="teacher")
        await api.ner("Ion", model="big:1")

        assert pending(api) == 0
        assert await samples(api, "big") == 0

    async def test_task_without_a_teacher_is_not_sampled(self, store: Path) -> None:
        async with serving(store, **ALL) as api:
            await api.ner("Ion")

            assert await drops(api) == {}
            assert await samples(api) == 0

    async def test_refused_request_is_not_sampled(self, api: Api) -> None:
        await api.ner("")

        assert pending(api) == 0


class TestGauges:
    async def test_models_that_agree_are_wholly_loyal(self, api: Api) -> None:
        await api.ner(["Ion", "Maria Ionescu la Iași"])
        await compared(api)

        assert await gauges(api) == {"label_ratio": 1, "probability_ratio": 1}
        assert await samples(api) == 2

    async def test_what_the_manifest_says_stands_beside_them_while_a_student_has_a_window(
        self, pair: Path
    ) -> None:
        known = {"value": 0.93, "low": 0.9, "high": 0.95, "n": 619}
        edit_json(pair / "ner/tiny/1" / MANIFEST, loyalty={"label_loyalty": known})
        async with serving(pair, **ALL) as api:
            before = await expectations(api)
            await api.ner("Ion")
            await compared(api)
            found = await expectations(api)

        assert before == {}
        assert found == {"loyal_loyalty_expected_label_ratio": pytest.approx(0.93)}

    async def test_every_word_counts_the_same(self, api: Api) -> None:
        """Of the words Ion, merge, la, Iași and merge two are disagreed on."""
        await api.ner(["Ion merge la Iași", "merge"])
        await compared(api)

        found = await gauges(api)
        assert found["label_ratio"] == pytest.approx(3 / 5)
        assert 1 - 2 / 5 * math.sqrt(math.log(2)) < found["probability_ratio"] < 1 - 2 / 5 * 0.8

    async def test_only_the_latest_samples_count(self, pair: Path) -> None:
        async with serving(pair, shadow_window=2, **ALL) as api:
            for text in ("merge", "merge", "Ion"):
                await api.ner(text)
                await compared(api)
            half = await gauges(api)
            await api.ner("Ion")
            await compared(api)

            assert half["label_ratio"] == 0.5
            assert (await gauges(api))["label_ratio"] == 1
            assert await samples(api) == 4

    async def test_student_of_a_cascade_is_measured_by_its_own_answers(self, pair: Path) -> None:
        calibrate(pair / "ner/tiny/1", threshold=1.0)

        async with serving(pair, **ALL) as api:
            response = await api.ner("merge", model="cascade")
            await compared(api)

            assert response.headers["X-Answered-By"] == "ner/big:1"
            assert (await gauges(api))["label_ratio"] == 0

    async def test_requests_of_the_open_inference_protocol_are_sampled(self, api: Api) -> None:
        body = {"inputs": [tensor(shape=[1], data=["Ion"])]}
        await api.http.post("/v2/models/ner/infer", json=body)
        await compared(api)

        assert await samples(api) == 1

    async def test_parameters_hold_for_the_replay(self, api: Api) -> None:
        """Truncated, both models read one window of 14 words; whole, the student reads 40."""
        await api.ner("Ion " * 40, parameters={"truncate": True})
        await compared(api)

        assert (await gauges(api))["label_ratio"] == 1
        assert await api.total("loyal_batch_items_sum", model="big") == 1

    @pytest.mark.parametrize("task", TASKS)
    async def test_models_of_every_task_are_compared(self, tasks_store: Path, task: str) -> None:
        """Teacher and student are the same; scores have no labels, spans no distribution."""
        expected = {
            "score": {"regression_mae": 0},
            "answer": {"label_ratio": 1},
        }.get(HEADS_OF_TASK[task][0], {"label_ratio": 1, "probability_ratio": 1})
        example, _ = next(iter(TASKS[task].examples.values()))

        async with serving(tasks_store, **ALL) as api:
            await api.http.post(f"/v1/{task}", json={"inputs": example["inputs"]})
            await compared(api)

            assert await gauges(api) == pytest.approx(expected)

    def test_mean_distance_of_scores_is_what_they_lack_to_agree(self) -> None:
        samples = deque([Loyalty(1, regression=0.75), Loyalty(1, regression=0.25)])

        assert Window("a teacher", samples).mean(MEASURES["regression_mae"]) == 0.5


class TestDrops:
    @pytest.mark.parametrize("bound", ["windows", "requests"])
    async def test_sample_is_dropped_when_enough_wait(
        self, api: Api, bound: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Two requests are answered in one batch, after which no core is free."""
        student, teacher = (api.service.registry.resolve("ner", name) for name in ("tiny", "big"))
        if bound == "windows":
            teacher.batcher.limits = replace(teacher.batcher.limits, max_queue_items=1)
        else:
            monkeypatch.setattr(shadow, "MAX_PENDING", 1)
        held = Held(api, "tiny")
        with api.workers_held():
            asked = [asyncio.create_task(api.ner("Ion")) for _ in range(2)]
            await until(lambda: student.batcher.queued_items == 2)
        await held.until_it_runs()
        with held.ended():
            responses = await asyncio.gather(*asked)
            await until(lambda: pending(api) == 1)
        await compared(api)

        assert [response.status_code for response in responses] == [200, 200]
        assert await drops(api) == {"full": 1}
        assert await samples(api) == 1

    async def test_sample_waits_while_anything_else_needs_the_cores(self, api: Api) -> None:
        async with waiting_sample(api):
            assert await samples(api) == 0
        await compared(api)

        assert await samples(api) == 1

    async def test_sample_is_dropped_when_the_teacher_fails(self, pair: Path) -> None:
        retag(pair / "ner/tiny/1", {INFINITE: ("O", 1.0)})

        async with serving(pair, **ALL) as api:
            await api.ner(["Ion", f"Ion {INFINITE}"])
            await compared(api)

            assert await drops(api) == {"failed": 2}
            assert await gauges(api) == {}

    async def test_sample_is_dropped_when_the_teacher_is_out_of_service(self, pair: Path) -> None:
        graph = pair / "ner/big/1" / MODEL
        graph.write_bytes(graph.read_bytes() + b"\0")

        async with serving(pair, **ALL) as api:
            await api.ner("Ion")

            assert await drops(api) == {"unavailable": 1}

    async def test_sample_is_dropped_when_the_labels_differ(self, pair: Path) -> None:
        head = json.loads((pair / "ner/big/1" / MANIFEST).read_bytes())["head"]
        labels = [label.replace("GPE", "LOC") for label in head["labels"]]
        edit_json(pair / "ner/big/1" / MANIFEST, head=head | {"labels": labels})
        rerecord(pair / "ner/big/1")

        async with serving(pair, **ALL) as api:
            await api.ner("Ion")

            assert await drops(api) == {"incomparable": 1}

    async def test_shutdown_drops_what_waits(self, api: Api) -> None:
        async with waiting_sample(api):
            api.service.registry.stop()

            assert pending(api) == 0
            assert await drops(api) == {"stopped": 1}


class TestPrivacy:
    async def test_sampling_begins_once_the_reply_was_sent(self, api: Api) -> None:
        body = json.dumps({"inputs": "Ion"}).encode()
        seen: list[tuple[str, int]] = []

        async def receive() -> dict[str, object]:
            if not is_read:
                is_read.append(True)
                return {"type": "http.request", "body": body, "more_body": False}
            await asyncio.Event().wait()
            raise AssertionError

        async def send(message: MutableMapping[str, object]) -> None:
            seen.append((str(message["type"]), pending(api)))

        is_read: list[bool] = []
        scope = {
            "type": "http", "method": "POST", "path": "/v1/ner", "raw_path": b"/v1/ner",
            "query_string": b"", "headers": [(b"content-type", b"application/json")],
            "server": ("test", 80), "client": ("test", 1), "scheme": "http", "root_path": "",
            "http_version": "1.1",
        }  # fmt: skip
        await api.service.app(scope, receive, send)

        assert seen == [("http.response.start", 0), ("http.response.body", 0)]
        assert pending(api) == 1

    async def test_nothing_is_logged_or_kept(
        self, pair: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Compared, failed in the teacher, and failed in the comparison itself."""
        caplog.set_level(logging.DEBUG)
        marker = "Zamfirescu"
        retag(pair / "ner/tiny/1", {INFINITE: ("O", 1.0)})

        def fail(*_: object) -> None:
            raise RuntimeError(marker)

        async with serving(pair, **ALL) as api:
            await api.ner(f"{marker} merge")
            await api.ner(f"{marker} {INFINITE}")
            await compared(api)
            monkeypatch.setattr(shadow, "compare", fail)
            await api.ner(f"{marker} Ion")
            await compared(api)
            metrics = (await api.http.get("/metrics")).text

            assert await drops(api) == {"failed": 2}
        ours = [r for r in caplog.records if r.name.split(".")[0] not in ("httpx", "httpcore")]
        written = "\n".join(map(JsonFormatter().format, ours))
        assert '"event": "shadow_failed"' in written
        assert marker not in written + metrics
