"""Probes: is the process alive, has it started, should it get requests."""

from app.registry import Registry
from app.schemas import Health, ModelStatus


class Probes:
    """Answers of `/livez`, `/startupz` and `/readyz`; each is (healthy, report)."""

    def __init__(self, registry: Registry) -> None:
        """Watch the models of a registry."""
        self._registry = registry
        self._has_started = False
        self.is_draining = False

    def live(self) -> tuple[bool, Health]:
        """Not alive once a scheduler died or hangs: only a restart mends that."""
        broken = [
            f"{entry.name}: its scheduler {'hangs' if batcher.is_alive else 'died'}"
            for entry in self._registry
            if entry.served and (batcher := entry.served.batcher)
            if batcher.is_stuck or not batcher.is_alive
        ]
        return self._report("unavailable" if broken else "ok", broken)

    def started(self) -> tuple[bool, Health]:
        """Every task's default model has been ready once."""
        faults = self._default_faults()
        self._has_started = self._has_started or not faults
        return self._report("ok" if self._has_started else "starting", faults)

    def ready(self) -> tuple[bool, Health]:
        """Started, not draining, and every task's default model is ready."""
        faults = self._default_faults()
        if self.is_draining:
            return self._report("draining", ["the service is shutting down"])
        if not faults:
            return self._report("ok", [])
        is_loading = any(entry.state == "loading" for entry in self._registry)
        return self._report("starting" if is_loading else "unavailable", faults)

    def _default_faults(self) -> list[str]:
        faults = (self._registry.default_fault(task) for task in self._registry.tasks)
        return [fault for fault in faults if fault]

    def _report(self, status: str, reasons: list[str]) -> tuple[bool, Health]:
        models = [
            ModelStatus(name=entry.name, state=entry.state, reason=entry.reason)
            for entry in self._registry
        ]
        report = Health.model_validate({"status": status, "reasons": reasons, "models": models})
        return status == "ok", report
