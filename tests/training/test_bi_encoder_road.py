"""From pairs to a served bi-encoder, taught by a model that reads pairs together, or apart."""

from pathlib import Path

import pytest

from app.contract.encoded_text import Pair
from app.contract.heads import VectorHead
from app.contract.pipeline import Package, predict
from app.sessions import OnnxSession
from tests.training.tiny_corpus import write_recipe
from tests.training.tiny_parallel import write_encoder, write_parallel, write_scores
from training.__main__ import main

pytestmark = pytest.mark.slow


STORY = "Ana merge acasă și doarme aici. Dan nu vine aici, doarme departe. Ema vine {} acasă azi.\n"


def recipe_content(encoder: Path, teacher: dict, hidden: float) -> dict:
    stage = {
        "data": [{"corpus": "ro-sts", "split": "train"}],
        "epochs": 6,
        "batch_size": 16,
        "learning_rate": 1e-2,
    }
    text = {"folder": "ro-text", "sources": {"story": 1.0}}
    common = {
        "encoder": {"source": str(encoder)},
        "description": "A model.",
        "dropout": 0.0,
        "stages": [stage],
    }
    return {
        "name": "tiny",
        "task": "sts",
        "seed": 1,
        "languages": ["ro"],
        "licence": "apache-2.0",
        "data_notes": "Sentences written for the tests.",
        "golden": "golden.txt",
        "dev": {"corpus": "ro-sts", "split": "dev"},
        "teachers": {"teacher": common | {"max_tokens": 24, "stride": 4} | teacher},
        "students": {
            "bi": common
            | {
                "teachers": ["teacher"],
                "layers": [1],
                "pairs": "apart",
                "temperature": 1.0,
                "weights": {"soft": 1.0, "hard": 0.5, "hidden": hidden},
                "stages": [stage | {"unlabelled": {"text": text, "sentences": 20}}],
            }
        },
        "aliases": {"default": "bi", "teacher": "teacher"},
    }


@pytest.mark.parametrize(
    ("teacher", "hidden"), [({}, 0.0), ({"pairs": "apart"}, 1.0)], ids=["together", "apart"]
)
def test_a_bi_encoder_is_trained_measured_and_registered(
    tmp_path: Path, teacher: dict, hidden: float
) -> None:
    data = write_parallel(tmp_path / "data")
    write_scores(data)
    (data / "ro-text").mkdir()
    story = "".join(STORY.format("iar " * i) for i in range(1, 12))
    (data / "ro-text" / "story-00.txt").write_text(story, encoding="utf-8")
    encoder = write_encoder(tmp_path / "encoder", language=0, width=16, seed=0)
    recipe = write_recipe(tmp_path, recipe_content(encoder, teacher, hidden))
    (tmp_path / "golden.txt").write_text("Ana merge\tDan merge\nIon doarme\tIon doarme\n", "utf-8")
    folders = ("--data-dir", "data", "--work-dir", "runs", "--store", "store")
    options = [word if word.startswith("--") else str(tmp_path / word) for word in folders]

    assert main(["run", str(recipe), *options]) == 0

    package = Package.load(tmp_path / "store" / "sts" / "bi" / "1")
    run = OnnxSession(package.model_path, provider="cpu")
    same, other = predict(package, run, [Pair("Ana merge", "Ana merge"), Pair("Ana merge", "Ema")])
    assert package.head == VectorHead(width=16)
    assert package.manifest.teacher == "sts/teacher:1"
    assert set(package.manifest.quality) == {"pearson", "spearman"}
    assert set(package.manifest.loyalty) == {"regression_loyalty_pearson", "regression_loyalty"}
    assert same == pytest.approx(1.0, abs=1e-3)
    assert 0 <= other < same
