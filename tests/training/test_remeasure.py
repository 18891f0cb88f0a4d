"""Packages of an earlier decoding become their models' next versions."""

import json
import shutil
from pathlib import Path

import pytest

from app.contract.golden import replay
from app.contract.heads import SpanHead
from app.contract.manifest import EVALUATION, MODEL
from app.contract.pipeline import Package
from tests.training.tiny_corpus import recipe_content, write_base, write_corpora, write_recipe
from training import data
from training.__main__ import main
from training.compare import compare, newest_packages
from training.runners import package_runner


@pytest.mark.slow
def test_models_of_a_recipe_are_measured_anew_and_keep_their_graphs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_corpora(tmp_path / "data")
    recipe = write_recipe(tmp_path / "recipe", recipe_content(write_base(tmp_path / "base")))
    store = tmp_path / "store"
    folders = [str(recipe), "--data-dir", str(tmp_path / "data"), "--store", str(store)]
    with monkeypatch.context() as earlier:
        earlier.setattr(data, "DECODING", "greedy")
        assert main(["run", *folders, "--work-dir", str(tmp_path / "runs")]) == 0

    assert main(["remeasure", *folders]) == 0
    assert main(["remeasure", *folders]) == 0

    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last == {
        name: str(store / "ner" / name / "2") for name in ("teacher-tiny", "distil-tiny")
    }
    before, after = (Package.load(store / "ner" / "distil-tiny" / version) for version in "12")
    replay(after, package_runner(after))
    assert isinstance(before.head, SpanHead)
    assert isinstance(after.head, SpanHead)
    assert (before.head.decoding, after.head.decoding) == ("greedy", "viterbi")
    assert before.manifest.files[MODEL] == after.manifest.files[MODEL]
    assert after.manifest.teacher == "ner/teacher-tiny:2"
    assert after.manifest.calibration
    assert after.manifest.calibration.teacher == "ner/teacher-tiny:2"
    assert after.manifest.loyalty["label_loyalty"] == before.manifest.loyalty["label_loyalty"]
    assert "measured anew by `python -m training remeasure" in (after.path / "README.md").read_text(
        "utf-8"
    )
    record = json.loads((after.path / EVALUATION).read_text("utf-8"))
    assert record["remeasured"]["command"].startswith("python -m training remeasure")
    assert record["compared"]["distil-tiny"]["quality"] == record["quality"]
    (run,) = compare(newest_packages(store))
    assert [row.name for row in run.rows] == [
        "teacher-tiny-fp32 (greedy)",
        "ner/teacher-tiny:2",
        "distil-tiny-fp32 (greedy)",
        "ner/distil-tiny:2",
    ]
    assert main(["run", *folders, "--work-dir", str(tmp_path / "runs")]) == 0
    assert Package.load(store / "ner" / "distil-tiny" / "3").head == after.head


@pytest.mark.slow
def test_a_student_keeps_the_name_of_a_teacher_that_is_another_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_corpora(tmp_path / "data")
    content = recipe_content(write_base(tmp_path / "base"))
    recipe = write_recipe(tmp_path / "recipe", content)
    store = tmp_path / "store"
    folders = [str(recipe), "--data-dir", str(tmp_path / "data"), "--store", str(store)]
    with monkeypatch.context() as earlier:
        earlier.setattr(data, "DECODING", "greedy")
        assert main(["run", *folders, "--work-dir", str(tmp_path / "runs")]) == 0
    student = store / "ner" / "distil-tiny"
    manifest = json.loads((student / "1" / "manifest.json").read_text("utf-8"))
    shutil.rmtree(store / "ner" / "teacher-tiny")

    assert main(["remeasure", *folders]) == 0

    after = Package.load(student / "2").manifest
    assert after.teacher == manifest["teacher"] == "ner/teacher-tiny:1"
    assert after.calibration is None
    assert "span_loyalty" not in after.loyalty
    assert after.loyalty["label_loyalty"].value == manifest["loyalty"]["label_loyalty"]["value"]


def test_a_recipe_without_packages_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_corpora(tmp_path / "data")
    recipe = write_recipe(tmp_path, recipe_content(tmp_path))
    folders = ["--data-dir", str(tmp_path / "data"), "--store", str(tmp_path / "store")]

    assert main(["remeasure", str(recipe), *folders]) == 1

    assert "none of teacher-tiny, distil-tiny is in it" in caplog.text
