"""Which models serve, and which of them a request means."""

import random
import re
from collections.abc import Callable, Iterator, Sequence

from app.cores import Cores
from app.errors import Fault, RequestError, ServiceError, Unavailable, shown
from app.loading import Entry, Loader, ServedModel
from app.metrics import Metrics
from app.runtimes import CLEARLY_FASTER
from app.settings import Settings
from app.store import DEFAULT, Shelf

LOADING_RETRY_AFTER_S = 2


class Registry:
    """The models of all tasks."""

    def __init__(
        self,
        shelves: Sequence[Shelf],
        settings: Settings,
        metrics: Metrics,
        *,
        threads: int,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """Take stock; nothing is loaded yet.

        Args:
            shelves: what is in the store.
            settings: limits and provider.
            metrics: of the application.
            threads: that run models, one a core, shared by all of them.
            draw: a number in [0, 1) that decides whether a canary answers.
        """
        self.shelves = {shelf.task: shelf for shelf in shelves}
        self.cores = Cores(threads)
        self._draw = draw
        self._measures = settings.runtime == "auto"
        self._loader = Loader(settings, metrics, cores=self.cores)
        self._entries = {
            shelf.task: {
                model: {
                    version: self._loader.open(shelf.task, model, version, path)
                    for version, path in sorted(versions.items())
                }
                for model, versions in sorted(shelf.packages.items())
            }
            for shelf in shelves
        }

    def __iter__(self) -> Iterator[Entry]:
        """Every version of every model."""
        for models in self._entries.values():
            for versions in models.values():
                yield from versions.values()

    @property
    def tasks(self) -> list[str]:
        """Those with at least one package."""
        return sorted(self._entries)

    async def load_all(self) -> None:
        """Load every package, one after the other, those that readiness waits for first."""
        required = [entry for task in self.tasks if (entry := self.default(task))]
        for entry in [*required, *(entry for entry in self if entry not in required)]:
            if entry.fault is None:
                await self._loader.load(entry)

    def default(self, task: str) -> Entry | None:
        """What a task answers with if no model is named; None if the alias leads nowhere."""
        try:
            return self.find(task, None)
        except ServiceError:
            return None

    def default_fault(self, task: str) -> str | None:
        """Why a task cannot answer requests that name no model; None if it can."""
        try:
            _ready(self.find(task, None))
        except ServiceError as error:
            return str(error)
        return None

    def find(self, task: str, name: str | None) -> Entry:
        """The version that a request means, whatever its state.

        Args:
            task: of the route.
            name: `<model>[:<version>]` or an alias; the newest version if none is given.

        Raises:
            RequestError: unknown task, model or version.
            Unavailable: the alias leads nowhere.
        """
        models = self._models(task)
        shelf = self.shelves[task]
        wanted = DEFAULT if name is None else name
        aliases = shelf.aliases.targets if shelf.aliases else {}
        if wanted == DEFAULT and not aliases:
            raise Unavailable("model_unavailable", f"{task} has no default: {shelf.alias_fault}")
        model, _, version = aliases.get(wanted, wanted).partition(":")
        versions = models.get(model, {})
        number = int(version) if re.fullmatch("[1-9][0-9]{0,8}", version) else 0
        if versions and not version:
            return versions[max(versions)]
        if number in versions:
            return versions[number]
        if wanted in aliases:
            detail = f"{task}: alias {wanted} names {aliases[wanted]}, which is not in the store"
            raise Unavailable("model_unavailable", detail)
        if not versions:
            detail = (
                f"{task} has no model {shown(model)}; known are {', '.join([*aliases, *models])}"
            )
            raise RequestError(Fault("unknown_model", detail, field="model"))
        known = ", ".join(str(number) for number in versions)
        detail = f"{task}/{model} has no version {shown(version)}; known are {known}"
        raise RequestError(Fault("unknown_version", detail, field="model"))

    def resolve(self, task: str, name: str | None) -> ServedModel:
        """The model that answers a request; see `find`.

        Raises:
            RequestError: unknown task, model or version.
            Unavailable: it is still loading or out of service.
        """
        canary = self._canary(task, name)
        if canary:
            return _ready(canary)
        entry = self.find(task, name)
        model = _ready(entry)
        return self._faster_precision(entry, model) if name in (None, DEFAULT) else model

    def _faster_precision(self, entry: Entry, model: ServedModel) -> ServedModel:
        """The fp32 sibling of the same version, if it is ready and was measured to be faster."""
        if not self._measures:
            return model
        sibling = self._entries[entry.task].get(f"{entry.model}-fp32", {}).get(entry.version)
        if sibling is None or sibling.state != "ready" or sibling.served is None:
            return model
        limit_s = CLEARLY_FASTER * model.engine.seconds_per_token
        is_faster = sibling.served.engine.seconds_per_token < limit_s
        return sibling.served if is_faster else model

    def aliases(self, entry: Entry) -> list[str]:
        """The aliases that mean this version now."""
        shelf = self.shelves[entry.task]
        names = shelf.aliases.targets if shelf.aliases else {}
        return [name for name in names if self._means(entry, name)]

    def versions(self, task: str) -> list[Entry]:
        """Every version of a task's models.

        Raises:
            RequestError: unknown task.
        """
        return [entry for versions in self._models(task).values() for entry in versions.values()]

    def stop(self) -> None:
        """Fail what waits in any queue and take nothing more."""
        for entry in self:
            if entry.served:
                entry.served.batcher.stop("draining", "the service is shutting down")

    def close(self) -> None:
        """Release the threads; running batches end first."""
        self.cores.close()

    def _models(self, task: str) -> dict[str, dict[int, Entry]]:
        if task not in self._entries:
            detail = f"no task {shown(task)} is served; known are {', '.join(self.tasks)}"
            raise RequestError(Fault("unknown_task", detail))
        return self._entries[task]

    def _canary(self, task: str, name: str | None) -> Entry | None:
        """The canary, if this request meets it and it can answer."""
        shelf = self.shelves.get(task)
        canary = shelf.aliases.canary if shelf and shelf.aliases else None
        if canary is None or name not in (None, DEFAULT) or self._draw() >= canary.weight:
            return None
        try:
            entry = self.find(task, canary.model)
        except ServiceError:
            return None
        return entry if entry.state == "ready" else None

    def _means(self, entry: Entry, name: str) -> bool:
        try:
            return self.find(entry.task, name) is entry
        except ServiceError:
            return False


def _ready(entry: Entry) -> ServedModel:
    if entry.state == "failed":
        detail = f"{entry.name} is out of service: {entry.reason}"
        raise Unavailable("model_unavailable", detail)
    if entry.served is None:
        detail = f"{entry.name} is still loading; try again after Retry-After seconds"
        raise Unavailable("model_loading", detail, retry_after_s=LOADING_RETRY_AFTER_S)
    return entry.served
