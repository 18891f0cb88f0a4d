"""What `/v1/models` tells about the models: manifest, limits, state."""

from app.contract.heads import label_names
from app.contract.manifest import Manifest, Score
from app.loading import Entry
from app.registry import Registry
from app.schemas import Limits, ModelInfo, TaskInfo, TaskList
from app.settings import Settings


class Catalog:
    """Describes the entries of a registry."""

    def __init__(self, registry: Registry, settings: Settings) -> None:
        """Describe this registry under these limits."""
        self._registry = registry
        self._settings = settings

    def tasks(self) -> TaskList:
        """All tasks."""
        return TaskList(tasks=[self.task(task) for task in self._registry.tasks])

    def task(self, task: str) -> TaskInfo:
        """One task.

        Raises:
            RequestError: unknown task.
        """
        models = [self._describe(entry) for entry in self._registry.versions(task)]
        fault = self._registry.shelves[task].alias_fault
        return TaskInfo(task=task, alias_fault=fault, models=models)

    def model(self, task: str, name: str) -> ModelInfo:
        """One model version; `name` as in a request.

        Raises:
            RequestError: unknown task, model or version.
            Unavailable: `name` is an alias that leads nowhere.
        """
        return self._describe(self._registry.find(task, name))

    def _describe(self, entry: Entry) -> ModelInfo:
        fields: dict[str, object] = {
            "name": entry.name,
            "task": entry.task,
            "model": entry.model,
            "version": entry.version,
            "aliases": self._registry.aliases(entry),
            "state": entry.state,
            "reason": entry.reason,
        }
        if entry.served:
            engine = entry.served.engine
            fields |= {
                "runtime": engine.session.runtime,
                "provider": engine.session.provider,
                "ms_per_token": round(engine.seconds_per_token * 1000, 4),
            }
        if entry.manifest:
            fields |= self._manifest_fields(entry, entry.manifest)
        return ModelInfo.model_validate(fields)

    def _manifest_fields(self, entry: Entry, manifest: Manifest) -> dict[str, object]:
        files = (entry.path / name for name in manifest.files)
        settings = self._settings
        return {
            "description": manifest.description,
            "labels": label_names(manifest.head) or None,
            "rating": list(getattr(manifest.head, "rating", ())) or None,
            "languages": list(manifest.languages),
            "licence": manifest.licence,
            "base": manifest.base,
            "teacher": manifest.teacher,
            "precision": manifest.precision,
            "weights": manifest.weights,
            "parameters": manifest.parameters,
            "size_bytes": sum(file.stat().st_size for file in files if file.is_file()),
            "quality": _scores(manifest.quality),
            "loyalty": _scores(manifest.loyalty),
            "created": manifest.created,
            "commit": manifest.commit,
            "limits": Limits(
                max_tokens_per_window=manifest.encoder.max_tokens,
                stride=manifest.encoder.stride,
                max_texts_per_request=settings.max_texts_per_request,
                max_chars_per_text=settings.max_chars_per_text,
                max_chars_per_context=settings.max_chars_per_context,
                max_body_bytes=settings.max_body_bytes,
                request_timeout_ms=settings.request_timeout_ms,
            ),
        }


def _scores(scores: dict[str, Score]) -> dict[str, dict[str, float]]:
    return {name: score.model_dump() for name, score in scores.items()}
