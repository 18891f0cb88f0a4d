"""Who can be compared with whom: the teacher of each task and its students, in a running store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Contenders:
    """The models of one task that are compared, as `<model>:<version>`.

    Attributes:
        teacher: what the alias `teacher` means.
        students: the newest version of every other model that has a teacher or is the default.
    """

    task: str
    teacher: str
    students: tuple[str, ...]

    @property
    def models(self) -> tuple[str, ...]:
        """All of them, the teacher first."""
        return (self.teacher, *self.students)


def find_contenders(
    served: Mapping[str, Any], tasks: Sequence[str]
) -> tuple[list[Contenders], dict[str, str]]:
    """Who competes in each task, and why nobody does in the others.

    Args:
        served: the answer of /v1/models.
        tasks: that are wanted.

    Returns:
        The contenders of the tasks that have any, and task -> reason of those that have none.
    """
    found, skipped = [], {}
    of_task = {task["task"]: task["models"] for task in served["tasks"]}
    for task in tasks:
        models = of_task.get(task, [])
        ready = [model for model in models if model["state"] == "ready"]
        teachers = [model for model in ready if "teacher" in model["aliases"]]
        taught = {f"{task}/{_name(teacher)}" for teacher in teachers}
        newest = {m["model"]: m for m in sorted(ready, key=lambda model: int(model["version"]))}
        students = [
            model
            for name, model in sorted(newest.items())
            if (model.get("teacher") in taught or "default" in model["aliases"])
            and model not in teachers
        ]
        if not models:
            skipped[task] = "the store has no model of it"
        elif not teachers:
            skipped[task] = "no teacher is in service" + _reasons(models)
        elif not students:
            skipped[task] = "no student is in service" + _reasons(models)
        else:
            found.append(Contenders(task, _name(teachers[0]), tuple(map(_name, students))))
    return found, skipped


def _name(model: Mapping[str, Any]) -> str:
    return f"{model['model']}:{model['version']}"


def _reasons(models: Sequence[Mapping[str, Any]]) -> str:
    reasons = [model["reason"] for model in models if model.get("reason")]
    return f" ({'; '.join(reasons)})" if reasons else ""
