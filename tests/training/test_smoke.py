from pathlib import Path

import pytest
from transformers import AutoConfig, AutoModelForMaskedLM, AutoTokenizer

from app.contract.manifest import read_manifest
from training.__main__ import main
from training.datasets import CORPORA, read_split
from training.smoke import smoke
from training.toy_data import EXAMPLES, write_corpora, write_encoder

PAPER = Path(__file__).parents[2] / "training" / "recipes" / "paper"
SMALL = {"steps": 1, "width": 24, "vocabulary": 300}


@pytest.mark.slow
def test_a_paper_scale_recipe_is_walked_to_packages(tmp_path: Path) -> None:
    smoke(PAPER / "sts-paper-ro.yaml", tmp_path, **SMALL)

    manifests = [
        read_manifest(path.parent) for path in tmp_path.glob("store/sts/*/1/manifest.json")
    ]
    assert {manifest.model: manifest.teacher for manifest in manifests} == {
        "bert-base-ro": None,
        "robert-base": None,
        "distil-bert-base-ro": "sts/bert-base-ro:1",
        "distil-robert-base": "sts/robert-base:1",
        "distil-multi-bert-base-ro": "sts/bert-base-ro:1",
    }
    (distilled,) = tmp_path.glob("runs/distil-multi-bert-base-ro/encoder-*/config.json")
    assert '"num_hidden_layers": 6' in distilled.read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_reader_of_published_size_is_walked_to_packages(tmp_path: Path) -> None:
    smoke(PAPER / "qa-paper-es.yaml", tmp_path, **SMALL)

    student = read_manifest(tmp_path / "store" / "qa" / "tinyroberta-paper-es" / "1")
    assert student.teacher == "qa/roberta-large-es:1"
    assert student.encoder.max_tokens == 384


@pytest.mark.slow
def test_the_command_leaves_nothing_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--steps", "1", "--width", "24", "--vocabulary", "300", "--work-dir", str(tmp_path))

    assert main(["smoke", str(PAPER / "distil-robert-base.yaml"), *options]) == 0

    assert '"ok": true' in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("corpus", "split"),
    [
        *(("ronec", split) for split in ("train", "valid", "test")),
        *(
            (corpus, split)
            for corpus in ("ro-rrt", "ro-sts", "moroco")
            for split in ("train", "test")
        ),
        ("laroseda", "test"),
        ("squad-es/v1.1", "train"),
        ("squad-es/v1.1", "dev"),
    ],
)
def test_readers_take_every_example_of_a_toy_corpus(
    tmp_path: Path, corpus: str, split: str
) -> None:
    write_corpora(tmp_path)

    assert len(read_split(tmp_path, corpus, split, CORPORA[corpus].kind)) == EXAMPLES


def test_a_toy_encoder_has_the_named_size_and_reads_toy_words_whole(tmp_path: Path) -> None:
    write_encoder(tmp_path, width=24, vocabulary=500, lowercase=True)

    config = AutoModelForMaskedLM.from_pretrained(tmp_path).config
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert (config.num_hidden_layers, config.hidden_size, config.vocab_size) == (12, 24, 500)
    assert tokenizer.tokenize("Ana găsește.") == ["ana", "găsește", "."]


@pytest.mark.slow
def test_a_recursive_encoder_of_the_published_shape_is_walked(tmp_path: Path) -> None:
    found = smoke(PAPER / "minialbert-128.yaml", tmp_path, **SMALL)

    config = AutoConfig.from_pretrained(str(found["encoder"]))
    assert (config.model_type, config.num_hidden_layers) == ("minialbert", 6)
