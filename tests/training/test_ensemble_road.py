"""Two teachers with different vocabularies, one student of both: a text task and a pair task."""

import itertools
import json
from pathlib import Path

import pytest
import yaml
from transformers import AutoModelForMaskedLM, AutoTokenizer

from app.contract.manifest import read_manifest
from app.contract.pipeline import Package, predict
from app.sessions import OnnxSession
from tests.training.tiny_corpus import (
    PEOPLE,
    PLACES,
    distilled_encoder_content,
    encoder_content,
    write_base,
    write_corpora,
    write_recipe,
)
from training.__main__ import main
from training.encoder import find_encoder
from training.encoder_recipe import EncoderRecipe
from training.recipe_file import load_recipe
from training.run import Road

pytestmark = pytest.mark.slow
STAGE = {"epochs": 10, "batch_size": 8, "learning_rate": 5e-3}


def write_task_corpora(data: Path) -> None:
    """Whoever is in Iași is glad; pairs mean the same if they name the same place."""
    texts = [
        f"{person} ajunge la {place}.\t{int(place in ('Iași', 'Sibiu'))}\n"
        for person, place in itertools.product(PEOPLE, PLACES)
    ]
    (data / "sst2").mkdir()
    (data / "sst2" / "train.tsv").write_text("".join(texts), encoding="utf-8")
    (data / "sst2" / "dev.tsv").write_text("".join(texts[::3]), encoding="utf-8")
    pairs = [
        f"{5.0 if a == b else 0.0}\tAna Pop ajunge la {a}.\tDan Ionescu ajunge la {b}.\n"
        for a, b in itertools.product(PLACES, PLACES)
        for _ in range(2 if a == b else 1)
    ]
    (data / "ro-sts").mkdir()
    (data / "ro-sts" / "RO-STS.train.tsv").write_text("".join(pairs), encoding="utf-8")
    # Pairs that dev repeats would be left out of train: here both are slices of train.
    (data / "ro-sts" / "RO-STS.dev.tsv").write_text("1.0\tNimeni.\tNimic.\n", encoding="utf-8")


def ensemble_recipe(base: Path, task: str, corpus: str, train: str, dev: str) -> dict:
    stage = STAGE | {"data": [{"corpus": corpus, "split": train}]}
    common = {"description": "A model.", "dropout": 0.0, "stages": [stage]}
    return {
        "name": "tiny",
        "task": task,
        "seed": 1,
        "languages": ["ro"],
        "licence": "apache-2.0",
        "data_notes": "Sentences written for the tests.",
        "golden": "golden.txt",
        "dev": {"corpus": corpus, "split": dev},
        "teachers": {
            name: common
            | {
                "encoder": {"recipe": encoder_content(base, lowercase=lowercase)},
                "max_tokens": 32,
                "stride": 8,
            }
            for name, lowercase in (("teacher-cased", False), ("teacher-uncased", True))
        },
        "students": {
            "distil-multi": common
            | {
                "teachers": ["teacher-cased", "teacher-uncased"],
                "layers": [0],
                "temperature": 2.0,
                "weights": {"soft": 1.0, "hard": 0.5, "hidden": 1.0},
            }
        },
        "register_only": ["teacher-cased", "distil-multi"],
        "aliases": {"default": "distil-multi", "teacher": "teacher-cased"},
    }


def general_recipe(root: Path, *, seed: int = 1) -> dict:
    """A student of both teachers that starts from an encoder distilled from theirs."""
    recipe = ensemble_recipe(root / "base", "sentiment", "sst2", "train", "dev")
    encoders = [t["encoder"]["recipe"] for t in recipe["teachers"].values()]
    student = recipe["students"].pop("distil-multi")
    del student["layers"]
    student["encoder"] = {"recipe": distilled_encoder_content(*encoders) | {"seed": seed}}
    recipe["students"]["distil-general"] = student
    recipe |= {"register_only": ["teacher-cased", "distil-general"]}
    return recipe | {"aliases": {"default": "distil-general"}}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("ensemble")
    write_task_corpora(write_corpora(root / "data"))
    write_base(root / "base")
    return root


def walk(root: Path, content: dict, golden: str) -> Path:
    """Walk the road of a task; returns its part of the store."""
    task = content["task"]
    recipe = write_recipe(root / task, content)
    (recipe.parent / "golden.txt").write_text(f"{golden}\n", encoding="utf-8")
    folders = ("--data-dir", "data", "--work-dir", "runs", "--store", "store")
    options = [word if word.startswith("--") else str(root / word) for word in folders]
    assert main(["run", str(recipe), *options]) == 0
    return root / "store" / task


