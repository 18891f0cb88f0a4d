"""From a package on disk to a model that takes requests; a faulty one is kept with its reason."""

import asyncio
import logging
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from app.batch_policy import Limits
from app.batching import Batcher
from app.contract.errors import PackageError
from app.contract.manifest import Manifest, read_manifest
from app.contract.pipeline import Package
from app.cores import Cores
from app.memory import release_freed_memory
from app.metrics import Metrics, ModelMetrics
from app.runtimes import Engine, open_engine
from app.settings import Settings

logger = logging.getLogger(__name__)

State = Literal["loading", "ready", "failed"]


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model version that takes requests."""

    package: Package
    batcher: Batcher
    metrics: ModelMetrics
    engine: Engine

    @property
    def manifest(self) -> Manifest:
        """Of its package."""
        return self.package.manifest


@dataclass(slots=True)
class Entry:
    """A model version of the store and how far it is; only the loader changes it.

    Attributes:
        manifest: None if it cannot be read.
        fault: why it is out of service.
        served: set once it is ready.
    """

    task: str
    model: str
    version: int
    path: Path
    manifest: Manifest | None = None
    fault: str | None = None
    served: ServedModel | None = None

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
        """Why it is out of service; None while loading and when ready."""
        if self.served and not self.served.batcher.is_alive:
            return "its scheduler died"
        return self.fault

    @property
    def state(self) -> State:
        """Loading until it is ready or failed."""
        return "failed" if self.reason else "ready" if self.served else "loading"


def load_package(path: Path, settings: Settings, *, threads: int) -> tuple[Package, Engine]:
    """Verify a package, load its graph, replay its golden examples and warm it up. Blocks.

    Raises:
        PackageError: it must not serve, and why.
    """
    package = Package.load(path)
    engine = open_engine(package, settings, threads=threads)
    # Builds the table of composing characters, which takes a while and is made on first use.
    package.encoder.encode(["s\u0327"])
    release_freed_memory()
    return package, engine


class Loader:
    """Opens and loads entries; all models share the cores."""

    def __init__(self, settings: Settings, metrics: Metrics, *, cores: Cores) -> None:
        """Load nothing yet.

        Args:
            settings: limits and provider.
            metrics: of the application.
            cores: that run the models.
        """
        self._settings = settings
        self._metrics = metrics
        self._cores = cores
        metrics.cores.set(cores.count)
        self._limits = Limits(
            max_batch_tokens=settings.max_batch_tokens,
            max_batch_items=settings.max_batch_items,
            max_queue_items=settings.max_queue_items,
            max_queue_tokens=settings.max_queue_tokens,
            max_queue_s=settings.max_queue_ms / 1000,
        )

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
        return entry

    async def load(self, entry: Entry) -> None:
        """Make an entry ready, or note why it cannot be."""
        start = time.monotonic()
        try:
            package, engine = await asyncio.to_thread(
                load_package, entry.path, self._settings, threads=self._cores.count
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

    def _put_into_service(self, entry: Entry, package: Package, engine: Engine) -> None:
        metrics = self._metrics.for_model(*entry.labels)
        batcher = Batcher(
            partial(package.run_windows, run=engine.session),
            self._cores,
            limits=self._limits,
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
            *entry.labels, items=self._limits.max_batch_items, tokens=self._limits.max_batch_tokens
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
