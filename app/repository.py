"""Store operations while the service runs: load, unload, default, canary, aliases.

Every operation makes the new state ready first and then switches, so that no request meets the
time in between. What serves is, per model, the newest sound version, those that an alias names, and
those that an operator loaded by number; the others are unloaded once nothing leads to them.
"""

import asyncio
import logging
from dataclasses import dataclass
from pathlib import Path

from app.errors import RequestError, StoreConflict
from app.loading import Entry
from app.registry import Registry, Versions
from app.store import Aliases, Canary, find_versions, read_aliases, write_aliases

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Role:
    """What a model version is to become once it is loaded.

    Attributes:
        is_default: it answers requests that name no model.
        canary_weight: share of those requests that it takes, in [0, 1]; 0 ends the canary.
    """

    is_default: bool = False
    canary_weight: float | None = None


@dataclass(frozen=True, slots=True)
class Loaded:
    """What an operation led to.

    Attributes:
        entry: that is ready now.
        aliases: of its task.
        is_persistent: whether aliases.json says the same; None if they were not changed.
    """

    entry: Entry
    aliases: Aliases | None
    is_persistent: bool | None = None


class Repository:
    """Changes what a registry serves; one operation at a time."""

    def __init__(self, registry: Registry, store: Path) -> None:
        """Operate on this registry.

        Args:
            registry: of the application.
            store: folder that it was filled from.
        """
        self._registry = registry
        self._store = store
        self._turn = asyncio.Lock()
        self._unloading: set[asyncio.Task[None]] = set()

    async def load(
        self, task: str, name: str, *, version: int | None = None, role: Role | None = None
    ) -> Loaded:
        """Load a version that the store holds, then let requests be answered by it.

        A version that fails takes no request: what answered before answers on.

        Args:
            task: that is served.
            name: of a model, or an alias; the model may be new in the store.
            version: the newest in the store if not given.
            role: what it becomes.

        Raises:
            RequestError: unknown task, model or version.
            StoreConflict: it cannot be loaded, and why.
        """
        async with self._turn:
            self._registry.models(task)
            model = self._registry.targets(task).get(name, name).partition(":")[0]
            entry = await self._make_ready(task, model, version)
            entry.is_pinned = entry.is_pinned or version is not None
            persistent = None
            if role:
                target = model if version is None else f"{model}:{version}"
                aliases = _with_role(self._registry.shelves[task].aliases, target, role)
                self._registry.set_aliases(task, aliases)
                persistent = await asyncio.to_thread(self._persist, task, aliases)
            self._unload_unmeant(task)
            return Loaded(entry, self._registry.shelves[task].aliases, persistent)

    async def reload_aliases(self, task: str) -> Loaded:
        """Read a task's aliases again, load what they name, then switch to them.

        Raises:
            RequestError: unknown task.
            StoreConflict: the file, or a model that it names, cannot be used; the old aliases stay.
        """
        async with self._turn:
            self._registry.models(task)
            aliases, fault = await asyncio.to_thread(read_aliases, self._store / task)
            if aliases is None:
                detail = f"{fault}; the aliases of {task} stay as they were"
                raise StoreConflict("aliases_unusable", detail)
            for name in self._wanted_at_once(aliases):
                model, _, version = name.partition(":")
                try:
                    await self._make_ready(task, model, int(version) if version else None)
                except RequestError as error:
                    raise StoreConflict("aliases_unusable", str(error)) from error
            self._registry.set_aliases(task, aliases)
            self._unload_unmeant(task)
            return Loaded(self._registry.find(task, None), aliases)

    async def unload(self, task: str, name: str | None, *, version: int | None = None) -> None:
        """Take a model, or one version of it, out of service; return when its memory is free.

        Requests that it has accepted are answered.

        Raises:
            RequestError: unknown task, model or version.
            StoreConflict: it is what the task answers with, and no other version can.
        """
        async with self._turn:
            model = self._registry.find(task, name).model
            versions = self._registry.models(task)[model]
            if version is not None:
                leaving = [self._registry.find(task, f"{model}:{version}")]
            else:
                leaving = list(versions.entries.values())
            self._step_aside(task, versions, leaving)
            await asyncio.gather(*(self._registry.loader.unload(entry) for entry in leaving))

    async def _make_ready(self, task: str, model: str, version: int | None) -> Entry:
        """Load a version and let its model's name mean the newest that is ready."""
        folders = await asyncio.to_thread(find_versions, self._store / task, model)
        self._registry.restock(task, model, folders)
        newest = self._registry.find(task, model).version
        entry = self._registry.find(task, f"{model}:{version or max(folders, default=newest)}")
        await self._registry.loader.load(entry)
        versions = self._registry.models(task)[model]
        if entry.state != "ready":
            answers = versions.entries[versions.current]
            still = f"; {answers.name} answers on" if answers.state == "ready" else ""
            raise StoreConflict("load_failed", f"{entry.name} cannot serve: {entry.reason}{still}")
        versions.current = max(v for v, e in versions.entries.items() if e.state == "ready")
        return entry

    def _wanted_at_once(self, aliases: Aliases) -> list[str]:
        """What is loaded before these aliases hold; the rest loads at its first request."""
        names = [aliases.default, *([aliases.canary.model] if aliases.canary else [])]
        if aliases.teacher and not self._registry.loads_on_demand:
            names.append(aliases.teacher)
        return names

    def _step_aside(self, task: str, versions: Versions, leaving: list[Entry]) -> None:
        """Let the model's name mean a version that stays; refuse if the default would go."""
        before = versions.current
        staying = [e for e in versions.newest_first if e.state == "ready" and e not in leaving]
        if staying and versions.entries[versions.current] in leaving:
            versions.current = staying[0].version
        default = self._registry.default(task)
        if default and default in leaving:
            versions.current = before
            detail = (
                f"{default.name} is the default of {task} and no other loaded version can take "
                "its place; load one, or make another model the default first"
            )
            raise StoreConflict("model_needed", detail)

    def _unload_unmeant(self, task: str) -> None:
        for versions in self._registry.models(task).values():
            for entry in versions.entries.values():
                keeps = entry.is_pinned or entry is versions.newest_ready
                if entry.state == "ready" and not keeps and not self._registry.is_meant(entry):
                    unload = self._registry.loader.unload(entry, wish=self._registry.idle_wish)
                    work = asyncio.create_task(unload)
                    self._unloading.add(work)
                    work.add_done_callback(self._unloading.discard)

    def _persist(self, task: str, aliases: Aliases) -> bool:
        try:
            write_aliases(self._store / task, aliases)
        except OSError as error:
            logger.warning("aliases_not_written", extra={"task": task, "reason": error.strerror})
            return False
        return True


def _with_role(aliases: Aliases | None, target: str, role: Role) -> Aliases:
    """The aliases after a model took a role; it becomes the default where there is none."""
    if aliases is None or role.is_default:
        aliases = (
            aliases.model_copy(update={"default": target}) if aliases else Aliases(default=target)
        )
    if role.canary_weight is not None:
        canary = Canary(model=target, weight=role.canary_weight) if role.canary_weight else None
        aliases = aliases.model_copy(update={"canary": canary})
    return aliases
