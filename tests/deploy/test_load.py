"""A short load test of tiny models with Locust; `make load` takes the real store."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("locust", reason="Locust is in the dependency groups `load` and `deploy`")

ROOT = Path(__file__).parents[2]


@pytest.mark.e2e
def test_teacher_and_student_stand_side_by_side_in_the_report(
    only: Callable[..., Path], tmp_path: Path
) -> None:
    output = tmp_path / "output"

    done = subprocess.run(
        [
            *(sys.executable, "-m", "loadtests.compare", "--tasks", "ner", "sts", "qa"),
            *("--users", "2", "--seconds", "1", "--repetitions", "1", "--open-share", "0.5"),
            *("--model-store", str(only("ner", "sts")), "--output", str(output)),
        ],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name[:6] != "LOYAL_"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    result = json.loads((output / "results/load.json").read_bytes())
    rows = [(row["task"], row["model"], row["load"].partition(",")[0]) for row in result["rows"]]
    assert rows == [
        (task, model, load)
        for task in ("ner", "sts")
        for load in ("2 users", "open")
        for model in ("tiny-teacher:1", "tiny:1")
    ]
    for row in result["rows"]:
        assert row["answered_by"] == [f"{row['task']}/{row['model']}"]
        assert row["requests"] > 0
        assert row["errors"] == 0
        assert row["p50_ms"] <= row["p95_ms"] <= row["p99_ms"] <= row["cdf_ms"][-1] + 0.001
        assert 0 <= row["padding_share"] < 1
    assert {row["model"] for row in result["ratios"]} == {"tiny:1"}
    assert all(row["p99"]["n"] == 1 for row in result["ratios"])
    [words, scores] = result["loyalty"]
    assert (words["label_ratio"], scores["regression_mae"]) == (1, 0)
    assert result["skipped"] == {"qa": "the store has no model of it"}
    report = (output / "RESULTS.md").read_text()
    assert "Left out: qa, the store has no model of it." in report
    for picture in ("load-latency.png", "load-throughput.png"):
        assert f"results/{picture}" in report
        assert (output / "results" / picture).read_bytes().startswith(b"\x89PNG")


def test_store_without_a_pair_is_one_clear_line(store: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "loadtests.compare", "--tasks", "ner", "--model-store", str(store)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"nothing to compare in {store}: no task has teacher and student"
    )
