"""The whole road on a tiny written corpus: raw text to a served package."""

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import onnx
import pytest
import yaml

from app.contract.errors import PackageError
from app.contract.golden import read_golden, replay
from app.contract.manifest import MODEL, read_manifest
from app.contract.pipeline import Package, predict
from app.sessions import OnnxSession
from tests.training.tiny_corpus import recipe_content, write_base, write_corpora, write_recipe
from training.__main__ import main
from training.datasets import read_split
from training.errors import StepError
from training.recipe_file import load_recipe
from training.run import Road

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Walked:
    """A finished road."""

    root: Path
    recipe: Path

    @property
    def store(self) -> Path:
        return self.root / "store"

    @property
    def runs(self) -> Path:
        return self.root / "runs" / "tiny"

    def command(self, *words: str) -> list[str]:
        return [
            *words,
            str(self.recipe),
            *("--data-dir", str(self.root / "data")),
            *("--work-dir", str(self.root / "runs")),
            *("--store", str(self.store)),
        ]


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Walked:
    root = tmp_path_factory.mktemp("road")
    write_corpora(root / "data")
    recipe = write_recipe(root / "recipe", recipe_content(write_base(root / "base")))
    road = Walked(root, recipe)
    assert main(road.command("run")) == 0
    return road


@pytest.mark.parametrize(
    ("model", "precision"), [("teacher-tiny", "fp32"), ("distil-tiny", "int8")]
)
def test_registered_packages_load_and_replay_in_the_service(
    walked: Walked, model: str, precision: str
) -> None:
    package = Package.load(walked.store / "ner" / model / "1")

    replay(package, OnnxSession(package.model_path, provider="cpu"))

    assert package.manifest.precision == precision
    assert len(read_golden(package.path).examples) == 2


def test_the_student_answers_a_sentence_it_never_saw(walked: Walked) -> None:
    package = Package.load(walked.store / "ner" / "distil-tiny" / "1")
    text = "Maria Radu a plecat ieri din Sibiu."

    answer = predict(package, OnnxSession(package.model_path, provider="cpu"), [text])[0]

    assert [(e.label, text[e.start : e.end]) for e in answer] == [
        ("PERSON", "Maria Radu"),
        ("GPE", "Sibiu"),
    ]


def test_what_was_evaluated_is_what_is_served(walked: Walked) -> None:
    package = Package.load(walked.store / "ner" / "distil-tiny" / "1")
    dev = read_split(walked.root / "data", "ronec", "valid[60%:]")

    answers = predict(
        package,
        OnnxSession(package.model_path, provider="cpu"),
        [sentence.text for sentence in dev],
    )

    right = sum(
        {(e.label, sentence.text[e.start : e.end]) for e in answer}
        == {
            ("PERSON", " ".join(sentence.words[:2])),
            ("GPE", sentence.words[-2]),
        }
        for sentence, answer in zip(dev, answers, strict=True)
    )
    score = package.manifest.quality["strict_f1_running_text"]
    assert score.n == 2 * len(dev)
    assert (score.value == 1.0) is (right == len(dev))


def test_the_student_reports_its_loyalty_and_its_teacher(walked: Walked) -> None:
    student = read_manifest(walked.store / "ner" / "distil-tiny" / "1")

    assert student.teacher == "ner/teacher-tiny:1"
    assert set(student.loyalty) == {
        "label_loyalty",
        "probability_loyalty",
        "probability_loyalty_base2",
        "span_loyalty",
    }


def test_the_student_knows_when_to_ask_the_teacher(walked: Walked) -> None:
    package = walked.store / "ner" / "distil-tiny" / "1"
    calibration = read_manifest(package).calibration
    record = json.loads((package / "eval.json").read_text(encoding="utf-8"))["calibration"]

    assert calibration
    assert calibration.teacher == "ner/teacher-tiny:1"
    assert calibration.data.split == "valid[60%:]"
    assert calibration.escalation.n == record["measured"]["inputs"]
    assert record["measured"]["inputs"] + record["fitted"]["inputs"] == 20
    assert "As a cascade with ner/teacher-tiny:1" in (package / "README.md").read_text("utf-8")
    assert read_manifest(walked.store / "ner" / "teacher-tiny" / "1").calibration is None


