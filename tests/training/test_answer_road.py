"""From questions to served readers, by every recipe of distillation."""

import json
from pathlib import Path

import pytest

from app.contract.encoded_text import Pair
from app.contract.golden import replay
from app.contract.heads import AnswerHead
from app.contract.pipeline import Package, predict
from app.sessions import OnnxSession
from tests.training.tiny_corpus import write_recipe
from tests.training.tiny_questions import recipe_content, write_questions
from training.__main__ import main

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("questions")
    write_questions(root / "data")
    recipe = write_recipe(root, recipe_content(root / "base"))
    golden = "¿Dónde vive Ana?\tEl vecino Ana vive en Lima desde enero.\n"
    (root / "golden.txt").write_text(golden, encoding="utf-8")
    folders = ("--data-dir", "data", "--work-dir", "runs", "--store", "store")
    options = [word if word.startswith("--") else str(root / word) for word in folders]
    assert main(["run", str(recipe), *options]) == 0
    return root


@pytest.mark.parametrize("model", ["teacher", "joint", "staged"])
def test_readers_are_registered_and_replayed(walked: Path, model: str) -> None:
    package = Package.load(walked / "store" / "qa" / model / "1")

    replay(package, OnnxSession(package.model_path, provider="cpu"))

    assert package.head == AnswerHead(can_abstain=True)
    assert package.manifest.teacher == (None if model == "teacher" else "qa/teacher:1")
    assert set(package.manifest.quality) == {
        "f1_mlqa_es", "exact_match_mlqa_es", "f1", "exact_match",
    }  # fmt: skip


def test_the_joint_student_answers_what_it_never_saw(walked: Path) -> None:
    """Ana in Lima is in the development part alone."""
    package = Package.load(walked / "store" / "qa" / "joint" / "1")
    context = "El vecino Ana vive en Lima desde enero."

    [found] = predict(
        package,
        OnnxSession(package.model_path, provider="cpu"),
        [Pair("¿Dónde vive Ana?", context)],
    )

    assert context[found[0].start : found[0].end] == "Lima"


def test_loyalty_is_of_answers_starts_and_ends(walked: Path) -> None:
    package = Package.load(walked / "store" / "qa" / "staged" / "1")

    assert set(package.manifest.loyalty) == {
        "label_loyalty",
        "answer_f1_loyalty",
        *(
            f"{place}_{kind}_loyalty"
            for place in ("start", "end")
            for kind in ("label", "probability")
        ),
    }


def test_scores_are_watched_while_a_reader_learns(walked: Path) -> None:
    [path] = (walked / "runs" / "tiny").glob("teacher-*/history.json")

    history = json.loads(path.read_text(encoding="utf-8"))

    assert [0 <= entry["dev_f1"] <= 1 for entry in history] == [True] * 6


def test_readers_compare_in_one_table(walked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "--store", str(walked / "store")]) == 0

    shown = capsys.readouterr().out
    assert "| qa/joint:1 | int8 |" in shown
    assert "*SpanishTinyRoBERTa*" in shown
