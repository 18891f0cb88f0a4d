"""Teachers that are fine-tuned already, of three architectures and two kinds of head."""

import json
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertModel,
    DistilBertConfig,
    DistilBertForQuestionAnswering,
    DistilBertForSequenceClassification,
    DistilBertForTokenClassification,
    ElectraConfig,
    ElectraForSequenceClassification,
    PretrainedConfig,
    RobertaConfig,
    RobertaForQuestionAnswering,
    RobertaForSequenceClassification,
    RobertaForTokenClassification,
)
from transformers.modeling_utils import PreTrainedModel

from app.contract.encoded_text import Pair
from app.contract.heads import AnswerHead, ClassHead, Head, ScoreHead, SpanHead
from app.contract.manifest import read_manifest
from tests.training.tiny_corpus import write_base, write_recipe
from tests.training.toy_models import toy_tokenizer
from training.__main__ import main
from training.errors import RecipeError, StepError
from training.export import PARITY, check_parity, export_model
from training.ready_teacher import ready_model
from training.recipe_file import load_recipe
from training.student import from_encoder, shallow_copy
from training.task_model import TaskModel

CLASSES = ClassHead(labels=("negative", "positive"))
SPANS = SpanHead(labels=("O", "B-X", "I-X"))
BATCH = torch.tensor([[2, 5, 6, 3, 0], [2, 7, 8, 9, 3]])
MASK = torch.tensor([[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]])
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
SIZES |= {"intermediate_size": 32, "vocab_size": 60, "attn_implementation": "eager"}
BERT = BertConfig(**SIZES)
ROBERTA = RobertaConfig(**SIZES, type_vocab_size=1, pad_token_id=0)
DISTILBERT = DistilBertConfig(
    dim=16, n_layers=2, n_heads=2, hidden_dim=32, vocab_size=60, attn_implementation="eager"
)
CASES: list[tuple[type[PreTrainedModel], PretrainedConfig, Head]] = [
    (BertForSequenceClassification, BERT, CLASSES),
    (BertForTokenClassification, BERT, SPANS),
    (RobertaForSequenceClassification, ROBERTA, CLASSES),
    (RobertaForTokenClassification, ROBERTA, SPANS),
    (DistilBertForSequenceClassification, DISTILBERT, CLASSES),
    (DistilBertForTokenClassification, DISTILBERT, SPANS),
]
NAMES = [kind.__name__ for kind, _, _ in CASES]


def publish(
    folder: Path, kind: type[PreTrainedModel], config: PretrainedConfig, labels: list[str]
) -> PreTrainedModel:
    """A model with random weights and these labels, as `save_pretrained` leaves it."""
    own = type(config)(**config.to_dict() | {"id2label": dict(enumerate(labels))})
    torch.manual_seed(0)
    model = kind(own).eval()
    with torch.no_grad():
        for weights in model.parameters():
            weights.add_(0.1 * torch.randn_like(weights))
    model.save_pretrained(folder)
    return model


@pytest.mark.parametrize(("kind", "config", "head"), CASES, ids=NAMES)
def test_outputs_are_those_of_the_published_model_in_the_order_of_the_recipe(
    tmp_path: Path, kind: type[PreTrainedModel], config: PretrainedConfig, head: Head
) -> None:
    labels = list(head.labels[::-1])  # type: ignore[union-attr]  # both heads have labels
    published = publish(tmp_path / "hub", kind, config, labels)

    model = ready_model(str(tmp_path / "hub"), head)
    model.save(tmp_path)
    again = TaskModel.load(tmp_path).eval()

    theirs = published(input_ids=BATCH, attention_mask=MASK).logits.flip(-1)
    for ours in (model, again):
        torch.testing.assert_close(ours(BATCH, MASK)["logits"], theirs)