def test_the_aliases_point_to_student_and_teacher(walked: Walked) -> None:
    aliases = json.loads((walked.store / "ner" / "aliases.json").read_text(encoding="utf-8"))

    assert aliases == {"default": "distil-tiny", "teacher": "teacher-tiny"}


def test_a_report_is_written_with_its_picture(walked: Walked) -> None:
    report = (next(walked.runs.glob("evaluate-*")) / "report.md").read_text(encoding="utf-8")

    assert "`distil-tiny` keeps" in report
    assert next(walked.runs.glob("evaluate-*/report.png")).stat().st_size > 1000
    assert json.loads(next(walked.runs.glob("evaluate-*/report.json")).read_text("utf-8"))[
        "histories"
    ]


def test_a_second_run_repeats_nothing_and_registers_no_second_version(walked: Walked) -> None:
    before = {path: path.stat().st_mtime_ns for path in walked.runs.rglob("done.json")}

    assert main(walked.command("run")) == 0

    assert {path: path.stat().st_mtime_ns for path in walked.runs.rglob("done.json")} == before
    assert [path.name for path in (walked.store / "ner" / "distil-tiny").iterdir()] == ["1"]


def test_a_lost_step_is_done_again_from_the_steps_before_it(walked: Walked) -> None:
    original = walked.store / "ner" / "distil-tiny" / "1" / MODEL
    shutil.rmtree(next(walked.runs.glob("export-*")))

    assert main(walked.command("run", "--until", "export")) == 0

    again = next(walked.runs.glob("export-*")) / "distil-tiny.onnx"
    assert again.read_bytes() == original.read_bytes()


def test_only_products_with_weights_are_quantized(walked: Walked) -> None:
    graph = onnx.load(walked.store / "ner" / "distil-tiny" / "1" / MODEL).graph
    weights = {tensor.name for tensor in graph.initializer}

    integer = [node for node in graph.node if node.op_type == "MatMulInteger"]

    assert integer
    assert all(node.input[1] in weights for node in integer)
    assert any(node.op_type == "MatMul" for node in graph.node)


def test_another_licence_or_card_is_another_version(walked: Walked, tmp_path: Path) -> None:
    store = tmp_path / "store"
    shutil.copytree(walked.store, store)
    content = yaml.safe_load(walked.recipe.read_text(encoding="utf-8"))
    recipe = write_recipe(tmp_path / "recipe", content | {"licence": "mit"})
    command = replace(walked, recipe=recipe).command("register")

    assert main([*command, "--store", str(store)]) == 0

    assert read_manifest(store / "ner" / "distil-tiny" / "2").licence == "mit"


