"""From a package on disk to a model that takes requests; a faulty one is kept with its reason."""

import asyncio
import logging
import time
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from app.batch_policy import Limits
from app.batching import Batcher
from app.contract.errors import PackageError
from app.contract.golden import replay
from app.contract.manifest import Manifest, read_manifest
from app.contract.pipeline import Package, check_outputs
from app.metrics import Metrics, ModelMetrics
from app.sessions import OnnxSession
from app.settings import Settings

logger = logging.getLogger(__name__)

State = Literal["loading", "ready", "failed"]


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model version that takes requests."""

    package: Package
    batcher: Batcher
    metrics: ModelMetrics
    provider: str

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


def load_package(path: Path, settings: Settings) -> tuple[Package, OnnxSession]:
    """Verify a package, load its graph, replay its golden examples and warm it up. Blocks.

    Raises:
        PackageError: it must not serve, and why.
    """
    package = Package.load(path)
    session = OnnxSession(package.model_path, provider=settings.provider)
    check_outputs(package.manifest, session.widths)
    replay(package, session)
    # Builds the table of composing characters, which takes a while and is made on first use.
    package.encoder.encode(["s\u0327"])
    session.warm_up(
        max_tokens=package.manifest.encoder.max_tokens,
        max_batch_tokens=settings.max_batch_tokens,
        max_batch_items=settings.max_batch_items,
    )
    return package, session


class Loader:
    """Opens and loads entries; all models run on the threads of one executor."""

    def __init__(
        self, settings: Settings, metrics: Metrics, *, executor: Executor, threads: int
    ) -> None:
        """Load nothing yet.

        Args:
            settings: limits and provider.
            metrics: of the application.
            executor: runs the models.
            threads: of the executor.
        """
        self._settings = settings
        self._metrics = metrics
        self._executor = executor
        self._threads = threads
        self._limits = Limits(
            max_batch_tokens=settings.max_batch_tokens,
            max_batch_items=settings.max_batch_items,
            max_queue_items=settings.max_queue_items,
            max_queue_tokens=settings.max_queue_tokens,
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
            package, session = await asyncio.to_thread(load_package, entry.path, self._settings)
            self._put_into_service(entry, package, session)
        except PackageError as error:
            _fail(entry, str(error))
        except Exception as error:
            logger.exception("load_failed", extra={"model": entry.name})
            _fail(entry, f"unexpected {type(error).__name__} while loading; see the log")
        else:
            seconds = time.monotonic() - start
            self._metrics.load_duration.labels(*entry.labels).set(seconds)
            fields = {"provider": session.provider, "load_ms": round(seconds * 1000)}
            logger.info("model_ready", extra={"model": entry.name} | fields)

    def _put_into_service(self, entry: Entry, package: Package, session: OnnxSession) -> None:
        metrics = self._metrics.for_model(*entry.labels)
        batcher = Batcher(
            partial(package.run_windows, run=session),
            self._executor,
            workers=self._threads,
            limits=self._limits,
            metrics=metrics,
        )
        self._metrics.watch_queue(
            *entry.labels,
            items=lambda: batcher.queued_items,
            tokens=lambda: batcher.queued_tokens,
            oldest_age_s=lambda: batcher.oldest_age_s,
        )
        precision = package.manifest.precision
        self._metrics.model_info.labels(*entry.labels, "onnx", precision, session.provider).set(1)
        entry.manifest = package.manifest
        entry.served = ServedModel(package, batcher, metrics, session.provider)


def _fail(entry: Entry, fault: str) -> None:
    entry.fault = fault
    logger.error("model_failed", extra={"model": entry.name, "reason": fault})
