"""`python -m app bench`: what is measured, of which models, and what a wrong request says."""

import json
from pathlib import Path

import pytest

from app.bench import Plan, Row, bench, engines_here, table
from app.contract.errors import PackageError
from app.contract.manifest import MODEL
from app.errors import StartupError
from app.gpu import gpu_fault
from app.memory import resident_bytes
from app.settings import Settings
from tests.app.process import command
from tests.tiny_package import MAX_TOKENS, build

QUICK = ("--engines", "onnxruntime", "--batches", 1, 3, "--lengths", 8, 99, "--seconds", 0.01)


def test_every_model_has_a_row_for_each_batch_and_length_that_it_can_read(store: Path) -> None:
    build(store, task="sts")

    result = command("bench", "--json", *QUICK, "--model-store", store)

    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.returncode == 0
    assert [(row["model"], row["batch"], row["length"]) for row in rows] == [
        (model, batch, 8) for model in ("ner/tiny:1", "sts/tiny:1") for batch in (1, 3)
    ]
    for row in rows:
        assert (row["runtime"], row["precision"]) == ("onnxruntime", "fp32")
        assert row["provider"] == "CPUExecutionProvider"
        assert row["runs"] >= 2
        assert 0 < row["p50_ms"] <= row["p99_ms"]
        assert row["texts_per_s"] > 0
        assert 0 < row["model_mb"] < row["rss_mb"]


def test_faulty_package_is_one_line_beside_the_rows_of_the_others(store: Path) -> None:
    (build(store, model="faulty") / MODEL).unlink()

    result = command("bench", *QUICK, "--model-store", store)

    assert result.returncode == 1
    [line] = result.stderr.splitlines()
    assert line == "error: ner/faulty:1: model.onnx is missing"
    assert [one.split()[0] for one in result.stdout.splitlines()] == ["model"] + ["ner/tiny:1"] * 2


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (["--engines", "abacus"], 2, "invalid choice: 'abacus'"),
        (["--batches", "0"], 2, "must be above 0 and finite, got 0"),
        (["--seconds", "inf"], 2, "must be above 0 and finite, got inf"),
        (["--model-store", "nowhere"], 1, "nowhere is missing; set LOYAL_MODEL_STORE"),
    ],
)
def test_wrong_request_is_refused(arguments: list[str], code: int, named: str) -> None:
    result = command("bench", *arguments)

    assert result.returncode == code
    assert named in result.stderr.splitlines()[-1]


def test_gpu_that_is_not_there_is_refused_if_it_was_named() -> None:
    if gpu_fault() is None:
        pytest.skip("this machine has a GPU")

    with pytest.raises(StartupError, match="LOYAL_PROVIDER is cuda"):
        engines_here(["cuda"])
    assert "onnxruntime" in engines_here()
    assert "cuda" not in engines_here()


def test_model_whose_windows_are_shorter_is_measured_at_its_longest(store: Path) -> None:
    plan = Plan(batches=(1,), lengths=(512,), seconds=0.01)

    [[row]] = bench([store / "ner/tiny/1"], Settings(), plan, ["onnxruntime"])

    assert isinstance(row, Row)
    assert row.length == MAX_TOKENS


def test_package_that_cannot_be_used_is_yielded_as_its_fault(store: Path) -> None:
    [found] = bench([store / "ner/none/1"], Settings(), Plan(), ["onnxruntime"])

    assert isinstance(found, PackageError)


def test_table_has_columns() -> None:
    row = Row("ner/a:1", "onnxruntime", "CPU", "fp32", 1, 16, 9, 1.5, 2.25, 666.7, 90.0, 10.0)

    head, line = table([row]).splitlines()

    assert head.split() == list(Row.__dataclass_fields__)
    assert line.index("666.7") + len("666.7") == head.index("texts_per_s") + len("texts_per_s")


def test_memory_of_this_process_is_more_than_nothing() -> None:
    assert 10e6 < resident_bytes() < 100e9