@pytest.mark.parametrize(("kind", "config", "head"), CASES, ids=NAMES)
def test_it_is_exported_as_it_was_in_torch(
    tmp_path: Path, kind: type[PreTrainedModel], config: PretrainedConfig, head: Head
) -> None:
    publish(tmp_path, kind, config, list(head.labels))  # type: ignore[union-attr]  # as above
    model = ready_model(str(tmp_path), head)

    export_model(model, tmp_path / "model.onnx")

    tokenizer = toy_tokenizer(["la", "Ana"])
    gap = check_parity(model, tmp_path / "model.onnx", ["Ana la Ana", "la"], tokenizer)
    assert gap <= PARITY


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        (BertForQuestionAnswering, BERT),
        (RobertaForQuestionAnswering, ROBERTA),
        (DistilBertForQuestionAnswering, DISTILBERT),
    ],
    ids=["BERT", "RoBERTa", "DistilBERT"],
)
def test_a_reader_has_the_starts_and_ends_of_the_published_one(
    tmp_path: Path, kind: type[PreTrainedModel], config: PretrainedConfig
) -> None:
    published = publish(tmp_path, kind, config, ["LABEL_0", "LABEL_1"])

    model = ready_model(str(tmp_path), AnswerHead())
    export_model(model, tmp_path / "model.onnx")

    theirs, ours = published(input_ids=BATCH, attention_mask=MASK), model(BATCH, MASK)
    for name in ("start_logits", "end_logits"):
        torch.testing.assert_close(ours[name], theirs[name])
    tokenizer = toy_tokenizer(["la", "Ana"])
    assert check_parity(model, tmp_path / "model.onnx", [Pair("la", "Ana la")], tokenizer) <= PARITY


def test_students_start_from_its_layers_and_read_texts_as_it_does(tmp_path: Path) -> None:
    publish(tmp_path / "hub", *CASES[0][:2], list(CLASSES.labels))
    BertModel(BERT).save_pretrained(tmp_path / "encoder")
    teacher = ready_model(str(tmp_path / "hub"), CLASSES)

    copied = shallow_copy(teacher, [1], dropout=0.0)
    fresh = from_encoder(str(tmp_path / "encoder"), teacher, dropout=0.0, seed=0)

    assert teacher.first_token is not None
    for student in (copied, fresh):
        assert student.first_token is not None
        assert student.first_token is not teacher.first_token
        torch.testing.assert_close(
            student.first_token.dense.weight, teacher.first_token.dense.weight
        )


def test_a_score_of_pairs_is_read_from_a_model_of_one_output(tmp_path: Path) -> None:
    """RoBERTa has one type of token only, whatever the second text is."""
    publish(tmp_path, RobertaForSequenceClassification, ROBERTA, ["score"])
    model = ready_model(str(tmp_path), ScoreHead())

    export_model(model, tmp_path / "model.onnx")

    tokenizer = toy_tokenizer(["la", "Ana"])
    check_parity(model, tmp_path / "model.onnx", [Pair("Ana", "la la")], tokenizer)


def test_other_labels_are_refused_and_both_sides_listed(tmp_path: Path) -> None:
    publish(tmp_path, BertForSequenceClassification, BERT, ["LABEL_0", "LABEL_1"])

    with pytest.raises(StepError) as error:
        ready_model(str(tmp_path), CLASSES)

    assert "its own: LABEL_0, LABEL_1; the recipe's: negative, positive" in str(error.value)


def test_a_score_of_two_outputs_is_refused(tmp_path: Path) -> None:
    publish(tmp_path, BertForSequenceClassification, BERT, ["a", "b"])

    with pytest.raises(StepError, match="a score needs one output, it has 2"):
        ready_model(str(tmp_path), ScoreHead())


@pytest.mark.filterwarnings("ignore:Some weights")
def test_a_model_that_nobody_fine_tuned_is_refused(tmp_path: Path) -> None:
    own = BertConfig(**BERT.to_dict() | {"id2label": dict(enumerate(CLASSES.labels))})
    BertModel(own).save_pretrained(tmp_path)

    with pytest.raises(StepError, match=r"not fine-tuned for this task, classifier\.bias"):
        ready_model(str(tmp_path), CLASSES)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="cannot be read as a fine-tuned model"):
        ready_model(str(tmp_path), CLASSES)


def test_an_architecture_that_reads_texts_otherwise_is_refused(tmp_path: Path) -> None:
    """Electra's classifier has the layers of RoBERTa's, but another activation."""
    config = ElectraConfig(**SIZES, embedding_size=16)
    publish(tmp_path, ElectraForSequenceClassification, config, list(CLASSES.labels))

    with pytest.raises(StepError, match="reads its texts in a way that is unknown here"):
        ready_model(str(tmp_path), CLASSES)