def test_a_student_of_two_vocabularies_learns_a_text_task(root: Path) -> None:
    recipe = ensemble_recipe(root / "base", "sentiment", "sst2", "train", "dev")
    store = walk(root, recipe, "Maria Stan ajunge la Iași.")

    package = Package.load(store / "distil-multi" / "1")
    run = OnnxSession(package.model_path, provider="cpu")
    answers = predict(package, run, ["Ion Radu ajunge la Sibiu.", "Ion Radu ajunge la Brașov."])

    assert [answer[0].label for answer in answers] == ["positive", "negative"]
    assert set(package.manifest.quality) == {"accuracy", "macro_f1"}
    assert package.manifest.teacher == "sentiment/teacher-cased:1"


def test_loyalty_is_reported_to_each_teacher(root: Path) -> None:
    evaluation = json.loads(
        next((root / "store/sentiment/distil-multi").glob("*/eval.json")).read_text("utf-8")
    )

    assert set(evaluation["loyalty_to"]) == {"teacher-cased", "teacher-uncased"}
    assert evaluation["loyalty"] == evaluation["loyalty_to"]["teacher-cased"]


def test_only_the_named_models_become_packages(root: Path) -> None:
    models = {path.parent.parent.name for path in (root / "store").glob("*/*/*/manifest.json")}

    assert models == {"teacher-cased", "distil-multi"}


def test_a_pair_task_reads_pairs_and_reports_correlations(root: Path) -> None:
    recipe = ensemble_recipe(root / "base", "sts", "ro-sts", "train[:80%]", "train[80%:]")
    store = walk(root, recipe, "Ana Pop ajunge la Iași.\tIon Radu ajunge la Iași.")

    manifest = read_manifest(store / "distil-multi" / "1")

    assert set(manifest.quality) == {"pearson", "spearman"}
    assert set(manifest.loyalty) == {"regression_loyalty_pearson", "regression_loyalty"}


def test_a_student_starts_from_an_encoder_distilled_from_both(root: Path) -> None:
    recipe = general_recipe(root)
    store = walk(root, recipe, "Maria Stan ajunge la Iași.")

    package = Package.load(store / "distil-general" / "1")
    run = OnnxSession(package.model_path, provider="cpu")
    answers = predict(package, run, ["Ion Radu ajunge la Sibiu.", "Ion Radu ajunge la Brașov."])

    assert [answer[0].label for answer in answers] == ["positive", "negative"]
    assert len(list((root / "runs" / "encoder-distilled").glob("encoder-*/done.json"))) == 1


def test_another_encoder_makes_another_student_of_the_same_teachers(
    root: Path, tmp_path: Path
) -> None:
    recipes = [general_recipe(root), general_recipe(root, seed=2)]
    roads = [
        Road(
            load_recipe(write_recipe(tmp_path / str(i), recipe)), root / "data", tmp_path, tmp_path
        )
        for i, recipe in enumerate(recipes)
    ]

    teachers, students = (
        {road.folder(name) for road in roads} for name in ("teacher-uncased", "distil-general")
    )

    assert len(teachers) == 1
    assert len(students) == 2


def test_a_distilled_encoder_is_published_with_its_card(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.encoder.PUBLISHED", tmp_path / "encoders")
    teachers = [encoder_content(root / "base", lowercase=lowercase) for lowercase in (False, True)]
    content = distilled_encoder_content(*teachers)
    folder = tmp_path / "recipes"
    (folder / "teachers").mkdir(parents=True)
    for teacher, place in zip(teachers, content["distil"]["teachers"], strict=True):
        place["recipe"] = f"teachers/{teacher['name']}.yaml"
        (folder / place["recipe"]).write_text(yaml.safe_dump(teacher), encoding="utf-8")
    path = folder / "encoder-distilled.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    folders = ["--data-dir", str(root / "data"), "--work-dir", str(root / "runs")]

    assert main(["run", str(path), *folders]) == 0

    context = {"folder": folder}
    recipe = EncoderRecipe.model_validate({"recipe": path.name}, context=context)
    source = find_encoder(recipe, tmp_path / "elsewhere")
    assert source == str(tmp_path / "encoders" / "encoder-distilled")
    assert AutoModelForMaskedLM.from_pretrained(source).config.num_hidden_layers == 1
    assert AutoTokenizer.from_pretrained(source).tokenize("Ana") == ["Ana"]
    card = (Path(source) / "README.md").read_text(encoding="utf-8")
    assert "Distilled from encoder and encoder-uncased on 5,120 tokens" in card
    assert "where its first teacher has" in card
