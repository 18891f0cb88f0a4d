"""The application in this process, with its models loaded and a client attached."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families
from starlette.types import Message

from app.contract.encoded_text import Window, WindowOutputs
from app.cores import Job
from app.keys import key_line
from app.main import Service, create_service
from app.settings import Settings

ADMIN_KEY = "the-long-secret-of-an-operator"
AS_ADMIN = {"Authorization": f"Bearer {ADMIN_KEY}"}


@dataclass(frozen=True, slots=True)
class Api:
    """A client of a running application."""

    service: Service
    http: httpx.AsyncClient

    async def ask(
        self, task: str, inputs: object, headers: dict[str, str] | None = None, **fields: object
    ) -> httpx.Response:
        body = json.dumps({"inputs": inputs} | fields)  # escapes what is not ASCII
        headers = {"Content-Type": "application/json"} | (headers or {})
        return await self.http.post(f"/v1/{task}", content=body, headers=headers)

    async def ner(
        self, inputs: object, headers: dict[str, str] | None = None, **fields: object
    ) -> httpx.Response:
        return await self.ask("ner", inputs, headers, **fields)

    async def post(self, body: bytes, content_type: str = "application/json") -> httpx.Response:
        return await self.http.post("/v1/ner", content=body, headers={"Content-Type": content_type})

    async def metrics(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """(sample name, labels) -> value."""
        text = (await self.http.get("/metrics")).text
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    async def total(self, name: str, **labels: str) -> float:
        """Sum of the samples of this name that have these labels."""
        samples = await self.metrics()
        return sum(v for (n, have), v in samples.items() if n == name and labels.items() <= have)

    @contextmanager
    def workers_held(self) -> Iterator[None]:
        """Keep every thread that runs models busy, so that whatever is submitted waits."""
        cores = self.service.registry.cores
        blocker = Blocker(cores.count)
        cores.join(blocker)
        cores.wake(blocker)
        blocker.wait_until_all_run()
        try:
            yield
        finally:
            blocker.release.set()
            cores.leave(blocker)


class Blocker:
    """A lane with one batch a core, each of which lasts until it is released."""

    is_background = False
    waiting_s = 0.0

    def __init__(self, cores: int) -> None:
        self.release = threading.Event()
        self._running = threading.Barrier(cores + 1)
        self._left = cores

    @property
    def has_work(self) -> bool:
        return self._left > 0

    def take(self) -> Job:
        self._left -= 1
        return Job(self._block, expected_s=0.0)

    def abandon(self) -> None:
        self.release.set()

    def wait_until_all_run(self) -> None:
        self._running.wait(10)

    def _block(self) -> None:
        self._running.wait(10)
        self.release.wait(30)


class Held:
    """Lets a model's next batch wait; once it ends, the cores are held by something else."""

    def __init__(self, api: Api, model: str) -> None:
        self._is_running = threading.Event()
        self._batcher = api.service.registry.resolve("ner", model).batcher
        self._cores = api.service.registry.cores
        self._run, self._opened = self._batcher._run, threading.Event()
        self._blocker = Blocker(self._cores.count)
        self._batcher._run = self

    async def until_it_runs(self) -> None:
        await until(self._is_running.is_set)
        self._cores.join(self._blocker)
        self._cores.wake(self._blocker)

    def __call__(self, windows: Sequence[Window]) -> list[WindowOutputs]:
        self._is_running.set()
        assert self._opened.wait(10)
        return self._run(windows)

    @contextmanager
    def ended(self) -> Iterator[None]:
        """Let the batch end, and nothing run after it."""
        self._opened.set()
        self._blocker.wait_until_all_run()
        try:
            yield
        finally:
            self._blocker.release.set()
            self._cores.leave(self._blocker)


@asynccontextmanager
async def serving(store: Path, **settings: object) -> AsyncIterator[Api]:
    """Serve a store; models are loaded when this returns."""
    async with starting(store, **settings) as api:
        await api.service.registry.load_all()
        yield api


@asynccontextmanager
async def starting(store: Path, **settings: object) -> AsyncIterator[Api]:
    """Serve a store whose models are not loaded yet."""
    service = create_service(
        Settings.model_validate({"model_store": store, "threads": 1} | settings)
    )
    transport = httpx.ASGITransport(service.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        try:
            yield Api(service, http)
        finally:
            service.registry.stop()
            service.registry.close()


def admin_settings(folder: Path) -> dict[str, object]:
    """Settings under which AS_ADMIN may operate the store; their file is written to a folder."""
    path = folder / "admin-keys-of-the-harness"
    path.write_text(key_line("operator", ADMIN_KEY))
    return {"admin_keys_file": path}


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that happens on another task or thread and tells nobody."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def post_and_leave(api: Api, task: str, inputs: object, left: asyncio.Event) -> None:
    """A connection that closes, as the server tells the application of it."""
    body = json.dumps({"inputs": inputs}).encode()
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if messages:
            return messages.pop()
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(_: Message) -> None:
        pass

    scope = {
        "type": "http",
        "method": "POST",
        "path": f"/v1/{task}",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
    }
    await api.service.app(scope, receive, send)


def assert_problem(
    response: httpx.Response, status: int, code: str, *mentioned: str, index: int | None = None
) -> None:
    """The response is a complete problem document with this code, about this input."""
    problem = json.loads(response.content)
    assert (response.status_code, problem["code"]) == (status, code), problem
    assert response.headers["Content-Type"] == "application/problem+json"
    assert problem.keys() == {
        "type", "title", "status", "detail", "instance", "code", "errors",
    }  # fmt: skip
    assert problem["type"] == f"urn:loyal:error:{code}"
    assert problem["status"] == status
    assert problem["instance"] == response.headers["X-Request-Id"]
    assert response.headers["X-Error-Message"].isascii()
    assert "\n" not in problem["detail"]
    for text in mentioned:
        assert text in problem["detail"]
    if index is not None:
        assert problem["errors"][0]["index"] == index
