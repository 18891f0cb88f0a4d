"""From a package on disk to a model that takes requests; a faulty one is kept with its reason."""

import asyncio
import gc
import logging
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from app.batch_policy import Limits
from app.batching import Batcher
from app.contract.encoding import Encoders
from app.contract.errors import PackageError
from app.contract.manifest import Manifest, read_manifest
from app.contract.pipeline import Package
from app.cores import Cores
from app.latency import RecentLatency
from app.memory import release_freed_memory
from app.metrics import Metrics, ModelMetrics
from app.runtimes import Engine, batch_bounds, open_engine
from app.settings import Settings
from app.trunks import Trunks

logger = logging.getLogger(__name__)

State = Literal["unloaded", "loading", "ready", "failed"]
Wish = Literal["load", "on_request", "none"]


COLLECTIONS = 20
BETWEEN_COLLECTIONS_S = 0.05
"""Until an unloaded model is gone; after that it goes with the next collection that happens."""


class Holders:
    """The requests that use a model; what they hold is not freed."""

    def __init__(self) -> None:
        """Nobody yet."""
        self._count = 0
        self._nobody = asyncio.Event()
        self._nobody.set()

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Hold the model for the length of a request."""
        self._count += 1
        self._nobody.clear()
        try:
            yield
        finally:
            self._count -= 1
            if self._count == 0:
                self._nobody.set()

    async def wait_until_gone(self) -> None:
        """Wait for the last of them."""
        await self._nobody.wait()


@dataclass(frozen=True, slots=True, eq=False)
class ServedModel:
    """A model version that takes requests; hold it while you use it."""

    package: Package
    batcher: Batcher
    metrics: ModelMetrics
    engine: Engine
    latency: RecentLatency = field(default_factory=RecentLatency)
    holders: Holders = field(default_factory=Holders)

    @property
    def manifest(self) -> Manifest:
        """Of its package."""
        return self.package.manifest


@dataclass(slots=True, eq=False)
class Entry:
    """A model version of the store and how far it is.

    Attributes:
        manifest: None if it cannot be read.
        fault: why it is out of service.
        served: set once it is ready.
        wish: whether it is to be loaded: at once, by the first request that means it, or not.
        is_pinned: an operator loaded this very version; only an operator unloads it.
        loading: the load under way.
    """

    task: str
    model: str
    version: int
    path: Path
    manifest: Manifest | None = None
    fault: str | None = None
    served: ServedModel | None = None
    wish: Wish = "none"
    is_pinned: bool = False
    loading: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """`<task>/<model>:<version>`."""
        return f"{self.task}/{self.model}:{self.version}"

    @property
    def labels(self) -> tuple[str, str, str]:
        """Of its metrics."""
        return self.task, self.model, str(self.version)

    @property
    def reason(self) -> str | None:
        """Why it is out of service; None if nothing is wrong with it."""
        if self.served and not self.served.batcher.is_alive:
            return "its scheduler died"
        return self.fault

    @property
    def state(self) -> State:
        """How far it is."""
        if self.reason:
            return "failed"
        return "ready" if self.served else "loading" if self.wish == "load" else "unloaded"


@dataclass(frozen=True, slots=True)
class Shared:
    """What loaded models have in common; each part leaves with the last model that uses it."""

    trunks: Trunks = field(default_factory=Trunks)
    encoders: Encoders = field(default_factory=weakref.WeakValueDictionary)


def load_package(
    path: Path, settings: Settings, *, threads: int, shared: Shared | None = None
) -> tuple[Package, Engine]:
    """Verify a package, load its graph, replay its golden examples and warm it up. Blocks.

    Raises:
        PackageError: it must not serve, and why.
    """
    shared = shared or Shared()
    package = Package.load(path, encoders=shared.encoders)
    engine = open_engine(package, settings, trunks=shared.trunks, threads=threads)
    # Builds the table of composing characters, which takes a while and is made on first use.
    package.encoder.encode(["s\u0327"])
    release_freed_memory()
    return package, engine


class Loader:
    """Opens, loads and unloads entries; all models share the cores."""

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        *,
        cores: Cores,
        on_unload: Callable[[ServedModel], None],
    ) -> None:
        """Load nothing yet.

        Args:
            settings: limits and provider.
            metrics: of the application.
            cores: that run the models.
            on_unload: called with a model that takes no requests any more.
        """
        self._on_unload = on_unload
        self._settings = settings
        self._metrics = metrics
        self._cores = cores
        self._leaving: set[ServedModel] = set()
        self._shared = Shared()
        metrics.cores.set(cores.count)

    def open(self, task: str, model: str, version: int, path: Path) -> Entry:
        """Read the manifest only."""
        entry = Entry(task, model, version, path)
        try:
            entry.manifest = read_manifest(path)
        except PackageError as error:
            _fail(entry, str(error))
        self._metrics.model_loaded.labels(*entry.labels).set_function(
            lambda: float(entry.state == "ready")
        )
        self._metrics.model_failed.labels(*entry.labels).set_function(
            lambda: float(entry.state == "failed")
        )
        return entry

    def forget(self, entry: Entry) -> None:
        """Drop an entry that is gone from the store and does not serve."""
        for gauge in (self._metrics.model_loaded, self._metrics.model_failed):
            gauge.remove(*entry.labels)

    async def load(self, entry: Entry) -> None:
        """Make an entry ready, or note why it cannot be; calls at the same time share one load.

        Cancelling the call does not end the load.
        """
        if entry.state == "ready":
            return
        entry.wish = "load"
        if entry.loading is None:
            entry.loading = asyncio.create_task(self._load(entry))
        await asyncio.shield(entry.loading)

    async def unload(self, entry: Entry, *, wish: Wish = "none") -> None:
        """Take an entry out of service at once; return when its last request is answered.

        Args:
            entry: in whatever state.
            wish: when it may be loaded again without an operator.
        """
        entry.wish, entry.is_pinned = wish, False
        if entry.loading:
            await asyncio.shield(entry.loading)
        served, entry.served, entry.fault = entry.served, None, None
        if served is None:
            return
        self._metrics.forget_model(*entry.labels)
        self._on_unload(served)
        self._leaving.add(served)
        leaving = asyncio.create_task(self._leave(entry, served))
        del served
        await asyncio.shield(leaving)

    def stop_leaving(self, code: str, detail: str) -> None:
        """Fail what waits in the queues of models that are being unloaded."""
        for served in self._leaving:
            served.batcher.stop(code, detail)

    async def _leave(self, entry: Entry, served: ServedModel) -> None:
        await served.holders.wait_until_gone()
        served.batcher.stop("model_unavailable", f"{entry.name} was unloaded")
        batcher = weakref.ref(served.batcher)
        self._leaving.remove(served)
        del served
        for _ in range(COLLECTIONS):
            # Cancelled tasks keep their frames, and those the model, until a collection.
            await asyncio.to_thread(gc.collect)
            if batcher() is None:
                break
            # The thread of its last batch, or the sender of its last reply, has not let go yet.
            await asyncio.sleep(BETWEEN_COLLECTIONS_S)
        await asyncio.to_thread(release_freed_memory)
        logger.info("model_unloaded", extra={"model": entry.name})

    async def _load(self, entry: Entry) -> None:
        start = time.monotonic()
        entry.fault = None
        try:
            package, engine = await asyncio.to_thread(
                load_package,
                entry.path,
                self._settings,
                threads=self._cores.count,
                shared=self._shared,
            )
            self._put_into_service(entry, package, engine)
        except PackageError as error:
            _fail(entry, str(error))
        except Exception as error:
            logger.exception("load_failed", extra={"model": entry.name})
            _fail(entry, f"unexpected {type(error).__name__} while loading; see the log")
        else:
            seconds = time.monotonic() - start
            self._metrics.load_duration.labels(*entry.labels).set(seconds)
            session = engine.session
            fields = {
                "runtime": session.runtime,
                "provider": session.provider,
                "load_ms": round(seconds * 1000),
            }
            logger.info("model_ready", extra={"model": entry.name} | fields)
        finally:
            entry.loading = None

    def _limits(self, engine: Engine) -> Limits:
        settings = self._settings
        return Limits(
            **batch_bounds(engine.session, settings),
            max_queue_items=settings.max_queue_items,
            max_queue_tokens=settings.max_queue_tokens,
            max_request_tokens=settings.max_request_tokens,
            max_queue_s=settings.max_queue_ms / 1000,
        )

    def _put_into_service(self, entry: Entry, package: Package, engine: Engine) -> None:
        metrics = self._metrics.for_model(*entry.labels)
        limits = self._limits(engine)
        batcher = Batcher(
            partial(package.run_windows, run=engine.session),
            self._cores,
            limits=limits,
            metrics=metrics,
            seconds_per_token=engine.seconds_per_token,
        )
        self._metrics.watch_queue(
            *entry.labels,
            items=lambda: batcher.queued_items,
            tokens=lambda: batcher.queued_tokens,
            oldest_age_s=lambda: batcher.oldest_age_s,
            backlog_s=lambda: batcher.backlog_s,
        )
        self._metrics.set_batch_limits(
            *entry.labels, items=limits.max_batch_items, tokens=limits.max_batch_tokens
        )
        session = engine.session
        precision = session.arithmetic or package.manifest.precision
        self._metrics.model_info.labels(
            *entry.labels, "onnx", precision, session.runtime, session.provider
        ).set(1)
        entry.manifest = package.manifest
        entry.served = ServedModel(package, batcher, metrics, engine)


def _fail(entry: Entry, fault: str) -> None:
    entry.fault = fault
    logger.error("model_failed", extra={"model": entry.name, "reason": fault})
