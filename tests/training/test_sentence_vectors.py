import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel

from tests.training.tiny_parallel import (
    HELD_OUT,
    sentence_content,
    sentences,
    write_encoder,
    write_parallel,
)
from training.__main__ import main
from training.encoder import encoder_key, train_encoder
from training.encoder_recipe import EncoderFile, SentenceRecipe
from training.errors import DataError, StepError
from training.general_distillation import load_teacher
from training.recipe_file import load_recipe
from training.sentence_vectors import SentenceData, teach_sentences
from training.task_model import new_model, vector_head
from training.teacher import load_tokenizer


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_parallel(tmp_path / "data")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An encoder and a sentence model of another width."""
    root = tmp_path_factory.mktemp("models")
    return (
        write_encoder(root / "encoder", language=0, width=16, seed=0),
        write_encoder(root / "teacher", language=1, width=8, seed=1),
    )


def recipe(encoder: Path, teacher: Path, **changes: object) -> SentenceRecipe:
    return SentenceRecipe.model_validate(sentence_content(encoder, teacher, **changes)["sentences"])


def means(source: Path, texts: list[str]) -> torch.Tensor:
    """Mean of each text's last hidden states, by the model as a whole, one text at a time."""
    tokenizer = load_tokenizer(str(source), max_tokens=16, stride=0)
    model = AutoModel.from_pretrained(source, attn_implementation="eager").eval()
    ids = [torch.tensor([text.windows[0].input_ids.tolist()]) for text in tokenizer.encode(texts)]
    with torch.no_grad():
        return torch.stack([model(row)[0][0].mean(dim=0) for row in ids])


def test_the_loss_is_the_cosine_distance_to_the_vectors_of_the_translations(
    data: Path, models: tuple[Path, Path], tmp_path: Path
) -> None:
    """The first step starts from the encoder as it is; both models are the same here."""
    encoder = models[0]
    same = recipe(encoder, encoder, epochs=1, batch_size=64)
    own, taught = (means(encoder, list(side)) for side in zip(*sentences(), strict=True))
    expected = 1 - torch.cosine_similarity(own, taught).mean().item()

    teach_sentences(same, str(encoder), data_dir=data, output=tmp_path, seed=1)

    (entry,) = json.loads((tmp_path / "history.json").read_text("utf-8"))
    assert entry["cosine distance"] == pytest.approx(expected, abs=5e-3)  # bfloat16
    assert expected > 0.05


def test_an_encoder_comes_nearer_to_vectors_of_another_width_whose_projection_is_dropped(
    data: Path, models: tuple[Path, Path], tmp_path: Path
) -> None:
    encoder, teacher = models

    teach_sentences(
        recipe(encoder, teacher, epochs=4), str(encoder), data_dir=data, output=tmp_path, seed=1
    )

    history = json.loads((tmp_path / "history.json").read_text("utf-8"))
    assert [entry["step"] for entry in history] == [5, 10, 15, 20]
    assert history[-1]["dev_cosine"] > history[0]["dev_cosine"]
    assert -1 <= history[-1]["dev_pearson"] <= 1
    assert AutoModel.from_pretrained(tmp_path).config.hidden_size == 16


def test_a_finished_training_is_resumed_where_it_ended(
    data: Path, models: tuple[Path, Path], tmp_path: Path
) -> None:
    encoder, teacher = models
    again = recipe(encoder, teacher)
    teach_sentences(again, str(encoder), data_dir=data, output=tmp_path, seed=1)
    weights = (tmp_path / "model.safetensors").read_bytes()
    checkpoint = (tmp_path / "checkpoint.pt").stat().st_mtime_ns

    teach_sentences(again, str(encoder), data_dir=data, output=tmp_path, seed=1)

    assert (tmp_path / "model.safetensors").read_bytes() == weights
    assert (tmp_path / "checkpoint.pt").stat().st_mtime_ns == checkpoint


