"""Parsing from two files to a served package: a Transformer teaches a pQRNN."""

import itertools
from pathlib import Path

import onnx
import pytest

from app.contract.golden import replay
from app.contract.manifest import LEXICON, MODEL
from app.contract.pipeline import Package, predict
from app.sessions import OnnxSession
from tests.training.tiny_corpus import (
    PEOPLE,
    PLACES,
    write_base,
    write_corpora,
    write_recipe,
)
from training.__main__ import main
from training.datasets import read_split
from training.datasets.examples import Utterance

pytestmark = pytest.mark.slow
VERBS = {"ajunge": "IN:ARRIVE", "pleacă": "IN:LEAVE"}


def write_utterances(data: Path) -> None:
    """In the form of SNIPS; people and places are slots, the verb is the intent."""
    for split, step in (("train", 1), ("valid", 3)):
        rows = list(itertools.product(PEOPLE, VERBS, PLACES))[::step]
        files: dict[str, list[str]] = {"seq.in": [], "seq.out": [], "label": []}
        for person, verb, place in rows:
            words = [*person.split(), verb, "la", *place.replace("-", " - ").split()]
            inside = len(words) - len(person.split()) - 3
            tags = ["B-SL:WHO", "I-SL:WHO", "O", "O", "B-SL:WHERE", *["I-SL:WHERE"] * inside]
            files["seq.in"].append(" ".join(words))
            files["seq.out"].append(" ".join(tags))
            files["label"].append(VERBS[verb])
        folder = data / "snips" / split
        folder.mkdir(parents=True)
        for name, lines in files.items():
            (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def parse_recipe(base: Path) -> dict:
    train = {"data": [{"corpus": "snips", "split": "train"}], "batch_size": 10}
    return {
        "name": "tiny",
        "task": "parse",
        "seed": 1,
        "languages": ["ro"],
        "licence": "apache-2.0",
        "data_notes": "Sentences written for the tests.",
        "golden": "golden.txt",
        "dev": {"corpus": "snips", "split": "dev"},
        "further_dev": [{"corpus": "snips", "split": "dev[:50%]"}],
        "teachers": {
            "teacher-tiny": {
                "encoder": {"source": str(base)},
                "description": "A teacher.",
                "max_tokens": 32,
                "stride": 8,
                "dropout": 0.0,
                "stages": [train | {"epochs": 5, "learning_rate": 5e-3}],
            }
        },
        "students": {
            "pqrnn-tiny": {
                "teachers": ["teacher-tiny"],
                "description": "A student.",
                "pqrnn": {
                    "features": 128,
                    "bottleneck": 32,
                    "state": 16,
                    "layers": 1,
                    "distortion": 0.1,
                    "max_tokens": 32,
                    "stride": 8,
                },
                "temperature": 1.0,
                "dropout": 0.0,
                "weights": {"soft": 0.1, "hard": 1.0, "hidden": 0.0},
                "stages": [train | {"epochs": 14, "learning_rate": 2e-2}],
            }
        },
        "aliases": {"default": "pqrnn-tiny", "teacher": "teacher-tiny"},
    }


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    root = tmp_path_factory.mktemp("parse")
    write_utterances(write_corpora(root / "data"))
    recipe = write_recipe(root / "recipe", parse_recipe(write_base(root / "base")))
    folders = ("--data-dir", "data", "--work-dir", "runs", "--store", "store")
    options = [word if word.startswith("--") else str(root / word) for word in folders]
    assert main(["run", str(recipe), *options]) == 0
    return Package.load(root / "store" / "parse" / "pqrnn-tiny" / "1")


def run(package: Package) -> OnnxSession:
    return OnnxSession(package.model_path, provider="cpu")


def test_the_package_replays_in_the_service(package: Package) -> None:
    replay(package, run(package))

    assert package.manifest.encoder.kind == "projection"
    assert package.manifest.precision == "int8"
    assert package.manifest.teacher == "parse/teacher-tiny:1"
    assert LEXICON in package.manifest.files


def test_the_student_parses_what_it_was_taught(package: Package) -> None:
    [parse] = predict(package, run(package), ["Maria Stan pleacă la Sibiu"])

    assert parse.tree == "[IN:LEAVE [SL:WHO Maria Stan ] [SL:WHERE Sibiu ] ]"
    assert {"exact_match", "intent_accuracy", "slot_f1"} == set(package.manifest.quality)
    assert "intent_label_loyalty" in package.manifest.loyalty


def test_what_was_evaluated_is_what_is_served(package: Package) -> None:
    dev = read_split(package.path.parents[3] / "data", "snips", "dev", Utterance)

    parses = predict(package, run(package), [utterance.text for utterance in dev])

    right = [
        (p.intent.label, {p.tree.split(" ]")[0].split("[SL:WHO ")[-1]})
        == (u.intent, {" ".join(u.sentence.words[:2])})
        for p, u in zip(parses, dev, strict=True)
    ]
    score = package.manifest.quality["intent_accuracy"]
    assert score.n == len(dev)
    assert sum(p.intent.label == u.intent for p, u in zip(parses, dev, strict=True)) == round(
        score.value * score.n
    )
    assert sum(right) >= 0.8 * len(dev)


def test_every_product_is_one_of_integers(package: Package) -> None:
    graph = onnx.load(package.path / MODEL).graph
    kinds = [node.op_type for node in graph.node]

    assert "MatMul" not in kinds
    assert kinds.count("MatMulIntegerToFloat") == 5  # bottleneck, two directions, two heads
