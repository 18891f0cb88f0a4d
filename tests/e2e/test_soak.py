"""A short soak over all seven tasks; `make soak` takes ten minutes, over a real store."""

from pathlib import Path

import pytest

from app.contract.manifest import TASKS
from loadtests.servers import service
from loadtests.soak import GOAL, learn, soak
from tests.tiny_package import build_all

pytestmark = pytest.mark.e2e


def test_mixed_requests_to_all_tasks_leave_memory_flat_and_metrics_that_add_up(
    tmp_path: Path,
) -> None:
    build_all(tmp_path)

    with service(str(tmp_path), log_level="warning", max_queue_ms=10_000) as loyal:
        tasks = loyal.get("/v1/models")["tasks"]
        models = [model for task in tasks for model in task["models"] if model["model"] == "tiny"]
        expected, _ = learn(loyal, models)
        soak(loyal, expected, minutes=0.1, clients=8)  # memory that stays is taken once
        result = soak(loyal, expected, minutes=0.4, clients=8)

    assert {model["task"] for model in models} == set(TASKS)
    assert result["n"] > 100
    assert result["without_reply"] == 0
    assert [check["what"] for check in result["checks"] if not check["equal"]] == []
    assert result["rss_growth"] <= GOAL