def test_what_comes_out_starts_models_of_tasks_and_teaches_no_words(
    data: Path, models: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.encoder.PUBLISHED", tmp_path / "encoders")
    path = tmp_path / "sentence-encoder.yaml"
    path.write_text(json.dumps(sentence_content(*models)), encoding="utf-8")

    assert main(["run", str(path), "--data-dir", str(data), "--work-dir", str(tmp_path)]) == 0

    published = str(tmp_path / "encoders" / "sentence-encoder")
    file = load_recipe(path)
    assert isinstance(file, EncoderFile)
    own = str(train_encoder(file, data_dir=data, work_dir=tmp_path))
    model = new_model(published, vector_head(published), dropout=0.0, seed=1)
    assert not any("pooler" in name for name in model.state_dict())
    np.testing.assert_allclose(
        means(Path(published), [HELD_OUT]), means(Path(own), [HELD_OUT]), atol=1e-2
    )
    with pytest.raises(StepError, match="has no masked-LM head"):
        load_teacher(published)
    card = (Path(published) / "README.md").read_text("utf-8")
    assert "pipeline_tag: sentence-similarity" in card
    assert "taught by teacher on the translations in ro-sts/ro-en train, 1 passes" in card
    assert "Mean cosine to its teacher's vectors on ro-sts/ro-en dev: " in card


def test_another_start_makes_another_encoder(models: tuple[Path, Path], tmp_path: Path) -> None:
    one, other = (
        EncoderFile.model_validate(sentence_content(source, models[1])) for source in models
    )

    assert encoder_key(one) != encoder_key(other)


@pytest.mark.parametrize("measured", [HELD_OUT, "ema DOARME, departe!", "Ema doarme", "Ion merge"])
def test_no_sentence_that_is_measured_on_is_trained_on(
    data: Path, models: tuple[Path, Path], measured: str
) -> None:
    """Those of the parallel dev part, and both texts of scored pairs."""
    for language in ("ro", "en"):
        with (data / f"ro-sts/ro-en/RO-STS.train.{language}").open("a", encoding="utf-8") as file:
            file.write(f"{measured}\n")

    read = SentenceData.read(recipe(*models), data)

    assert [(s.first, s.second) for s in read.train] == sentences()


def test_a_sentence_that_occurs_twice_is_learnt_once(data: Path, models: tuple[Path, Path]) -> None:
    for column, language in enumerate(("ro", "en")):
        with (data / f"ro-sts/ro-en/RO-STS.train.{language}").open("a", encoding="utf-8") as file:
            file.write(f"{sentences()[0][column]}\n")

    assert len(SentenceData.read(recipe(*models), data).train) == len(sentences())


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("ro-en/RO-STS.train.en", "Ann\n", r"RO-STS.train.ro: 35 lines, RO-STS.train.en has 1"),
        ("ro-en/RO-STS.train.en", None, r"none of RO-STS.train.en, RO-STS.train.en.gz is there"),
        ("ro-en/RO-STS.train.ro", "Ana\n" * 34 + " \n", r"RO-STS.train.ro:35: sentence is empty"),
        (
            "ro-en/RO-STS.train.ro",
            f"{HELD_OUT}\n" * 35,
            "every training sentence occurs in",
        ),
        ("RO-STS.dev.tsv", "", "ro-sts dev: no example"),
        ("RO-STS.dev.tsv", "5\tAna\n", r"RO-STS.dev.tsv:1: 2 columns, expected 3"),
    ],
    ids=["lengths", "missing", "empty line", "only dev", "empty file", "columns"],
)
def test_a_faulty_file_is_one_clear_error(
    data: Path, models: tuple[Path, Path], file: str, content: str | None, message: str
) -> None:
    path = data / "ro-sts" / file
    path.unlink()
    if content is not None:
        path.write_text(content, encoding="utf-8")

    with pytest.raises(DataError, match=message):
        SentenceData.read(recipe(*models), data)