def test_a_damaged_newest_version_is_followed_by_a_whole_one(
    walked: Walked, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    shutil.copytree(walked.store, store)
    (store / "ner" / "distil-tiny" / "1" / MODEL).unlink()

    assert main([*walked.command("register"), "--store", str(store)]) == 0

    Package.load(store / "ner" / "distil-tiny" / "2")


def test_a_package_that_fails_its_checks_leaves_the_store_as_it_was(
    walked: Walked, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = write_recipe(
        tmp_path / "recipe", yaml.safe_load(walked.recipe.read_text(encoding="utf-8"))
    )
    (recipe.parent / "golden.txt").write_text("\u200b\n", encoding="utf-8")
    command = replace(walked, recipe=recipe).command("register")
    store = tmp_path / "store"

    assert main([*command, "--store", str(store)]) == 1

    assert "no readable character" in caplog.text
    assert [path for path in store.rglob("*") if path.is_file()] == []


def test_other_data_are_other_steps(walked: Walked, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(walked.root / "data", data)
    records = json.loads((data / "ronec" / "valid.json").read_text(encoding="utf-8"))
    records[0]["ner_tags"] = ["O"] * len(records[0]["tokens"])
    (data / "ronec" / "valid.json").write_text(json.dumps(records), encoding="utf-8")

    recipe = load_recipe(walked.recipe)
    before = Road(recipe, walked.root / "data", tmp_path, tmp_path)
    after = Road(recipe, data, tmp_path, tmp_path)

    assert before.folder("teacher-tiny") != after.folder("teacher-tiny")
    assert before.folder("distil-tiny") != after.folder("distil-tiny")


def test_other_words_about_a_model_repeat_no_step(walked: Walked, tmp_path: Path) -> None:
    content = yaml.safe_load(walked.recipe.read_text(encoding="utf-8"))
    content["teachers"]["teacher-tiny"]["description"] = "Another sentence."
    content["aliases"] = {}
    renamed = load_recipe(write_recipe(tmp_path / "recipe", content))

    folders = [
        [
            Road(recipe, walked.root / "data", tmp_path, tmp_path).folder(name)
            for name in (*recipe.models, "export", "evaluate")
        ]
        for recipe in (load_recipe(walked.recipe), renamed)
    ]

    assert folders[0] == folders[1]


def test_nothing_unfinished_stays_in_the_store(walked: Walked) -> None:
    assert [path for path in walked.store.rglob("*") if path.name.startswith(".")] == []


def test_registered_packages_compare_in_one_table(
    walked: Walked, capsys: pytest.CaptureFixture[str]
) -> None:
    packages = [str(walked.store / "ner" / name / "1") for name in ("teacher-tiny", "distil-tiny")]

    assert main(["compare", *packages]) == 0

    lines = capsys.readouterr().out.splitlines()
    rows = {line.split(" | ")[0].removeprefix("| ") for line in lines if line.startswith("|")}
    assert {"ner/teacher-tiny:1", "ner/distil-tiny:1", "distil-tiny-fp32"} <= rows


def test_a_malformed_corpus_stops_the_road_before_it_trains(
    walked: Walked, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = tmp_path / "data"
    shutil.copytree(walked.root / "data", data)
    (data / "ronec" / "valid.json").write_text('[\n{"id": 1}]', encoding="utf-8")
    command = ["run", str(walked.recipe), "--data-dir", str(data), "--work-dir", str(tmp_path)]

    assert main(command) == 1

    assert "valid.json:2: record 0: no ner_tags and no tokens" in caplog.text
    assert not (tmp_path / "tiny").exists()


def test_a_missing_data_directory_is_one_clear_line(
    walked: Walked, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert main(["run", str(walked.recipe), "--data-dir", str(tmp_path / "nowhere")]) == 1

    assert "no such folder of corpora; name one with --data-dir or LOYAL_DATA" in caplog.text


def recipe_of_another_student(walked: Walked, change: dict[str, object]) -> Path:
    """The tiny recipe with a teacher of the store and a student that it has not taught yet."""
    content = yaml.safe_load(walked.recipe.read_text(encoding="utf-8"))
    content["teachers"]["teacher-tiny"] |= {"registered": "ner/teacher-tiny/1"} | change
    student = content["students"].pop("distil-tiny")
    student["stages"][0]["epochs"] = 1
    content |= {"students": {"distil-again": student}, "aliases": {}}
    return write_recipe(walked.root / "again", content)


def test_a_teacher_of_the_store_teaches_without_being_trained_again(
    walked: Walked, tmp_path: Path
) -> None:
    path = recipe_of_another_student(walked, {})
    again = replace(walked, recipe=path)
    command = again.command("run")
    command[command.index("--work-dir") + 1] = str(tmp_path)

    assert main(command) == 0

    student = read_manifest(walked.store / "ner/distil-again/1")
    assert student.teacher == "ner/teacher-tiny:1"
    assert [path.name for path in (walked.store / "ner/teacher-tiny").iterdir()] == ["1"]
    [folder] = tmp_path.glob("tiny/teacher-tiny-*")
    assert not list(folder.glob("stage-*"))
    now, before = (
        json.loads((walked.store / "ner" / name / "1/eval.json").read_text("utf-8"))
        for name in ("distil-again", "teacher-tiny")
    )
    assert now["compared"]["teacher-tiny"]["quality"] == before["quality"]


@pytest.mark.parametrize(
    ("change", "mistake"),
    [
        ({"max_tokens": 40}, "reads as .*'max_tokens': 32.* the recipe says"),
        ({"registered": "ner/teacher-tiny/9"}, "manifest.json is missing|is no package"),
    ],
)
def test_a_teacher_that_the_store_does_not_have_as_the_recipe_says_is_refused(
    walked: Walked, tmp_path: Path, change: dict[str, object], mistake: str
) -> None:
    recipe = load_recipe(recipe_of_another_student(walked, change))

    with pytest.raises((StepError, PackageError), match=mistake):
        Road(recipe, walked.root / "data", tmp_path, walked.store).run("teachers")
