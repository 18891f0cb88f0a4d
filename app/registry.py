"""Which models serve, and which of them a request means."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from app.cores import Cores
from app.errors import Fault, RequestError, ServiceError, Unavailable, shown
from app.loading import Entry, Loader, ServedModel, Wish
from app.metrics import Metrics
from app.runtimes import CLEARLY_FASTER
from app.settings import Settings
from app.shadow import Shadow
from app.store import DEFAULT, VERSION, Aliases, Shelf

LOADING_RETRY_AFTER_S = 2
STOPPED = "draining", "the service is shutting down"


@dataclass(slots=True)
class Versions:
    """The versions of one model.

    Attributes:
        entries: version -> entry; at least one.
        current: the version that the model's name alone means.
    """

    entries: dict[int, Entry]
    current: int

    @property
    def newest_first(self) -> list[Entry]:
        """All of them."""
        return [entry for _, entry in sorted(self.entries.items(), reverse=True)]

    @property
    def newest_ready(self) -> Entry | None:
        """The newest that serves."""
        return next((entry for entry in self.newest_first if entry.state == "ready"), None)


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
            settings: limits, provider and when to load.
            metrics: of the application.
            threads: that run models, one a core, shared by all of them.
            draw: a number in [0, 1) that decides whether a canary answers.
        """
        self.shelves = {shelf.task: shelf for shelf in shelves}
        self.cores = Cores(threads)
        self.loads_on_demand = settings.load == "on_demand"
        self._draw = draw
        self._is_stopped = False
        self._measures = settings.runtime == "auto"
        self.shadow = Shadow(metrics, share=settings.shadow_share, window=settings.shadow_window)
        self.loader = Loader(settings, metrics, cores=self.cores, on_unload=self.shadow.forget)
        self._models: dict[str, dict[str, Versions]] = {shelf.task: {} for shelf in shelves}
        for shelf in shelves:
            for model, folders in sorted(shelf.packages.items()):
                entries = {
                    version: self.loader.open(shelf.task, model, version, path)
                    for version, path in sorted(folders.items())
                }
                self._models[shelf.task][model] = Versions(entries, max(entries))
        for entry in self:
            entry.wish = self._first_wish(entry)

    def __iter__(self) -> Iterator[Entry]:
        """Every version of every model."""
        for models in self._models.values():
            for versions in models.values():
                yield from versions.entries.values()

    @property
    def idle_wish(self) -> Wish:
        """Of versions that nobody asked to load."""
        return "on_request" if self.loads_on_demand else "none"

    @property
    def tasks(self) -> list[str]:
        """Those with at least one package."""
        return sorted(self._models)

    async def load_all(self) -> None:
        """Load what is to be loaded, one after the other, what readiness waits for first.

        Where the newest version of a model is faulty, older ones are loaded until one is sound, so
        that it can be named.
        """
        required = [entry for task in self.tasks if (entry := self.default(task))]
        for entry in [*required, *self]:
            if entry.state == "loading":
                await self.loader.load(entry)
        for versions in [v for models in self._models.values() for v in models.values()]:
            for entry in versions.newest_first:
                if versions.newest_ready or self.loads_on_demand:
                    break
                if entry.state == "unloaded":
                    await self.loader.load(entry)

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

    def models(self, task: str) -> dict[str, Versions]:
        """A task's models by name.

        Raises:
            RequestError: unknown task.
        """
        if task not in self._models:
            detail = f"no task {shown(task)} is served; known are {', '.join(self.tasks)}"
            raise RequestError(Fault("unknown_task", detail))
        return self._models[task]

    def targets(self, task: str) -> dict[str, str]:
        """Alias -> `<model>[:<version>]`; empty if the task's aliases cannot be used."""
        aliases = self.shelves[task].aliases
        return aliases.targets if aliases else {}

    def find(self, task: str, name: str | None) -> Entry:
        """The version that a request means, whatever its state.

        Args:
            task: of the route.
            name: `<model>[:<version>]` or an alias; the current version if none is given.

        Raises:
            RequestError: unknown task, model or version.
            Unavailable: the alias leads nowhere.
        """
        models = self.models(task)
        wanted = DEFAULT if name is None else name
        aliases = self.targets(task)
        if wanted == DEFAULT and not aliases:
            fault = self.shelves[task].alias_fault
            raise Unavailable("model_unavailable", f"{task} has no default: {fault}")
        model, _, version = aliases.get(wanted, wanted).partition(":")
        versions = models.get(model)
        number = int(version) if VERSION.fullmatch(version) else 0
        if versions and not version:
            return versions.entries[versions.current]
        if versions and number in versions.entries:
            return versions.entries[number]
        if wanted in aliases:
            detail = f"{task}: alias {wanted} names {aliases[wanted]}, which is not in the store"
            raise Unavailable("model_unavailable", detail)
        if not versions:
            detail = (
                f"{task} has no model {shown(model)}; known are {', '.join([*aliases, *models])}"
            )
            raise RequestError(Fault("unknown_model", detail, field="model"))
        known = ", ".join(map(str, versions.entries))
        detail = f"{task}/{model} has no version {shown(version)}; known are {known}"
        raise RequestError(Fault("unknown_version", detail, field="model"))

    def resolve(self, task: str, name: str | None) -> ServedModel:
        """The model that answers a request; see `find`.

        Raises:
            RequestError: unknown task, model or version.
            Unavailable: it is loading, not loaded, or out of service, or everything is.
        """
        self._refuse_if_stopped()
        canary = self._canary(task, name)
        return _ready(canary) if canary else self._fastest(self.find(task, name), name)

    async def obtain(self, task: str, name: str | None) -> ServedModel:
        """As `resolve`, but where models load on demand, wait for this one.

        Raises:
            RequestError: unknown task, model or version.
            Unavailable: it is loading, not loaded, or out of service, or everything is.
        """
        self._refuse_if_stopped()
        canary = self._canary(task, name)
        if canary:
            return _ready(canary)
        entry = self.find(task, name)
        may_wait = self.loads_on_demand and entry.wish != "none" and entry.fault is None
        if may_wait and entry.served is None:
            await self.loader.load(entry)
        return self._fastest(entry, name)

    def aliases(self, entry: Entry) -> list[str]:
        """The aliases that mean this version now."""
        return [name for name in self.targets(entry.task) if self._means(entry, name)]

    def is_meant(self, entry: Entry) -> bool:
        """Whether an alias, the canary or its model's name alone leads to this version."""
        return (
            bool(self.aliases(entry)) or self._is_canary(entry) or self._means(entry, entry.model)
        )

    def set_aliases(self, task: str, aliases: Aliases) -> None:
        """Let requests be answered under these aliases from now on."""
        self.shelves[task] = replace(self.shelves[task], aliases=aliases, alias_fault=None)

    def restock(self, task: str, model: str, folders: Mapping[int, Path]) -> None:
        """Take in new versions of a model, and drop those that are gone and do not serve.

        What the model's name alone means stays, unless that version is gone.

        Args:
            task: that is served.
            model: known or new.
            folders: version -> folder, as found in the store.
        """
        models = self.models(task)
        old = models[model].entries if model in models else {}
        entries = {
            version: old.get(version) or self.loader.open(task, model, version, folders[version])
            for version in sorted({*folders, *(v for v, entry in old.items() if entry.served)})
        }
        for version in entries.keys() - old.keys():
            entries[version].wish = self.idle_wish
        for version in old.keys() - entries.keys():
            self.loader.forget(old[version])
        if entries:
            current = models[model].current if model in models else 0
            models[model] = Versions(entries, current if current in entries else max(entries))
        else:
            models.pop(model, None)

    def versions(self, task: str) -> list[Entry]:
        """Every version of a task's models.

        Raises:
            RequestError: unknown task.
        """
        return [e for versions in self.models(task).values() for e in versions.entries.values()]

    def standing(self, task: str) -> list[Entry]:
        """What requests without a version number lead to: no canary, and no older version.

        Raises:
            RequestError: unknown task.
        """
        aliased = [entry for entry in self.versions(task) if self.aliases(entry)]
        others = [
            versions.entries[versions.current]
            for model, versions in self.models(task).items()
            if model not in {entry.model for entry in aliased}
        ]
        return [*aliased, *(entry for entry in others if not self._is_canary(entry))]

    def stop(self) -> None:
        """Fail what waits in any queue and take nothing more."""
        self._is_stopped = True
        self.shadow.stop()
        for entry in self:
            if entry.served:
                entry.served.batcher.stop(*STOPPED)
        self.loader.stop_leaving(*STOPPED)

    def close(self) -> None:
        """Release the threads; running batches end first."""
        self.cores.close()

    def _refuse_if_stopped(self) -> None:
        # Before anything else: stopped queues look as if their schedulers had died.
        if self._is_stopped:
            raise Unavailable(*STOPPED)

    def _fastest(self, entry: Entry, name: str | None) -> ServedModel:
        """The model of an entry, or its fp32 sibling that was measured to be faster.

        The sibling has the same version, and answers only requests that name no model.
        """
        model = _ready(entry)
        siblings = self._models[entry.task].get(f"{entry.model}-fp32")
        sibling = siblings.entries.get(entry.version) if siblings else None
        if not self._measures or name not in (None, DEFAULT) or sibling is None:
            return model
        if sibling.state != "ready" or sibling.served is None:
            return model
        limit_s = CLEARLY_FASTER * model.engine.seconds_per_token
        is_faster = sibling.served.engine.seconds_per_token < limit_s
        return sibling.served if is_faster else model

    def _first_wish(self, entry: Entry) -> Wish:
        if self._means(entry, DEFAULT) or self._is_canary(entry):
            return "load"
        return "load" if self.is_meant(entry) and not self.loads_on_demand else self.idle_wish

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

    def _is_canary(self, entry: Entry) -> bool:
        aliases = self.shelves[entry.task].aliases
        canary = aliases.canary if aliases else None
        return canary is not None and self._means(entry, canary.model)

    def _means(self, entry: Entry, name: str) -> bool:
        try:
            return self.find(entry.task, name) is entry
        except ServiceError:
            return False


def _ready(entry: Entry) -> ServedModel:
    if entry.state == "failed":
        detail = f"{entry.name} is out of service: {entry.reason}"
        raise Unavailable("model_unavailable", detail)
    if entry.served:
        return entry.served
    if entry.wish == "none":
        raise Unavailable(
            "model_unavailable", f"{entry.name} is not loaded; an operator can load it"
        )
    detail = f"{entry.name} is still loading; try again after Retry-After seconds"
    raise Unavailable("model_loading", detail, retry_after_s=LOADING_RETRY_AFTER_S)
