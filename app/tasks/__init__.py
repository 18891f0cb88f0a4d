"""The tasks that are served, by name."""

from typing import Any

from app.tasks.classification import DIALECT, SENTIMENT
from app.tasks.ner import NER
from app.tasks.parse import PARSE
from app.tasks.qa import QA
from app.tasks.sts import STS
from app.tasks.tagging import TAGGING
from app.tasks.task import Task

TASKS: dict[str, Task[Any]] = {
    task.name: task for task in (TAGGING, NER, SENTIMENT, STS, DIALECT, PARSE, QA)
}
"""Any: each has parameters of its own type, which only the task itself looks into."""