def recipe(model: Path, change: dict[str, object] | None = None) -> dict:
    """One fine-tuned teacher and one student."""
    stage = {
        "data": [{"corpus": "sst2", "split": "train"}],
        "epochs": 1,
        "batch_size": 8,
        "learning_rate": 1e-3,
    }
    return {
        "name": "tiny",
        "task": "sentiment",
        "seed": 1,
        "languages": ["en"],
        "licence": "apache-2.0",
        "data_notes": "Sentences written for the tests.",
        "golden": "golden.txt",
        "dev": {"corpus": "sst2", "split": "dev"},
        "teachers": {
            "teacher-hub": {
                "model": str(model),
                "description": "A teacher.",
                "max_tokens": 32,
                "stride": 8,
            }
            | (change or {})
        },
        "students": {
            "distil-hub": {
                "teachers": ["teacher-hub"],
                "description": "A student.",
                "layers": [1],
                "temperature": 2.0,
                "weights": {"soft": 1.0, "hard": 0.0, "hidden": 1.0},
                "stages": [stage],
            }
        },
        "aliases": {"default": "distil-hub", "teacher": "teacher-hub"},
    }


@pytest.mark.parametrize(
    ("change", "mistake"),
    [
        ({"encoder": {"source": "a"}}, "give either an encoder with stages or a fine-tuned model"),
        ({"model": None}, "give either an encoder with stages or a fine-tuned model"),
        ({"model": None, "encoder": {"source": "a"}}, "an encoder needs stages"),
        ({"registered": "sentiment/teacher-hub/1"}, "was made of an encoder and stages"),
        ({"registered": "teacher-hub"}, "String should match pattern"),
    ],
)
def test_a_teacher_is_an_encoder_with_stages_or_a_fine_tuned_model(
    tmp_path: Path, change: dict[str, object], mistake: str
) -> None:
    path = write_recipe(tmp_path, recipe(tmp_path, change))

    with pytest.raises(RecipeError, match=mistake):
        load_recipe(path)


def write_reviews(data: Path) -> None:
    """SST-2 of three words."""
    (data / "sst2").mkdir(parents=True)
    for split in ("train", "dev"):
        rows = "".join(f"a {word} {split} n {i}\t{i % 2}\n" for i in range(9) for word in "ab")
        (data / f"sst2/{split}.tsv").write_text(rows)


def test_other_labels_stop_the_run_with_one_line_before_anything_is_trained(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hub = write_base(tmp_path / "hub")
    publish(hub, BertForSequenceClassification, BERT, ["LABEL_0", "LABEL_1"])
    write_reviews(tmp_path / "data")
    path = write_recipe(tmp_path / "recipe", recipe(hub))
    folders = ["--data-dir", tmp_path / "data", "--work-dir", tmp_path / "runs"]

    assert main(["run", str(path), *map(str, folders), "--store", str(tmp_path / "store")]) == 1

    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == 1
    assert "its own: LABEL_0, LABEL_1; the recipe's: negative, positive" in errors[0]
    assert not list(tmp_path.glob("runs/**/done.json"))


@pytest.mark.slow
def test_it_teaches_and_is_measured_and_registered_like_others(tmp_path: Path) -> None:
    hub = write_base(tmp_path / "hub")
    config = BertConfig(**BERT.to_dict() | {"vocab_size": len(AutoTokenizer.from_pretrained(hub))})
    publish(hub, BertForSequenceClassification, config, ["positive", "negative"])
    write_reviews(tmp_path / "data")
    path = write_recipe(tmp_path / "recipe", recipe(hub))
    folders = ["--data-dir", tmp_path / "data", "--work-dir", tmp_path / "runs"]

    assert main(["run", str(path), *map(str, folders), "--store", str(tmp_path / "store")]) == 0

    store = tmp_path / "store/sentiment"
    teacher, student = (read_manifest(store / name / "1") for name in ("teacher-hub", "distil-hub"))
    assert teacher.head == student.head == CLASSES
    assert (teacher.base, student.teacher) == ("hub", "sentiment/teacher-hub:1")
    assert set(teacher.quality) == {"accuracy", "macro_f1"}
    assert json.loads((store / "aliases.json").read_text("utf-8"))["teacher"] == "teacher-hub"
