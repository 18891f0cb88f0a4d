"""Sentiment with stars: two outputs of one model, from corpora with and without stars."""

import json
from pathlib import Path

import numpy as np
import pytest

from app.contract.decoding import class_scores
from app.contract.golden import read_golden
from app.contract.heads import ClassHead
from app.contract.manifest import read_manifest
from app.contract.pipeline import Package, predict_outputs
from app.sessions import OnnxSession
from tests.training.tiny_corpus import write_base, write_recipe
from training.__main__ import main
from training.data import RoadData, new_head
from training.datasets.examples import LabelledText
from training.errors import DataError
from training.evaluate import Predictions, loyalty, quality
from training.recipe_file import load_recipe

WORDS = {"1": "rea", "2": "slab", "4": "bun", "5": "minunat"}
"""What reviews with so many stars say."""
HEAD = ClassHead(labels=("negative", "positive"), rating=("1", "2", "4", "5"))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Corpora with stars (laroseda) and without (sart), and a base."""
    root = tmp_path_factory.mktemp("ratings")
    reviews = [
        {
            "index": str(i),
            "title": "Cartea",
            "content": f"e {WORDS['1245'[i % 4]]} n {i}",
            "starRating": "1245"[i % 4],
        }
        for i in range(80)
    ]
    (root / "data/laroseda").mkdir(parents=True)
    (root / "data/laroseda/laroseda_train.json").write_text(json.dumps({"reviews": reviews}))
    (root / "data/sart").mkdir()
    tweets = "".join(f"{i},tweet {'abcdefghi'[i]},{i % 3}\n" for i in range(9))
    for name in ("train", "val"):
        (root / f"data/sart/{name}.csv").write_text(f",text,Label\n{tweets.replace('t', name[0])}")
    write_base(root / "base")
    return root


def recipe(root: Path, *splits: dict[str, str], dev: dict[str, str]) -> dict:
    """One teacher and one student of sentiment."""
    stage = {"data": list(splits), "epochs": 8, "batch_size": 8, "learning_rate": 5e-3}
    return {
        "name": "tiny",
        "task": "sentiment",
        "seed": 1,
        "languages": ["ro"],
        "licence": "apache-2.0",
        "data_notes": "Sentences written for the tests.",
        "golden": "golden.txt",
        "dev": dev,
        "teachers": {
            "teacher-tiny": {
                "encoder": {"source": str(root / "base")},
                "description": "A teacher.",
                "max_tokens": 32,
                "stride": 8,
                "dropout": 0.0,
                "stages": [stage],
            }
        },
        "students": {
            "distil-tiny": {
                "teachers": ["teacher-tiny"],
                "description": "A student.",
                "layers": [1],
                "temperature": 2.0,
                "dropout": 0.0,
                "weights": {"soft": 1.0, "hard": 0.5, "hidden": 0.0},
                "stages": [stage],
            }
        },
        "aliases": {"default": "distil-tiny", "teacher": "teacher-tiny"},
    }


LAROSEDA = {"corpus": "laroseda", "split": "train"}
SART = {"corpus": "sart", "split": "train"}
DEV = {"corpus": "laroseda", "split": "dev"}


def data_of(root: Path, folder: Path, content: dict) -> RoadData:
    return RoadData(load_recipe(write_recipe(folder, content)), root / "data")


def test_stars_of_any_corpus_make_the_second_output(root: Path, tmp_path: Path) -> None:
    data = data_of(root, tmp_path, recipe(root, LAROSEDA, SART, dev=DEV))

    data.check()

    assert data.head == HEAD


def test_without_stars_there_is_one_output(root: Path, tmp_path: Path) -> None:
    dev = {"corpus": "sart", "split": "dev"}
    data = data_of(root, tmp_path, recipe(root, SART, dev=dev))

    data.check()

    assert data.head == ClassHead(labels=("negative", "positive"))


def test_neutral_texts_are_neither_trained_nor_measured_on(root: Path, tmp_path: Path) -> None:
    """A third of the tweets is neutral."""
    dev = {"corpus": "sart", "split": "dev"}
    data = data_of(root, tmp_path, recipe(root, SART, dev=dev))

    texts = [*data.dev, *data.labelled(data.recipe.teachers["teacher-tiny"].stages[0])]

    labels = [text.label for text in texts if isinstance(text, LabelledText)]
    assert sorted(labels) == ["negative"] * 6 + ["positive"] * 6


def test_stars_of_dev_change_nothing_where_no_teacher_learns_stars(
    root: Path, tmp_path: Path
) -> None:
    data = data_of(root, tmp_path, recipe(root, SART, dev=DEV))

    data.check()

    assert data.head == ClassHead(labels=("negative", "positive"))


def test_stars_that_no_teacher_has_seen_are_refused(root: Path, tmp_path: Path) -> None:
    """Reviews come in the order of a hash: the first ones lack some of the stars."""
    few = {"corpus": "laroseda", "split": "train[:4%]"}
    data = data_of(root, tmp_path, recipe(root, few, SART, dev=DEV))

    with pytest.raises(DataError, match=r"labels .* do not occur in the teachers'"):
        data.check()


def test_a_split_of_neutral_texts_alone_is_refused(root: Path, tmp_path: Path) -> None:
    """The second of nine tweets is neutral."""
    dev = {"corpus": "sart", "split": "dev[12%:23%]"}
    data = data_of(root, tmp_path, recipe(root, SART, dev=dev))

    with pytest.raises(DataError, match="every example is neutral"):
        data.check()


def test_training_data_of_a_single_class_are_refused() -> None:
    with pytest.raises(DataError, match="no two labels: MD"):
        new_head("dialect", [LabelledText("text", "MD")] * 2)


def predictions(stars: list[str]) -> Predictions:
    classes = [[0.9, 0.1] if star < "3" else [0.1, 0.9] for star in stars]
    ratings = [[float(star == each) for each in HEAD.rating] for star in stars]
    decisions = {"logits": np.array(classes), "rating_logits": np.array(ratings)}
    return Predictions(HEAD, decisions, np.arange(len(stars)), [], [])


def test_stars_are_measured_on_the_texts_that_have_them() -> None:
    """Stars 1, 1, 5 for 1, 2, 5: F1 of 1 is 2/3, of 2 is 0, of 5 is 1; the last has none."""
    gold = [("negative", "1"), ("negative", "2"), ("positive", "5"), ("positive", None)]
    texts = [LabelledText("text", label, stars) for label, stars in gold]

    scores = quality(predictions(["1", "1", "5", "4"]), texts)

    assert scores["accuracy"].value == 1
    assert scores["rating_accuracy"].value == pytest.approx(2 / 3)
    assert scores["rating_macro_f1"].value == pytest.approx((2 / 3 + 0 + 1) / 3)
    assert (scores["accuracy"].n, scores["rating_accuracy"].n) == (4, 3)


def test_where_no_text_has_stars_none_are_measured() -> None:
    scores = quality(predictions(["1", "5"]), [LabelledText("text", "negative")] * 2)

    assert set(scores) == {"accuracy", "macro_f1"}


def test_loyalty_is_that_of_both_outputs() -> None:
    found = loyalty(predictions(["1", "1", "5", "4"]), predictions(["1", "2", "5", "5"]))

    assert found["label_loyalty"].value == 1
    assert found["rating_label_loyalty"].value == pytest.approx(1 / 2)


@pytest.mark.slow
def test_the_road_ends_in_a_package_that_rates(root: Path, tmp_path: Path) -> None:
    path = write_recipe(tmp_path / "recipe", recipe(root, LAROSEDA, SART, dev=DEV))
    folders = ["--data-dir", root / "data", "--work-dir", tmp_path / "runs"]

    assert main(["run", str(path), *map(str, folders), "--store", str(tmp_path / "store")]) == 0

    student = tmp_path / "store/sentiment/distil-tiny/1"
    manifest, package = read_manifest(student), Package.load(student)
    assert manifest.head == HEAD
    assert {"accuracy", "rating_macro_f1"} <= set(manifest.quality)
    assert {"label_loyalty", "rating_label_loyalty"} <= set(manifest.loyalty)
    assert "| ratings | 1, 2, 4, 5 |" in (student / "README.md").read_text("utf-8")
    assert set(read_golden(student).examples[0].outputs[0]) == {"logits", "rating_logits"}
    run = OnnxSession(package.model_path, provider="cpu")
    texts = [f"Cartea\ne {word} n 7" for word in WORDS.values()]
    found = predict_outputs(package.encoder, HEAD, run, texts)
    rated = [class_scores(HEAD, outputs, by_rating=True) for _, outputs in found]
    assert all({score.label for score in each} == set(WORDS) for each in rated)
